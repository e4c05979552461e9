"""What every page of the site keeps, in both languages."""

import pytest
from playwright.sync_api import Page, ViewportSize

from tests.site.conftest import OpenPage
from tests.site.every_page import (
    AXE,
    BARRIERS,
    BROKEN_NAMES,
    CUT_TEXTS,
    TIGHT_SUMMARIES,
    TOO_WIDE,
    addresses,
)

BYTES, REQUESTS, NODES, SHIFT = 84 * 1024, 9, 1750, 0.01
"""What a first visit may cost; a tenth of the layout shift that counts as good."""
INDEX_BYTES = 96 * 1024
"""The same for the index of snippets, which grows with each of them."""
NARROW = ViewportSize(width=390, height=844)
WIDTHS = (320, 344, 360, 375, 393, 412, 430, 540, 600, 719, 768, 912, 960, 1024, 1219, 1280, 1600)
"""Phones, tablets, desktops, and both sides of the widths at which Material's layout changes."""

WATCH = """
    window.shift = 0
    new PerformanceObserver(list => list.getEntries().forEach(entry => window.shift += entry.value))
        .observe({ type: "layout-shift", buffered: true })
"""
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
    """Texts that a picture cuts off, names in a table that are in two, summaries too tight."""
    return [
        text for ask in (CUT_TEXTS, BROKEN_NAMES, TIGHT_SUMMARIES) for text in page.evaluate(ask)
    ]


@pytest.mark.parametrize("path", addresses())
def test_a_page_is_light_and_readable(open_page: OpenPage, path: str) -> None:
    page = open_page(path, script=WATCH)
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
