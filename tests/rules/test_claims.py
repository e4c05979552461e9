"""A sentence that says never, always or only is proved, or it claims nothing about behavior.

`tests/<chapter>/<page>.claims.toml` has, for each language, words of each such sentence and what
proves it: a test of the page's module, a snippet of the page, or the manual that says so. Advice
and definitions prove nothing and are marked as such.
"""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.report import report
from tools.pages import Page, pages
from tools.rooms import LANGUAGES, ROOT, SNIPPETS

ABSOLUTE = {
    "en": re.compile(
        r"\b(never|always|nothing|nobody|none|only|every(thing|body|one)?)\b", re.IGNORECASE
    ),
    "zh": re.compile("永远|一定(?!的)|从不|绝不|总是|任何|只有|不会|从来|谁都|谁也|一律"),
}
_ENDS = re.compile(r"(?<=[.!?:;])\s+|(?<=[。！？：；])| \| |^\| | \|$")
_CODE_OR_TARGET = re.compile(r"`[^`]+`|(?<=\])\([^)\s]+\)|<[^>]*>|\{#[\w-]+\}")
WORDS_PROVE_NOTHING = ("advice", "definition")


def claims_file(page: Page) -> Path:
    """Where the proofs of a page stand, whichever language it is in."""
    return ROOT / "tests" / Path(page.name).with_suffix(".claims.toml")


@cache
def registered(page: Page) -> dict[str, str]:
    """Words of sentences, and what proves them."""
    file = claims_file(page)
    if not file.is_file():
        return {}
    found = tomllib.loads(file.read_text("utf-8")).get(page.language, {})
    return {words: str(proof) for words, proof in found.items()}


def absolutes(page: Page) -> Iterator[tuple[int, str]]:
    """The sentences and cells that say something absolute, with the numbers of their lines."""
    for number, line in page.prose():
        for sentence in _ENDS.split(line.strip()):
            if sentence and ABSOLUTE[page.language].search(_CODE_OR_TARGET.sub("", sentence)):
                yield number, sentence.strip()


def is_proof(page: Page, proof: str) -> bool:
    """Whether there is such a test, snippet or link."""
    if proof in WORDS_PROVE_NOTHING:
        return True
    if proof.startswith("https://"):
        return proof in page.path.read_text("utf-8")
    if proof.endswith(".py"):
        home = SNIPPETS / Path(page.name).with_suffix("")
        return (home / proof).is_file() or (SNIPPETS / proof).is_file()
    path = Path(page.name)
    tests = ROOT / "tests" / path.parent / f"test_{path.stem}.py"
    module, _, test = proof.rpartition("::")
    file = ROOT / module if module else tests
    return (
        file.is_file()
        and re.search(rf"\bdef {re.escape(test)}\(", file.read_text("utf-8")) is not None
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_absolute_sentence_has_its_proof(language: str) -> None:
    report(
        f"{page.spot}:{number}: says “{sentence[:70]}”; make it conditional, or name its proof in "
        f"{claims_file(page).relative_to(ROOT)}"
        for page in pages(language)
        for number, sentence in absolutes(page)
        if not any(words in sentence for words in registered(page))
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_proves_a_sentence_exists(language: str) -> None:
    report(
        f"{claims_file(page).relative_to(ROOT)}: “{words}” is proved by {proof}, which is neither "
        "a test of the page nor one of its snippets nor a link on it; name the proof"
        for page in pages(language)
        for words, proof in registered(page).items()
        if not is_proof(page, proof)
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_proof_is_kept_for_a_sentence_that_is_gone(language: str) -> None:
    report(
        f"{claims_file(page).relative_to(ROOT)}: “{words}” is in no absolute sentence of "
        f"{page.spot}; take the line out, or read the sentence anew"
        for page in pages(language)
        for words in registered(page)
        if not any(words in sentence for _, sentence in absolutes(page))
    )


@pytest.mark.parametrize(
    ("language", "line", "found"),
    [
        ("en", "A session never leaks. It may.", ["A session never leaks."]),
        ("en", "| `only` | Only idle ones | [x](only.md) |", ["Only idle ones"]),
        ("zh", "连接不会断开。会话可以再用。", ["连接不会断开。"]),
    ],
)
def test_absolute_sentences_are_found(
    language: str, line: str, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = pages(language)[0]
    monkeypatch.setattr(Page, "prose", lambda self: iter([(1, line)]))
    assert [sentence for _, sentence in absolutes(page)] == found
