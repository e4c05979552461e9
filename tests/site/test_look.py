"""What a page looks like where it is easily forgotten: on a phone, on paper, in forced colors."""

import re
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import PdfMargins, expect

from tests.site.conftest import OpenPage

MANY_SNIPPETS = "en/pool/stale/"
COVERED = """() => [...document.querySelectorAll(".md-code__nav")].flatMap(nav => {
    const box = nav.getBoundingClientRect()
    const block = nav.closest(".highlight")
    const walker = document.createTreeWalker(block, NodeFilter.SHOW_TEXT)
    const found = []
    for (let text; (text = walker.nextNode());) {
        if (!text.data.trim() || nav.contains(text)) continue
        const range = document.createRange()
        range.selectNodeContents(text)
        const clip = text.parentElement.closest("code, .filename a, .watch")
        const clips = clip.getBoundingClientRect()
        for (const part of range.getClientRects())
            if (part.left < box.right && Math.min(part.right, clips.right) > box.left
                && part.top < box.bottom && part.bottom > box.top) found.push(text.data.trim())
    }
    return found
})"""
NEEDED = (
    "h1",
    ".md-search__form",
    "a.switch",
    "[data-md-component=palette] label",
    ".md-nav--primary .md-nav__link",
    ".md-nav--secondary .md-nav__link",
    ".highlight pre code",
    ".filename a[download]",
    ".md-code__nav button",
    "a[rel=edit]",
    ".md-footer",
    ".md-copyright",
)
NEEDED_ON_A_PHONE = (
    "h1",
    "label[for=__drawer]",
    "label[for=__search]",
    "a.switch",
    ".highlight pre code",
    ".md-copyright",
)
RULES = """css => new CSSStyleSheet().replace(css).then(sheet => {
    const list = rules => [...rules].flatMap(rule =>
        rule.selectorText ?? [rule.constructor.name, ...list(rule.cssRules ?? [])])
    return list(sheet.cssRules)
})"""
FREELY = "* { break-inside: auto !important; break-after: auto !important }"


@pytest.mark.parametrize("path", ["pool/size/", "en/pool/size/"])
def test_what_a_reader_needs_is_there_and_has_a_size(open_page: OpenPage, path: str) -> None:
    page = open_page(path, viewport={"width": 1280, "height": 900})
    for needed in NEEDED:
        expect(page.locator(needed).locator("visible=true").first, needed).to_be_visible()
        box = page.locator(needed).locator("visible=true").first.bounding_box()
        assert box, needed
        assert min(box["width"], box["height"]) >= 10, needed
    page.set_viewport_size({"width": 390, "height": 844})
    for needed in NEEDED_ON_A_PHONE:
        expect(page.locator(needed).locator("visible=true").first, needed).to_be_visible()


@pytest.mark.parametrize("width", [960, 1219, 1280, 1600])
def test_the_header_keeps_still_while_its_end_arrives(open_page: OpenPage, width: int) -> None:
    page = open_page("en/pool/size/", viewport={"width": width, "height": 900})
    parts = [".md-header__title", "[data-md-component=palette]", "a.switch", ".md-search"]
    whole = [page.locator(part).bounding_box() for part in parts]
    page.evaluate("document.querySelector('.md-header__source').remove()")
    assert [page.locator(part).bounding_box() for part in parts] == whole
    page.evaluate("document.querySelector('.md-search').remove()")
    assert [page.locator(part).bounding_box() for part in parts[:-1]] == whole[:-1]


@pytest.mark.parametrize("width", [360, 412])
@pytest.mark.parametrize("path", ["en/start/quickstart/", "start/quickstart/", MANY_SNIPPETS])
def test_the_copy_button_covers_no_text_on_a_phone(
    open_page: OpenPage, path: str, width: int
) -> None:
    page = open_page(path, viewport={"width": width, "height": 800})
    page.locator(".md-code__nav").first.wait_for(state="attached")
    assert page.evaluate(COVERED) == []


@pytest.mark.parametrize(("path", "other"), [("pool/size/", "en/pool/size/"), ("en/", "")])
def test_the_color_scheme_survives_the_switch_of_language(
    open_page: OpenPage, address: str, path: str, other: str
) -> None:
    page = open_page(path, color_scheme="light")
    for _ in range(2):  # as the system says, light, dark
        page.locator("[data-md-component=palette] label:visible").click()
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "slate")
    page.locator("a.switch").click()
    expect(page).to_have_url(address + other)
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "slate")


def test_materials_style_sheet_is_whole_but_for_what_we_drop(
    open_page: OpenPage, site: Path
) -> None:
    [ours] = site.glob("assets/stylesheets/main.*.css")
    theirs = Path(str(files("material"))) / "templates/assets/stylesheets" / ours.name
    page = open_page("")
    kept, whole = (page.evaluate(RULES, sheet.read_text("utf-8")) for sheet in (ours, theirs))
    assert kept == [rule for rule in whole if not rule.startswith('[dir="rtl"]') or "," in rule], (
        "tools/site/lighten.py: _ICON or _RIGHT_TO_LEFT cuts into a rule of Material's; mend it"
    )


def test_paper_is_filled(open_page: OpenPage) -> None:
    """Listings may be cut: where each has to stand on one sheet, others stay half empty."""
    page = open_page(MANY_SNIPPETS)

    def count_sheets() -> int:
        return len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4")))

    ours = count_sheets()
    page.add_style_tag(content=f"@media print {{ {FREELY} }}")
    assert ours <= count_sheets() + 1


def test_paper_is_white_in_dark_mode(open_page: OpenPage) -> None:
    page = open_page(MANY_SNIPPETS, color_scheme="dark")
    page.emulate_media(media="print")
    for element in ("html", "body"):
        color = page.evaluate(
            f"getComputedStyle(document.querySelector('{element}')).backgroundColor"
        )
        assert color == "rgb(255, 255, 255)", element


def test_forced_colors_keep_buttons_and_printed_lines(open_page: OpenPage) -> None:
    page = open_page(MANY_SNIPPETS, forced_colors="active")
    button = page.locator(".md-code__button").first
    button.wait_for(state="attached")
    icon, behind = button.evaluate(
        "e => [getComputedStyle(e, '::after').backgroundColor, getComputedStyle(e).backgroundColor]"
    )
    assert icon not in (behind, "rgba(0, 0, 0, 0)")
    printed, comment = page.evaluate("""() => {
        const style = element => getComputedStyle(element)
        const printed = document.querySelector(".out")
        return [style(printed).borderLeftStyle, style(printed.closest("pre")).borderLeftStyle]
    }""")
    assert printed == "solid"
    assert comment != "solid"


@pytest.mark.parametrize("path", ["production/checklist/", "en/production/checklist/"])
def test_the_checklist_is_one_sheet_of_paper(open_page: OpenPage, path: str) -> None:
    page = open_page(path)
    margin = PdfMargins(top="1cm", right="1cm", bottom="1cm", left="1cm")
    for paper in ("A4", "Letter"):
        sheet = page.pdf(format=paper, margin=margin)
        assert len(re.findall(rb"/Type\s*/Page\b", sheet)) == 1, paper


@pytest.mark.parametrize("path", ["production/application/", "en/production/application/"])
def test_an_archive_says_its_size_and_can_be_unpacked(
    open_page: OpenPage, site: Path, path: str
) -> None:
    link = open_page(path).get_by_role("link", name="teahouse.zip")
    archive = site / path / str(link.get_attribute("href"))
    assert link.get_attribute("download") == ""
    paragraph = str(link.locator("xpath=ancestor::p").text_content())
    assert f"{-(-archive.stat().st_size // 1024)} KB" in paragraph
    with zipfile.ZipFile(archive) as unpacked:
        assert unpacked.testzip() is None
        assert "teahouse/README.md" in unpacked.namelist()
