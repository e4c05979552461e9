"""What every page of the site keeps, in both languages."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, ViewportSize

from tests.site.conftest import watched
from tests.site.every_page import (
    AXE,
    BARRIERS,
    BROKEN_NAMES,
    CUT_TEXTS,
    SHIFT,
    STRAY_CHARACTERS,
    TIGHT_SUMMARIES,
    TOO_WIDE,
    WATCH_SHIFTS,
    addresses,
)

BYTES, REQUESTS, NODES = 84 * 1024, 9, 1750
"""What a first visit may cost."""
INDEX_BYTES = 96 * 1024
"""The same for the index of snippets, which grows with each of them."""
DESKTOP = ViewportSize(width=1280, height=720)
NARROW = ViewportSize(width=390, height=844)
WIDTHS = (320, 344, 360, 375, 393, 412, 430, 540, 600, 719, 768, 912, 960, 1024, 1219, 1280, 1600)
"""Phones, tablets, desktops, and both sides of the widths at which Material's layout changes."""

COST = """() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => {
    const answers = ["navigation", "resource"].flatMap(kind => performance.getEntriesByType(kind))
    done({
        bytes: answers.map(answer => answer.transferSize).reduce((a, b) => a + b),
        requests: answers.length,
        nodes: document.querySelectorAll("*").length,
        shift: window.shift,
    })
})))"""
REACHED = """() => [...document.querySelectorAll("pre code")]
    .every(code => code.scrollWidth <= code.clientWidth || code.tabIndex === 0)"""
"""Material lets the keyboard reach code that scrolls, some frames after the width changed."""
UNSEEN = """() => {
    const parts = "h1, h2, h3, p, li, pre, code, table, th, td, figure, img, svg, summary, a"
    const clear = "rgba(0, 0, 0, 0)"
    const closed = part => part.closest("details:not([open]) > :not(summary)")
    const own = part => [...part.childNodes].some(node => node.nodeType === 3 && node.data.trim())
    return [...document.querySelectorAll(".md-content")].flatMap(content =>
        [...content.querySelectorAll(parts)].filter(part => !closed(part)).filter(part => {
            const box = part.getBoundingClientRect(), style = getComputedStyle(part)
            if (part.matches(".headerlink")) return false // shown where the mouse is
            if (!part.textContent.trim() && !part.matches("img, svg")) return false
            return !part.checkVisibility({ opacityProperty: true, visibilityProperty: true })
                || box.width < 1 || box.height < 1 || box.right + scrollX < 1
                || own(part) && (parseFloat(style.fontSize) < 9 || style.color === clear)
        })).map(part => `${part.tagName} ${part.className} ${part.textContent.trim().slice(0, 40)}`)
}"""
"""What stands on the page and cannot be seen: not displayed, without a size, or too small."""


def find_broken(page: Page) -> list[str]:
    """Texts cut off, names in two, summaries too tight, characters alone in a line."""
    return [
        text
        for ask in (CUT_TEXTS, BROKEN_NAMES, TIGHT_SUMMARIES, STRAY_CHARACTERS)
        for text in page.evaluate(ask)
    ]


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Page]:
    """One for all pages, which keeps nothing of a page that it fetched before.

    A context for each page would take a second more of CPU.
    """
    with browser.new_context(reduced_motion="reduce") as context:
        context.add_init_script(WATCH_SHIFTS)
        page = context.new_page()
        devtools = context.new_cdp_session(page)
        devtools.send("Network.enable")
        devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
        yield page


@pytest.fixture
def first_visit(tab: Page, address: str) -> Iterator[Page]:
    """The tab as a new visitor has it."""
    tab.set_viewport_size(DESKTOP)
    with watched(tab, address):
        yield tab
    tab.evaluate("localStorage.clear()")


@pytest.mark.parametrize("path", addresses())
def test_a_page_is_light_and_readable(first_visit: Page, address: str, path: str) -> None:
    page = first_visit
    page.goto(address + path)
    cost = page.evaluate(COST)
    unseen, broken = {"desktop": page.evaluate(UNSEEN)}, {"desktop": find_broken(page)}
    page.evaluate(AXE)
    barriers = {"light, desktop": page.evaluate(BARRIERS)}
    page.evaluate("document.body.dataset.mdColorScheme = 'slate'")
    page.set_viewport_size(NARROW)
    page.wait_for_function(REACHED)
    barriers["dark, phone"] = page.evaluate(BARRIERS)
    too_wide = page.evaluate(TOO_WIDE)
    unseen["phone"], broken["phone"] = page.evaluate(UNSEEN), find_broken(page)

    assert cost["bytes"] <= (INDEX_BYTES if "reference/snippets" in path else BYTES)
    assert cost["requests"] <= REQUESTS
    assert cost["nodes"] < NODES
    assert cost["shift"] < SHIFT
    assert barriers == {"light, desktop": [], "dark, phone": []}
    assert too_wide == []
    assert unseen == {"desktop": [], "phone": []}
    assert broken == {"desktop": [], "phone": []}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
