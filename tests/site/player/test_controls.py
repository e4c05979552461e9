"""Playing a run: by keys, by mouse, by an address; what it costs, and when it does not load."""

import gzip
import re

import pytest
from playwright.sync_api import expect

from tests.site.conftest import OpenPage
from tests.site.player.replay import (
    FULL,
    HOME,
    LANGUAGES,
    PAGES,
    STUCK,
    OpenReplay,
    count,
    each_language,
    find_steps,
    key,
    list_steps,
    opener,
    said,
)
from tools.paths import SNIPPETS

WEIGHT = 8 * 1024
"""Of the player's scripts in one language, compressed."""
ASKED = """() => performance.getEntriesByType("resource").map(({ name }) => name)
    .filter(name => /player|recordings/.test(name))"""


@each_language
def test_the_keyboard_is_enough(open_page: OpenPage, language: str) -> None:
    last, printed = len(list_steps(FULL)), find_steps(FULL, "print")
    page = open_page(LANGUAGES[language] + PAGES[FULL])
    opener(page, FULL).focus()
    page.keyboard.press("Enter")
    expect(key(page, "play")).to_be_focused()
    expect(opener(page, FULL)).to_have_attribute("aria-expanded", "true")
    for pressed, there in (
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("ArrowLeft", 1),
        ("End", last),
        ("ArrowRight", last),
        ("Shift+ArrowLeft", max(i for i in printed if i < last)),
        ("Home", 1),
        ("Shift+ArrowRight", min(i for i in printed if i > 1)),
    ):
        page.keyboard.press(pressed)
        expect(count(page)).to_have_text(f"{there} / {last}")
    page.keyboard.press("Escape")
    expect(page.locator(".player")).to_have_count(0)
    expect(opener(page, FULL)).to_be_focused()
    expect(opener(page, FULL)).to_have_attribute("aria-expanded", "false")


def test_it_plays_to_the_end_and_begins_anew(open_replay: OpenReplay) -> None:
    last = len(list_steps(STUCK))
    page = open_replay(STUCK, last - 1)
    play = key(page, "play")
    expect(play).to_have_attribute("title", "Play")
    page.keyboard.press("Space")
    expect(play).to_have_attribute("title", "Pause")
    expect(count(page)).to_have_text(f"{last} / {last}")
    expect(play).to_have_attribute("title", "Play")
    play.click()
    expect(count(page)).to_have_text(f"1 / {last}")
    play.click()
    expect(play).to_have_attribute("title", "Play")


def test_speed_and_time_line(open_replay: OpenReplay) -> None:
    page = open_replay(FULL)
    for speed in ("2×", "4×", "0.5×", "1×"):
        key(page, "speed").click()
        expect(key(page, "speed")).to_have_text(speed)
    page.get_by_role("slider").fill("6")
    steps = len(list_steps(FULL))
    expect(count(page)).to_have_text(f"7 / {steps}")
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuetext", f"Step 7 of {steps}")


def test_a_press_starts_it_unless_less_motion_is_wanted(open_page: OpenPage) -> None:
    for motion, label in (("no-preference", "Pause"), ("reduce", "Play")):
        page = open_page(f"en/{PAGES[STUCK]}", reduced_motion=motion)
        opener(page, STUCK).click()
        expect(key(page, "play")).to_have_attribute("title", label)
        opener(page, STUCK).click()
        expect(page.locator(".player")).to_have_count(0)


def test_printed_lines_are_jumped_to_and_said_as_the_file_has_them(open_replay: OpenReplay) -> None:
    file = (SNIPPETS / f"{FULL}.py").read_text("utf-8")
    expected = re.findall(r"^ *(#> .*)$", file, re.MULTILINE)
    page = open_replay(FULL, len(list_steps(FULL)))
    found = []
    for _ in expected:
        key(page, "before").click()
        found.append(said(page).locator("code").text_content())
    assert found[::-1] == expected


# Addresses


@each_language
def test_an_address_opens_a_step_and_the_switch_takes_it_along(
    open_replay: OpenReplay, address: str, language: str
) -> None:
    page = open_replay(STUCK, 4, language)
    expect(page.locator(".player")).to_be_in_viewport()
    page.keyboard.press("ArrowRight")
    page.locator("a.switch").click()
    expect(count(page)).to_have_text(f"5 / {len(list_steps(STUCK))}")
    there = next(place for other, place in LANGUAGES.items() if other != language)
    expect(page).to_have_url(f"{address}{there}{PAGES[STUCK]}#watch={STUCK}:5")


def test_the_link_to_a_step_is_copied(open_replay: OpenReplay, address: str) -> None:
    page = open_replay(STUCK, 4, permissions=["clipboard-read", "clipboard-write"])
    page.keyboard.press("ArrowRight")
    key(page, "link").click()
    expect(count(page)).to_have_text("Link copied")
    link = f"{address}en/{PAGES[STUCK]}#watch={STUCK}:5"
    assert page.evaluate("navigator.clipboard.readText()") == link
    page.evaluate("location.hash = location.hash.replace(':5', ':7')")  # as pasted
    expect(count(page)).to_have_text(f"7 / {len(list_steps(STUCK))}")


def test_without_a_clipboard_the_link_is_in_the_address(open_replay: OpenReplay) -> None:
    page = open_replay(STUCK, 4)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject() }")
    key(page, "link").click()
    expect(count(page)).to_have_text("The link is in the address bar")
    assert page.url.endswith(f"#watch={STUCK}:4")


def test_a_heading_is_still_reached_by_its_address(open_page: OpenPage) -> None:
    page = open_page(f"en/{PAGES[FULL]}")
    heading = page.locator("article h2[id]").last
    page.evaluate(f"location.hash = '{heading.get_attribute('id')}'")
    expect(heading).to_be_in_viewport()
    expect(page.locator(".player")).to_have_count(0)


# The picture of the home page


@each_language
def test_the_drawing_of_the_home_page_becomes_the_replay(
    open_page: OpenPage, language: str
) -> None:
    page = open_page(LANGUAGES[language])
    figure = page.locator("[data-replay]")
    expect(figure.locator("> svg")).to_be_visible()
    figure.locator(".watch").click()
    expect(count(page)).to_have_text(f"1 / {len(list_steps(HOME))}")
    expect(figure.locator("> svg")).to_be_hidden()
    expect(figure.locator(".line")).to_be_visible()  # no listing stands below
    page.keyboard.press("Escape")
    expect(figure.locator("> svg")).to_be_visible()


@each_language
def test_without_javascript_there_is_the_drawing_and_no_dead_button(
    open_page: OpenPage, language: str
) -> None:
    page = open_page(LANGUAGES[language], java_script_enabled=False)
    expect(page.locator("[data-replay] svg")).to_be_visible()
    buttons = page.locator(".watch").all()
    assert buttons
    for button in buttons:
        expect(button).to_be_hidden()


# What it costs, and when it does not load


@each_language
def test_the_player_is_light_and_comes_when_asked_for(open_page: OpenPage, language: str) -> None:
    page = open_page(LANGUAGES[language] + PAGES[FULL])
    assert page.evaluate(ASKED) == []
    opener(page, FULL).click()
    expect(count(page)).to_be_visible()
    files = page.evaluate(ASKED)
    scripts = [file for file in files if file.endswith(".js")]
    assert sorted(file.rpartition("/")[2] for file in files) == [
        "default.json",
        "picture.js",
        "player.css",
        "player.js",
        f"words.{language}.js",
    ]
    assert sum(len(gzip.compress(page.request.get(file).body())) for file in scripts) <= WEIGHT


@pytest.mark.parametrize("what", ["recordings/", "player.js", "player.css", "picture.js"])
@pytest.mark.parametrize(
    ("language", "sentence"), [("zh", "回放没能载入。"), ("en", "The replay did not load.")]
)
def test_what_does_not_load_is_said_in_a_sentence(
    open_page: OpenPage, language: str, sentence: str, what: str
) -> None:
    page = open_page(LANGUAGES[language] + PAGES[FULL])
    page.route(f"**/*{what}**", lambda route: route.fulfill(status=404, body=""))
    opener(page, FULL).click()
    expect(page.get_by_role("alert")).to_contain_text(sentence)
    expect(page.locator(".player")).to_have_count(0)
