"""A page that comes in pieces, as over a slow line: what has been painted keeps its place."""

import re
from collections.abc import Iterator
from pathlib import Path
from threading import Semaphore

import pytest
from playwright.sync_api import Browser

from tests.site.host import serving
from tests.site.test_pages import SHIFT, WATCH

PIECE = re.compile(rb".*?</(?:tr|form|header)>|.+", re.DOTALL)
"""Ends where a part is whole and may be painted: a row of a table, the search, the header."""
PAINTED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
MOVED = """() => window.moved.toSorted((one, other) => other.value - one.value).map(entry =>
    `${entry.value.toFixed(4)}: ` + entry.sources.map(({ node }) =>
        node && `${node.nodeName} ${node.className} ${node.textContent.trim().slice(0, 30)}`))"""
WATCH_WHAT_MOVES = (
    WATCH
    + """
    window.moved = []
    new PerformanceObserver(list => window.moved.push(...list.getEntries()))
        .observe({ type: "layout-shift", buffered: true })"""
)


@pytest.mark.parametrize(
    "path", ["troubleshooting/myths/", "en/troubleshooting/myths/", "en/pool/drivers/"]
)
def test_what_is_painted_keeps_its_place_while_the_rest_arrives(
    browser: Browser, site: Path, path: str
) -> None:
    painted = Semaphore(0)

    def divide(body: bytes) -> Iterator[bytes]:
        for piece in PIECE.findall(body):
            yield piece
            painted.acquire()

    with (
        serving(site, divide) as address,
        browser.new_context(reduced_motion="reduce") as context,
    ):
        context.add_init_script(WATCH_WHAT_MOVES)
        page = context.new_page()
        page.goto(address + path, wait_until="commit")
        while page.evaluate("document.readyState") == "loading":
            page.evaluate(PAINTED)
            painted.release()
        page.evaluate(PAINTED)
        assert page.evaluate("window.shift") < SHIFT, page.evaluate(MOVED)[:3]
