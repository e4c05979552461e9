"""What the search box answers, in both languages: the table is `search.toml`."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.site.conftest import OpenPage
from tests.site.host import PREFIX

TABLE = tomllib.loads((Path(__file__).parent / "search.toml").read_text("utf-8"))
NOTHING_TYPED = {"zh": "键入以开始搜索", "en": "Type to start searching"}
# The answer to the empty query comes first: so the next is to this query, not to the one before.
ASK = """([query, nothingTyped]) => new Promise((done, fail) => {
    const [box, said] = document.querySelectorAll(".md-search__input, .md-search-result__meta")
    setTimeout(fail, 30_000, new Error(`no answer to ${query}`))
    const type = (text, answered) => {
        const look = () => {
            if ((said.textContent.trim() === nothingTyped) !== (text === "")) return
            watch.disconnect()
            answered()
        }
        const watch = new MutationObserver(look)
        watch.observe(said, { childList: true, characterData: true, subtree: true })
        box.value = text
        box.dispatchEvent(new Event("keyup"))
        look()
    }
    type("", () => type(query, () => {
        const links = document.querySelectorAll(".md-search-result__item > a:first-child")
        done(Array.from(links, link => new URL(link.href).pathname))
    }))
})"""
PLACES = {"zh": "", "en": "en/"}


@pytest.fixture(scope="module")
def search_pages(browser: Browser, address: str) -> Iterator[dict[str, Page]]:
    """A page of each language with its search open."""
    context = browser.new_context(reduced_motion="reduce")
    found = {}
    for language, place in PLACES.items():
        found[language] = context.new_page()
        found[language].goto(address + place)
        found[language].locator(".md-search__input").click()
    yield found
    context.close()


def ask(page: Page, language: str, query: str) -> list[str]:
    """The pages of the answer, the best first: `pool/size`."""
    links: list[str] = page.evaluate(ASK, [query, NOTHING_TYPED[language]])
    home = f"{PREFIX}{PLACES[language]}"
    return [path.removeprefix(home).strip("/") or "index" for path in links]


@pytest.mark.parametrize(
    ("language", "query"), [(language, query) for language in TABLE for query in TABLE[language]]
)
def test_the_search_finds_the_page(
    search_pages: dict[str, Page], language: str, query: str
) -> None:
    wanted = TABLE[language][query]
    found = ask(search_pages[language], language, query)
    if wanted:
        assert wanted in found[:3]
    else:
        assert found == []


def test_what_was_found_is_marked_and_nothing_else(search_pages: dict[str, Page]) -> None:
    page = search_pages["en"]
    ask(page, "en", "pool_size")
    marks = page.locator(".md-search-result__list mark").all_text_contents()
    assert marks
    assert {re.sub("[ _]", "", mark.lower())[:8] for mark in marks} == {"poolsize"}


def test_the_search_works_by_keyboard(open_page: OpenPage) -> None:
    page = open_page("en/")
    page.keyboard.press("s")
    page.keyboard.type("max_overflow")
    page.locator(".md-search-result__item").first.wait_for()
    page.keyboard.press("ArrowDown")
    link = page.locator(".md-search-result__link").first
    expect(link).to_be_focused()
    first = link.evaluate("link => link.href.split('?')[0]")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert first == page.url.partition("?")[0]
