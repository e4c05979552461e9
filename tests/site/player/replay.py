"""The replay of a recorded run, as a reader meets it.

The recordings here are real ones, kept so that these tests need no server.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from playwright.sync_api import Locator, Page

RECORDINGS = Path(__file__).parent / "recordings"
FULL, STUCK, HOME = "pool/size/default", "sessions/nested/circular", "index/four_moments"
PAGES = {FULL: "pool/size/", STUCK: "sessions/nested/", HOME: ""}
LANGUAGES = {"zh": "", "en": "en/"}

OpenReplay = Callable[..., Page]
Step = dict[str, Any]

each_language = pytest.mark.parametrize("language", LANGUAGES)
each_recording = pytest.mark.parametrize("name", PAGES)


def load(name: str) -> dict[str, Any]:
    """One of the recordings here."""
    return cast(dict[str, Any], json.loads((RECORDINGS / f"{name}.json").read_text("utf-8")))


def list_steps(name: str) -> list[Step]:
    """The steps of a recording."""
    return cast(list[Step], load(name)["steps"])


def find_steps(name: str, event: str) -> list[int]:
    """The numbers of all steps of a kind, from 1."""
    return [i for i, step in enumerate(list_steps(name), 1) if step["event"] == event]


def opener(page: Page, name: str) -> Locator:
    """The button at the card of a snippet."""
    return page.locator(f".snippet [data-recording$='{name}.json']")


def count(page: Page) -> Locator:
    """Where the player says which step it shows."""
    return page.locator(".player .count")


def said(page: Page) -> Locator:
    """The sentence of a step."""
    return page.locator(".player .said")


def key(page: Page, name: str) -> Locator:
    """A button of the player."""
    return page.locator(f".player [name={name}]")


def walk(page: Page, look: str) -> list[Any]:
    """Shows all steps from the first to the last; what `look`, a function, sees at each."""
    return cast(
        list[Any],
        page.evaluate(
            f"""() => {{
                const press = key => document.querySelector(".player")
                    .dispatchEvent(new KeyboardEvent("keydown", {{ key }}))
                const seen = []
                press("Home")
                const {{ max }} = document.querySelector(".player input")
                for (let i = 0; i <= max; i++) {{
                    seen.push(({look})())
                    press("ArrowRight")
                }}
                return seen
            }}"""
        ),
    )
