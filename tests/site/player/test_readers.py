"""A replay on a phone, on paper, in the dark, without motion, for those who listen."""

import pytest
from playwright.sync_api import expect

from tests.site.every_page import AXE, BARRIERS, TOO_WIDE
from tests.site.player.replay import (
    FULL,
    STUCK,
    OpenReplay,
    each_language,
    each_recording,
    key,
    said,
    walk,
)

PLACES = """() => [scrollY, document.documentElement.scrollWidth,
    ...[...document.querySelectorAll(".player, .player .keys, .snippet.watched")]
        .map(element => element.getBoundingClientRect()).flatMap(({ y, height }) => [y, height])]"""


@pytest.mark.parametrize("width", [320, 390, 1350])
@each_recording
def test_nothing_moves_but_what_is_shown(open_replay: OpenReplay, name: str, width: int) -> None:
    page = open_replay(name, viewport={"width": width, "height": 900})
    first, *others = walk(page, PLACES)
    assert first[1] <= width
    assert [other for other in others if other != first] == []
    assert {wide for step in walk(page, TOO_WIDE) for wide in step} == set()


@pytest.mark.parametrize(("motion", "moved"), [("reduce", False), ("no-preference", True)])
def test_nothing_moves_for_those_who_want_no_motion(
    open_replay: OpenReplay, motion: str, moved: bool
) -> None:
    page = open_replay(FULL, reduced_motion=motion)
    running = page.evaluate("""() => {
        document.querySelector("[name=on]").click()
        return document.getAnimations()
            .filter(({ effect }) => effect.target.closest(".stage")).length
    }""")
    assert bool(running) == moved


def test_on_paper_stands_how_it_ended(open_replay: OpenReplay) -> None:
    page = open_replay(FULL, 3)
    page.emulate_media(media="print")
    expect(said(page)).to_have_text("The program ends")
    expect(page.locator(".player .keys")).to_be_hidden()
    expect(page.locator(".here")).to_be_hidden()
    assert page.locator(".watched pre code").evaluate("e => e.scrollHeight <= e.clientHeight + 1")
    page.emulate_media(media="screen")
    expect(said(page)).not_to_have_text("The program ends")


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1350), ("dark", 1350), ("light", 390), ("dark", 320)]
)
@each_language
def test_there_are_no_barriers(
    open_replay: OpenReplay, language: str, scheme: str, width: int
) -> None:
    size = {"width": width, "height": 800}
    page = open_replay(STUCK, 3, language, color_scheme=scheme, viewport=size)
    page.evaluate(AXE)
    assert page.evaluate(BARRIERS) == []


@pytest.mark.parametrize("width", [320, 390, 1350])
def test_each_key_can_be_hit_with_a_thumb(open_replay: OpenReplay, width: int) -> None:
    page = open_replay(FULL, viewport={"width": width, "height": 800})
    least = 32 if width == 320 else 40
    for button in page.locator(".player button").all():
        box = button.bounding_box()
        assert box
        assert box["height"] >= 44
        assert box["width"] >= least


def test_focus_is_seen(open_replay: OpenReplay) -> None:
    page = open_replay(FULL)
    key(page, "before").focus()
    seen = []
    for _ in range(9):  # eight keys and the time line
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate("""() => [document.activeElement.name,
            getComputedStyle(document.activeElement).outlineStyle !== "none"]""")
        )
        page.keyboard.press("Tab")
    names = ["before", "back", "play", "on", "after", "", "speed", "link", "close"]
    assert seen == [[name, True] for name in names]


def test_forced_colors_keep_places_and_keys(open_replay: OpenReplay) -> None:
    page = open_replay(FULL, 3, forced_colors="active")
    styles = {
        what: page.locator(f".player {what}").first.evaluate("e => getComputedStyle(e).borderStyle")
        for what in (".place", ".extra", ".chip", "button")
    }
    assert styles == {".place": "solid", ".extra": "dashed", ".chip": "solid", "button": "solid"}
