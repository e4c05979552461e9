"""What a reader does on a page: read, copy, switch language and colors, by mouse or by keyboard."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.site.conftest import OpenPage
from tests.site.every_page import addresses
from tools.paths import SNIPPETS

LONG = "pool/size/"
"""A page with several sections and snippets."""
COPIED = """async () => {
    const copied = []
    for (const block of document.querySelectorAll(".snippet")) {
        block.querySelector("[data-md-type=copy]").click()
        copied.push([
            block.querySelector("[download]").textContent,
            await navigator.clipboard.readText(),
        ])
    }
    return copied
}"""
FOCUSED = """() => {
    const focused = document.activeElement
    return [focused.tagName, [...focused.classList], getComputedStyle(focused).outlineStyle]
}"""


def scroll_to(page: Page, number: int) -> str:
    """Read on to a section of the page; returns its id."""
    heading = page.locator("article h2").nth(number)
    heading.evaluate("heading => heading.scrollIntoView()")
    return str(heading.get_attribute("id"))


@pytest.mark.parametrize("path", [LONG, f"en/{LONG}"])
def test_the_language_switch_keeps_page_and_heading(
    open_page: OpenPage, address: str, path: str
) -> None:
    page = open_page(path)
    section = scroll_to(page, 2)
    page.locator("a.switch").click()

    there = LONG if path.startswith("en/") else f"en/{LONG}"
    expect(page).to_have_url(f"{address}{there}#{section}")
    expect(page.locator(f"#{section}")).to_be_in_viewport()


def test_the_language_switch_at_the_top_of_a_page_leads_to_the_top(
    open_page: OpenPage, address: str
) -> None:
    page = open_page(LONG)
    page.locator("a.switch").click()
    expect(page).to_have_url(f"{address}en/{LONG}")


def test_a_page_and_its_switch_work_without_javascript(open_page: OpenPage, address: str) -> None:
    page = open_page(LONG, java_script_enabled=False)
    expect(page.locator("article pre").first).to_be_visible()
    page.locator("a.switch").click()
    expect(page).to_have_url(f"{address}en/{LONG}")


@pytest.fixture(scope="module")
def clipboard_page(browser: Browser) -> Iterator[Page]:
    """One page for all copies: it may read the clipboard."""
    with browser.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        yield context.new_page()


@pytest.mark.parametrize("path", [path for path in addresses() if not path.startswith("en/")])
def test_the_copy_button_gives_exactly_the_file(
    clipboard_page: Page, address: str, path: str
) -> None:
    clipboard_page.goto(address + path)
    for name, copied in clipboard_page.evaluate(COPIED):
        assert copied == (SNIPPETS / name).read_text("utf-8").rstrip("\n")


def test_a_long_printed_line_wraps_where_code_does_not(open_page: OpenPage) -> None:
    page = open_page(LONG, viewport={"width": 390, "height": 844})
    line = float(
        page.locator("pre code").first.evaluate("e => parseFloat(getComputedStyle(e).lineHeight)")
    )
    printed = page.locator(".out").evaluate_all("all => all.map(e => e.getBoundingClientRect())")
    assert max(box["height"] for box in printed) > 1.5 * line
    assert max(box["right"] for box in printed) <= 390
    assert page.locator("pre code").evaluate_all(
        "all => all.some(e => e.scrollWidth > e.clientWidth)"
    )


def test_colors_follow_the_system_until_the_reader_chooses(open_page: OpenPage) -> None:
    page = open_page("", color_scheme="dark")
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "slate")
    page.emulate_media(color_scheme="light")
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "default")

    for chosen in ("default", "slate"):
        page.locator("[data-md-component=palette] label:visible").click()
        expect(page.locator("body")).to_have_attribute("data-md-color-scheme", chosen)
    page.reload()
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "slate")


def test_the_keyboard_reaches_search_switch_and_copy(open_page: OpenPage) -> None:
    page = open_page(LONG)
    wanted = {"switch", "md-search__input", "md-code__button"}
    while wanted:
        page.keyboard.press("Tab")
        tag, classes, outline = page.evaluate(FOCUSED)
        assert tag != "BODY", f"passed the whole page without {wanted}"
        assert outline != "none" or "md-search__input" in classes, f"{classes} has no outline"
        wanted -= set(classes)


def test_nothing_is_asked_for_before_the_search_is_opened(open_page: OpenPage) -> None:
    page = open_page("")
    page.wait_for_load_state("networkidle")
    before = page.evaluate("performance.getEntriesByType('resource').map(answer => answer.name)")
    assert [url for url in before if "search" in url or "worker" in url] == []

    asked = list[str]()
    page.on("request", lambda request: asked.append(Path(request.url).name))
    page.keyboard.press("/")
    page.locator(".md-search-result__meta", has_text=re.compile("键入")).wait_for()
    icon = {"logo.svg"}  # the browser's own doing, whenever it likes
    assert set(asked) - icon == {"search_index.json", "words.js", "worker.js"}


@pytest.mark.parametrize(
    ("path", "language", "first"),
    [("nowhere/", "zh", "没有这个页面"), ("en/nowhere/", "en", "There is no such page")],
)
def test_a_wrong_address_is_answered_in_its_language(
    open_page: OpenPage, address: str, path: str, language: str, first: str
) -> None:
    page = open_page(path)
    expect(page.locator("article h1").first).to_have_text(first)
    place = "en/" if language == "en" else ""
    page.locator(f"section[lang={language}] a").click()
    expect(page).to_have_url(address + place)


def test_on_paper_there_is_only_the_page(open_page: OpenPage) -> None:
    page = open_page(LONG, color_scheme="dark")
    page.emulate_media(media="print")
    for hidden in (".md-header", ".md-sidebar--primary", ".md-code__button"):
        expect(page.locator(hidden).first).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.querySelector('pre')).whiteSpace") == "pre-wrap"
    body = page.evaluate("getComputedStyle(document.body).getPropertyValue('--ink')")
    assert body.strip() == "#24272d"
