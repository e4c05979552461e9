"""What every page of the site keeps, in both languages."""

from pathlib import Path

import pytest
from playwright.sync_api import ViewportSize

from tests.site.conftest import OpenPage
from tools.pages import pages

BYTES, REQUESTS, NODES, SHIFT = 80 * 1024, 9, 1500, 0.01
"""What a first visit may cost; a tenth of the layout shift that counts as good."""
NARROW = ViewportSize(width=390, height=844)

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
TOO_WIDE = """() => [...document.querySelectorAll("body *")]
    .filter(element => element.getBoundingClientRect().right > innerWidth)
    .filter(element => element.checkVisibility())
    .filter(element => !element.closest("pre, .md-typeset__scrollwrap, .md-sidebar, .md-search"))
    .map(element => `${element.tagName} ${element.className}`)"""
FAINT = (Path(__file__).parent / "faint.js").read_text()


def addresses() -> list[str]:
    """Each page's place on the site, `en/pool/size/`."""
    return [
        ("en/" if language == "en" else "") + page.name.removesuffix("index.md").replace(".md", "/")
        for language in ("zh", "en")
        for page in pages(language)
    ]


@pytest.mark.parametrize("path", addresses())
def test_a_page_is_light_and_readable(open_page: OpenPage, path: str) -> None:
    page = open_page(path, script=WATCH)
    cost = page.evaluate(COST)
    faint = {"light": page.evaluate(FAINT)}
    page.evaluate("document.body.dataset.mdColorScheme = 'slate'")
    faint["dark"] = page.evaluate(FAINT)
    page.set_viewport_size(NARROW)
    too_wide = page.evaluate(TOO_WIDE)

    assert cost["bytes"] <= BYTES
    assert cost["requests"] <= REQUESTS
    assert cost["nodes"] < NODES
    assert cost["shift"] < SHIFT
    assert faint == {"light": [], "dark": []}
    assert too_wide == []
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
