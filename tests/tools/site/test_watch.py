"""A card offers to watch a run: only one that was recorded of the file as it stands."""

from pathlib import Path

import pytest

from tools.proof import recording, snippets
from tools.proof.record import Record
from tools.proof.recording import Recording, recording_path
from tools.proof.snippets import digest
from tools.site import cards

BLOCK = (
    '<div class="language-python highlight"><span class="filename">pool/size/one.py</span>'
    "<pre><code>print(1)\n</code></pre></div>"
)
BUTTON = 'class="watch" data-recording="../../recordings/pool/size/one.json">{}</button>'


@pytest.fixture
def snippet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (cards, snippets):
        monkeypatch.setattr(module, "SNIPPETS", tmp_path)
    monkeypatch.setattr(recording, "RECORDINGS", tmp_path / "recordings")
    file = tmp_path / "pool/size/one.py"
    file.parent.mkdir(parents=True)
    file.write_text("print(1)\n", "utf-8")
    return file


def render(language: str) -> str:
    return cards.render_snippet_cards(BLOCK, Record(), language, "../../")


def test_what_was_recorded_can_be_watched_in_both_languages(snippet: Path) -> None:
    Recording(digest(snippet)).save(recording_path(snippet))
    assert BUTTON.format("Watch it run") in render("en")
    assert BUTTON.format("看它运行") in render("zh")


@pytest.mark.parametrize("problem", ["", "the run printed something else"])
def test_what_changed_or_failed_cannot(snippet: Path, problem: str) -> None:
    Recording(digest(snippet), problem=problem).save(recording_path(snippet))
    if not problem:
        snippet.write_text("print(2)\n", "utf-8")
    assert "watch" not in render("en")
