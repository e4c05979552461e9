"""The site, built once for all, and a browser to read it with."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, Request, expect, sync_playwright

from tests.site.chromium import NoBrowser, chromium
from tests.site.host import build, complaints, serving

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
REPOSITORY = "https://github.com/example/guide"
"""Material asks this host's API for stars, unless kept from it."""

OpenPage = Callable[..., Page]

expect.set_options(timeout=30_000)  # as long as Playwright's own calls wait, on a busy machine


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The site, built once for all test processes of this run; what its build complained of."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    site, problem = folder / "site", folder / "site.problem"
    with (folder / "site.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not problem.exists():
            ran = build(site, REPO_URL=REPOSITORY)
            problem.write_text(complaints(ran) if ran.returncode else "", "utf-8")
    return site, problem.read_text("utf-8")


@pytest.fixture(scope="session")
def site(built: tuple[Path, str]) -> Path:
    """The built site. Where there is none, `test_the_site_builds_without_a_warning` says why."""
    site, problem = built
    if problem:
        pytest.skip("the site does not build")
    return site


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Where the site is served."""
    with serving(site) as address:
        yield address


@cache
def found() -> tuple[str, str]:
    """The path of a Chromium, or why there is none."""
    try:
        return chromium(), ""
    except NoBrowser as error:
        return "", str(error)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without a browser, skip what needs one, or in CI fail.

    Skipped here and not in a fixture: so the summary has one line for all, and it says why.
    """
    if "browser" in getattr(item, "fixturenames", ()) and (problem := found()[1]):
        if os.environ.get("CI") == "true":
            pytest.fail(problem, pytrace=False)
        pytest.skip(problem)


@pytest.fixture(scope="package")  # its event loop must have ended when other tests run theirs
def browser() -> Iterator[Browser]:
    """A Chromium."""
    path, _ = found()
    with (
        sync_playwright() as play,
        play.chromium.launch(executable_path=path, args=FLAGS) as opened,
    ):
        yield opened


@contextmanager
def watched(page: Page, address: str) -> Iterator[None]:
    """Fail on an error in a script of a page, or a request to another host than `address`."""
    wrong = list[str]()

    def note_request(request: Request) -> None:
        if not request.url.startswith((address, "data:", "blob:")):
            wrong.append(f"{page.url} asks another host: {request.url}")

    def note_error(error: Error) -> None:
        wrong.append(f"{page.url}: {error}")

    page.on("request", note_request)
    page.on("pageerror", note_error)
    yield
    page.remove_listener("request", note_request)
    page.remove_listener("pageerror", note_error)
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[OpenPage]:
    """Opens a page of the site as a first visit, `open_page("en/pool/size/", color_scheme="dark")`.

    An error in a script of the page, or a request to another host, fails the test.
    """
    with ExitStack() as opened:

        def open_one(path: str, script: str = "", **options: Any) -> Page:
            context = browser.new_context(**{"reduced_motion": "reduce", **options})
            opened.enter_context(context)
            context.add_init_script(script)
            page = context.new_page()
            opened.enter_context(watched(page, address))
            page.goto(address + path)
            return page

        yield open_one
