"""Listings as a reader meets them: answer first, the point in sight, the rest one click away."""

from statistics import median
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.site.conftest import OpenPage
from tests.site.every_page import addresses
from tools.paths import SNIPPETS

DESKTOP: ViewportSize = {"width": 1350, "height": 940}
PHONE: ViewportSize = {"width": 412, "height": 823}
MEDIAN, LONGEST, SHARE = 22, 42, 0.35
"""Lines that a listing shows before anything is opened; the part of a phone's page that is code."""
ABOUT_CODE = ("", "pool/size/", "pool/stale/", "sessions/leaks/", "sessions/fastapi/")
"""Pages that keep that part each; all pages together keep it as their median."""
PROSE = {"zh": 60, "en": 120}
"""Characters of its own that a section with a listing shows before it."""
LONG = "pool/size/"

LISTINGS = """() => [...document.querySelectorAll(".snippet")].map(card => {
    const code = card.querySelector("pre > code"), style = getComputedStyle(code)
    const around = parseFloat(style.paddingTop) + parseFloat(style.paddingBottom)
    const inside = code.getBoundingClientRect().height - around
    return {
        name: card.querySelector("[download]").textContent,
        text: code.textContent,
        claim: card.querySelector(".claim").textContent,
        lines: inside / parseFloat(style.lineHeight),
        folds: card.querySelectorAll(".fold").length,
    }
})"""
PART_OF_CODE = """() => {
    const height = element => element.getBoundingClientRect().height
    const code = [...document.querySelectorAll("article .highlight")].map(height)
    return code.reduce((one, other) => one + other, 0) / height(document.querySelector("article"))
}"""
PROSE_BEFORE_CODE = """() => {
    const all = [...document.querySelectorAll("article :is(h1, h2, h3, p, li, td, th, .highlight)")]
    const found = {}
    for (const [at, heading] of all.entries()) {
        if (!heading.id || !heading.matches("h1, h2, h3")) continue
        const rest = all.slice(at + 1), end = rest.findIndex(each => each.matches("h1, h2, h3"))
        const section = end < 0 ? rest : rest.slice(0, end)
        const code = section.findIndex(each => each.matches(".highlight"))
        if (code < 0) continue
        // Opened by its link, a heading stands this far below the edge of the window.
        const edge = heading.getBoundingClientRect().top
            - parseFloat(getComputedStyle(heading).scrollMarginTop)
        found[heading.id] = section.slice(0, code)
            .filter(each => each.getBoundingClientRect().top - edge < innerHeight)
            .reduce((count, each) => count + each.textContent.trim().length, 0)
    }
    return found
}"""
HIDDEN = """() => [...document.querySelectorAll(".fold")]
    .filter(fold => fold.getBoundingClientRect().height < 10).length"""


def language(path: str) -> str:
    return "en" if path.startswith("en/") else "zh"


Visits = dict[str, dict[str, Any]]
"""What is seen of each page, by its place on the site."""


@pytest.fixture(scope="module")
def visits(browser: Browser, address: str) -> dict[str, Visits]:
    """Each page, opened once, as it is seen on a desktop and on a phone."""
    scripts = {"listings": LISTINGS, "part": PART_OF_CODE, "prose": PROSE_BEFORE_CODE}
    seen: dict[str, Visits] = {"desktop": {}, "phone": {}}
    with browser.new_context(reduced_motion="reduce") as context:
        page = context.new_page()
        for path in addresses():
            page.goto(address + path)
            for screen, size in (("desktop", DESKTOP), ("phone", PHONE)):
                page.set_viewport_size(size)
                seen[screen][path] = {what: page.evaluate(ask) for what, ask in scripts.items()}
    return seen


@pytest.fixture(scope="module")
def on_a_desktop(visits: dict[str, Visits]) -> Visits:
    return visits["desktop"]


@pytest.fixture(scope="module")
def on_a_phone(visits: dict[str, Visits]) -> Visits:
    return visits["phone"]


def test_a_listing_shows_its_point_and_keeps_its_text(on_a_desktop: Visits) -> None:
    lines = dict[str, dict[str, float]]()
    for path, seen in on_a_desktop.items():
        for found in seen["listings"]:
            assert found["text"] == (SNIPPETS / found["name"]).read_text("utf-8"), found["name"]
            is_chinese = any("一" <= sign <= "鿿" for sign in found["claim"])
            assert is_chinese == (language(path) == "zh"), found["claim"]
            assert found["folds"], found["name"]
            lines.setdefault(language(path), {})[found["name"]] = found["lines"]
    for each in lines.values():
        print(f"median {median(each.values()):.1f} lines, longest {max(each.values()):.1f}")
        assert {name: shown for name, shown in each.items() if shown > LONGEST} == {}
        assert median(each.values()) <= MEDIAN


def test_a_page_is_prose_in_the_first_place(on_a_phone: Visits) -> None:
    parts = {path: seen["part"] for path, seen in on_a_phone.items()}
    for of in PROSE:
        middle = median(part for path, part in parts.items() if language(path) == of)
        print(f"{of}: code is {middle:.0%} of a phone's page")
        assert middle <= SHARE
    each = {place: parts[place] for name in ABOUT_CODE for place in (name, f"en/{name}")}
    assert {place: part for place, part in each.items() if part > SHARE} == {}


@pytest.mark.parametrize("screen", ["desktop", "phone"])
def test_a_section_answers_before_it_shows_code(visits: dict[str, Visits], screen: str) -> None:
    bare = {
        f"{path}#{heading}": shown
        for path, seen in visits[screen].items()
        for heading, shown in seen["prose"].items()
        if shown < PROSE[language(path)]
    }
    assert sum(len(seen["prose"]) for seen in visits[screen].values()) > 300
    assert bare == {}, "write the answer before the listing, in one to three sentences"


def open_fold(page: Page) -> tuple[Any, Any]:
    """The first fold of a page and its button."""
    button = page.locator(".unfold").first
    button.scroll_into_view_if_needed()
    return button, page.locator(".fold").first


@pytest.mark.parametrize("press", ["click", "Enter", "Space"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_fold_opens_in_place_and_closes_again(
    open_page: OpenPage, press: str, size: dict[str, int]
) -> None:
    page = open_page(f"en/{LONG}", viewport=size)
    button, fold = open_fold(page)
    expect(button).to_have_accessible_name("imports, engine, watcher, on_the_server() · 30 lines")
    for is_open in (True, False, True):
        before = button.bounding_box()
        button.click() if press == "click" else button.press(press)
        assert button.bounding_box() == before
        expect(button).to_have_attribute("aria-expanded", str(is_open).lower())
        assert (fold.bounding_box()["height"] > 100) == is_open


def test_the_browsers_own_search_opens_a_fold(open_page: OpenPage) -> None:
    page = open_page(f"en/{LONG}#:~:text=token_hex")
    button, fold = page.locator(".unfold").first, page.locator(".fold").first
    expect(button).to_have_attribute("aria-expanded", "true")
    assert fold.bounding_box()["height"] > 100  # type: ignore[index]
    expect(fold).not_to_have_attribute("hidden", "until-found")
    expect(page.locator(".unfold").last).to_have_attribute("aria-expanded", "false")


def test_what_is_folded_is_left_to_the_browsers_search(open_page: OpenPage) -> None:
    page = open_page(LONG)
    assert page.locator(".fold").count() > 5
    assert page.locator('.fold:not([hidden="until-found"])').count() == 0


@pytest.mark.parametrize("lacks", ["JavaScript", "style", "paper"])
def test_nothing_is_folded_where_it_could_not_be_opened(open_page: OpenPage, lacks: str) -> None:
    page = open_page(LONG, java_script_enabled=lacks != "JavaScript")
    if lacks == "style":
        page.route("**/extra.css", lambda route: route.abort())
        page.reload()
    elif lacks == "paper":
        page.emulate_media(media="print")
    assert page.evaluate(HIDDEN) == 0
    expect(page.locator(".unfold:visible")).to_have_count(0)


def test_forced_colors_keep_folds(open_page: OpenPage) -> None:
    page = open_page(LONG, forced_colors="active")
    button = page.locator(".unfold").first
    assert button.evaluate("e => getComputedStyle(e).borderBlockStartStyle") == "solid"


def test_a_whole_listing_can_be_selected_and_copied_by_hand(open_page: OpenPage) -> None:
    page = open_page(LONG)
    page.evaluate("document.querySelectorAll('.unfold').forEach(button => button.click())")
    name, copied = page.evaluate("""() => {
        const card = document.querySelector(".snippet")
        getSelection().selectAllChildren(card.querySelector("pre > code"))
        return [card.querySelector("[download]").textContent, getSelection().toString()]
    }""")
    assert copied.strip() == (SNIPPETS / name).read_text("utf-8").strip()
