"""What the search answers, in both languages: the table is `search.toml`."""

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.site.conftest import OpenPage

TABLE = tomllib.loads((Path(__file__).parent / "search.toml").read_text("utf-8"))
PLACES = {"zh": "", "en": "en/"}
FIRST, FIRST_THREE, SECTION = 0.8, 0.97, 0.8
"""The least share of queries whose page comes first, in the first three; whose section does."""
ASK_ALL = """([url, queries]) => new Promise((done, fail) => {
    const worker = new Worker(url)
    const answers = []
    setTimeout(fail, 200_000, new Error("the worker is too slow"))
    worker.onerror = event => fail(new Error(event.message ?? "the worker did not load"))
    worker.onmessage = ({ data: { type, data } }) => {
        if (type === 1) for (const query of queries) worker.postMessage({ type: 2, data: query })
        if (type === 3 && answers.push(data) === queries.length) done(JSON.stringify(answers))
    }
})"""


@dataclass
class Asked:
    """A query of the table, and what the search answered."""

    query: str
    wanted: list[str]
    """Pages that hold the answer, some with the section; empty where the site has none."""
    reported: bool
    """A reader missed it once, so it may not be missed again."""
    items: list[list[dict[str, Any]]]
    found: str
    """`nothing` where the search says so."""

    @property
    def pages(self) -> list[str]:
        """What was answered, the best first."""
        return [page_of(item[0]["location"]) for item in self.items]

    @property
    def rank(self) -> int:
        """Where the first right page stands; 0 for nowhere."""
        if not self.wanted:
            return int(self.found == "nothing")
        right = {place.partition("#")[0] for place in self.wanted}
        return next((rank for rank, page in enumerate(self.pages, 1) if page in right), 0)

    @property
    def section_first(self) -> bool | None:
        """Whether the right page leads to the right section first; None where none is asked for."""
        wanted = [place for place in self.wanted if "#" in place]
        if not wanted or not self.rank or self.pages[self.rank - 1] not in wanted[0]:
            return None
        shown = [section["location"] for section in self.items[self.rank - 1]]
        first = next((place for place in shown if "#" in place), "")
        return first.endswith("#" + wanted[0].partition("#")[2])

    def __str__(self) -> str:
        query = re.sub(r"\s+", " ", self.query)
        query = query if len(query) < 90 else "… " + query[-88:]
        wanted = " or ".join(self.wanted) or "nothing"
        place = f"comes at {self.rank}" if self.rank else "is not found"
        return f"`{query}`: {wanted} {place}, after {', '.join(self.pages[:3]) or 'nothing'}."


def page_of(location: str) -> str:
    """`pool/size/#zero`: `pool/size`."""
    return location.partition("#")[0].strip("./") or "index"


@pytest.fixture(scope="module", params=PLACES)
def language(request: pytest.FixtureRequest) -> str:
    """Each of the two."""
    return str(request.param)


@pytest.fixture(scope="module")
def asked(language: str, browser: Browser, address: str) -> list[Asked]:
    """The whole table, asked of the language's own worker in one page."""
    rows = [
        (query, where.split(), reported)
        for tables, reported in ((TABLE, False), (TABLE["reported"], True))
        for kind in (language, "both")
        for where, queries in tables.get(kind, {}).items()
        for query in queries
    ]
    worker = f"{address}{PLACES[language]}assets/search/worker.js"
    page = browser.new_page()
    try:
        page.goto(worker)  # and no page of the site: those have a Worker that waits for a focus
        found = json.loads(page.evaluate(ASK_ALL, [worker, [query for query, *_ in rows]]))
    finally:
        page.context.close()
    return [
        Asked(*row, answer["items"], answer.get("found", ""))
        for row, answer in zip(rows, found, strict=True)
    ]


def test_the_right_page_comes_first(asked: list[Asked], language: str) -> None:
    first = sum(row.rank == 1 for row in asked) / len(asked)
    three = sum(1 <= row.rank <= 3 for row in asked) / len(asked)
    middle = median(row.rank or 99 for row in asked)
    sections = [row.section_first for row in asked if row.section_first is not None]
    section = sum(sections) / len(sections)
    figure = (
        f"{language}: of {len(asked)} queries {first:.1%} find their page first, {three:.1%} in "
        f"the first three; median rank {middle:.0f}; the section first in {section:.0%}."
    )
    print(figure)
    misses = sorted((row for row in asked if row.rank != 1), key=lambda row: 1 <= row.rank <= 3)
    report = "\n".join([figure, *map(str, misses)])
    assert len(asked) >= 300, figure
    assert min(first / FIRST, three / FIRST_THREE, section / SECTION) >= 1, report


def test_what_readers_missed_is_found(asked: list[Asked]) -> None:
    missed = [str(row) for row in asked if row.reported and not 1 <= row.rank <= 3]
    assert not missed, "\n".join(missed)


def test_every_place_of_the_table_exists(site: Path) -> None:
    places = {
        place
        for tables in (TABLE, TABLE["reported"])
        for kind in (*PLACES, "both")
        for where in tables.get(kind, {})
        for place in where.split()
    }
    for place in sorted(places):
        page, _, section = place.partition("#")
        html = (site / page.removeprefix("index") / "index.html").read_text("utf-8")
        assert not section or f'id="{section}"' in html, place


@pytest.mark.parametrize("place", PLACES.values())
def test_every_page_is_described(site: Path, place: str) -> None:
    """A description that is no YAML stands on the page instead, as a heading."""
    index = json.loads((site / place / "search" / "search_index.json").read_text("utf-8"))
    bare = [
        doc["location"]
        for doc in index["docs"]
        if "#" not in doc["location"] and len(doc.get("about", "")) < 40
    ]
    assert bare == []


def test_excerpts_are_prose_and_not_imports(asked: list[Asked]) -> None:
    excerpts = {section["text"] for row in asked for item in row.items for section in item}
    assert [text for text in excerpts if re.search(r"^import |\bfrom [\w.]+ import ", text)] == []


def open_search(page: Page) -> None:
    page.keyboard.press("s")
    expect(page.locator(".md-search__input")).to_be_focused()


def test_what_was_found_is_marked_and_nothing_else(open_page: OpenPage) -> None:
    page = open_page("en/")
    open_search(page)
    page.keyboard.insert_text("pool_size")
    page.locator(".md-search-result__list mark").first.wait_for()
    marks = page.locator(".md-search-result__list mark").all_text_contents()
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


@pytest.mark.parametrize(
    ("place", "text"), [("", "连接池满了"), ("en/", "too many clients already")]
)
def test_a_text_pasted_without_a_key_is_searched(
    open_page: OpenPage, place: str, text: str
) -> None:
    page = open_page(place)
    page.locator(".md-search__input").click()
    expect(page.locator(".md-search-result__meta")).to_contain_text(re.compile("键入|Type to"))
    page.keyboard.insert_text(text)  # an input event, as the mouse or a touch menu makes; no key
    expect(page.locator(".md-search-result__item").first).to_be_visible()


def test_the_number_shown_is_that_of_the_pages_listed(open_page: OpenPage) -> None:
    page = open_page("en/")
    open_search(page)
    page.keyboard.type("connection")
    meta = page.locator(".md-search-result__meta", has_text=re.compile(r"\d+ matching"))
    said = int(meta.inner_text().split()[0])
    assert said > 15
    items = page.locator(".md-search-result__item")
    scroll = """async area => {
        area.scrollTo(0, 0)
        await new Promise(requestAnimationFrame)
        await new Promise(requestAnimationFrame)
        area.scrollTo(0, area.scrollHeight)
    }"""
    while (seen := items.count()) < said:  # Material adds some whenever one scrolls to the end
        page.locator(".md-search__scrollwrap").evaluate(scroll)
        items.nth(seen).wait_for(state="attached")
    assert items.count() == said


@pytest.mark.parametrize(
    ("place", "query", "said"),
    [("", "红烧肉怎么做", "没有找到"), ("en/", "organic chemistry", "Nothing found")],
)
def test_where_nothing_is_found_it_says_so_and_shows_doors(
    open_page: OpenPage, place: str, query: str, said: str
) -> None:
    page = open_page(place)
    open_search(page)
    page.keyboard.insert_text(query)
    expect(page.locator(".md-search-result__meta")).to_contain_text(said)
    links = page.locator(".md-search-result__link").evaluate_all("links => links.map(a => a.href)")
    assert any(link.endswith(f"/{place}#where-to-go") for link in links), links


@pytest.mark.parametrize("missing", ["worker.js", "search_index.json"])
def test_without_a_network_it_says_so_and_tries_again(open_page: OpenPage, missing: str) -> None:
    page = open_page("en/")
    page.context.route(f"**/{missing}", lambda route: route.abort())
    open_search(page)
    page.keyboard.type("pool")
    expect(page.locator(".md-search-result__meta")).to_contain_text("did not load")
    page.context.unroute(f"**/{missing}")
    page.keyboard.type("_size")
    expect(page.locator(".md-search-result__item").first).to_be_visible()
