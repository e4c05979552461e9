"""The site with recordings of ours, and a replay opened in it."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.site.conftest import OpenPage
from tests.site.host import serving
from tests.site.player.replay import LANGUAGES, PAGES, RECORDINGS, OpenReplay, count, list_steps


def add_buttons(page: Path, root: str) -> None:
    """Give a page what the build gives it where there are recordings: they may be missing here."""
    html = page.read_text("utf-8")
    for name in PAGES:
        button = (
            f'<button type="button" class="watch" data-recording="{root}recordings/{name}.json">'
            "Watch</button>"
        )
        if f"recordings/{name}.json" not in html:
            card = rf'(<a href="[^"]*snippets/{name}\.py" download.*?)(</span>)'
            html = re.sub(card, rf"\1{button}\2", html)
            html = re.sub(rf'<figure [^>]*data-replay="{name}"[^>]*>', rf"\g<0>{button}", html)
    page.unlink()  # it is linked to the site of all tests
    page.write_text(html, "utf-8")


@pytest.fixture(scope="session")
def address(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the site is served, with our recordings."""
    ours = tmp_path_factory.mktemp("replays") / "site"
    shutil.copytree(site, ours, copy_function=os.link)
    shutil.rmtree(ours / "recordings", ignore_errors=True)
    shutil.copytree(RECORDINGS, ours / "recordings")
    for place in LANGUAGES.values():
        for path in PAGES.values():
            root = "../" * (place + path).count("/") or "./"
            add_buttons(ours / place / path / "index.html", root)
    with serving(ours) as address:
        yield address


@pytest.fixture
def open_replay(open_page: OpenPage) -> OpenReplay:
    """Opens the replay of a snippet by its address, `open_replay(FULL, 3, language="en")`."""

    def opened(name: str, step: int = 1, language: str = "en", **options: Any) -> Page:
        page = open_page(f"{LANGUAGES[language]}{PAGES[name]}#watch={name}:{step}", **options)
        expect(count(page)).to_have_text(f"{step} / {len(list_steps(name))}")
        return page

    return opened
