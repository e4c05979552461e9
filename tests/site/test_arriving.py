"""A page that comes in pieces, as over a slow line: what has been painted keeps its place."""

import re
from collections.abc import Iterator
from pathlib import Path
from threading import Semaphore

import pytest
from playwright.sync_api import Browser

from tests.site.every_page import SHIFT, WATCH_SHIFTS
from tests.site.host import serving

PIECE = re.compile(rb".*?</(?:tr|form|header)>|.+", re.DOTALL)
"""Ends where a part is whole and may be painted: a row of a table, the search, the header."""
PAINTED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.mark.parametrize(
    "path", ["troubleshooting/myths/", "en/troubleshooting/myths/", "en/pool/drivers/"]
)
def test_what_is_painted_keeps_its_place_while_the_rest_arrives(
    browser: Browser, site: Path, path: str
) -> None:
    painted = Semaphore()

    def divide(body: bytes) -> Iterator[bytes]:
        for piece in PIECE.findall(body):
            painted.acquire()
            yield piece

    with (
        serving(site, divide) as address,
        browser.new_context(reduced_motion="reduce") as context,
    ):
        context.add_init_script(WATCH_SHIFTS)
        page = context.new_page()
        page.goto(address + path, wait_until="commit")
        while page.evaluate("document.readyState") == "loading":
            page.evaluate(PAINTED)
            painted.release()
        page.evaluate(PAINTED)
        assert page.evaluate("window.shift") < SHIFT, page.evaluate("window.moved")[:5]
