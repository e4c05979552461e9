"""The trees of questions, as a browser draws them: no text beyond its box, every link in reach."""

import pytest

from tests.site.conftest import OpenPage
from tests.troubleshooting.symptoms import targets, trees

LINKS = """() => [...document.querySelectorAll(".tree")].map(tree =>
    [...tree.querySelectorAll("a")].map(link =>
        [link.checkVisibility(), link.hash, link.textContent]))"""
OUTSIDE = """() => [...document.querySelectorAll(".tree :is(div, span, ul a)")].filter(box => {
    const range = document.createRange()
    range.selectNodeContents(box)
    const frame = box.getBoundingClientRect()
    return [...range.getClientRects()].filter(part => part.width).some(part =>
        part.left < frame.left - 1 || part.right > frame.right + 1
        || part.top < frame.top - 1 || part.bottom > frame.bottom + 1)
}).map(box => box.textContent)"""
COVERED = """() => [...document.querySelectorAll(".tree ul li")].filter(item => {
    const [label, leaf] = [...item.children].map(part => part.getBoundingClientRect())
    return leaf && label.right > leaf.left || item.scrollWidth > item.clientWidth
}).map(item => item.textContent)"""
FLAT = """() => [...document.querySelectorAll(".tree")].filter(tree => {
    const [box, branch] = [tree.querySelector("div"), tree.querySelector("ul li")]
    return getComputedStyle(box).borderTopStyle !== "solid"
        || getComputedStyle(branch, "::before").borderLeftStyle !== "solid"
        || getComputedStyle(branch, "::after").borderTopStyle !== "solid"
}).length"""
PLACES = {"zh": "troubleshooting/symptoms/", "en": "en/troubleshooting/symptoms/"}


@pytest.mark.parametrize("language", PLACES)
def test_the_picture_has_the_links_of_the_text(open_page: OpenPage, language: str) -> None:
    page = open_page(PLACES[language])
    drawn = page.evaluate(LINKS)
    written = [list(filter(None, places)) for places in targets(language).values()]
    assert [[hash for _, hash, _ in tree] for tree in drawn] == [
        ["".join(place.partition("#")[1:]) for place in places] for places in written
    ]
    assert all(seen and said.strip() for tree in drawn for seen, _, said in tree)
    assert page.evaluate(FLAT) == 0


@pytest.mark.parametrize("width", [320, 390, 1350])
@pytest.mark.parametrize("language", PLACES)
def test_no_text_of_a_tree_is_outside_its_box(
    open_page: OpenPage, language: str, width: int
) -> None:
    page = open_page(PLACES[language], viewport={"width": width, "height": 900})
    assert page.locator(".tree").count() == len(trees(language))
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(COVERED) == []
