"""A sentence that says never, always or only is proved, or it claims nothing about behavior.

`tests/<chapter>/<page>.claims.toml` has, for each language, words of each such sentence and what
proves it: a test of the page's module, a snippet of the page, or the manual that says so. Advice
and definitions prove nothing and are marked as such.
"""

import pytest

from tests.claims import absolutes, claims_file, is_proof, is_readable, registered
from tests.report import report
from tools.paths import LANGUAGES, ROOT
from tools.site.pages import Page, pages
from tools.site.problems import find_line


def place(page: Page, words: str) -> str:
    """Where words of a sentence are registered, `tests/pool/size.claims.toml:3`."""
    file = claims_file(page).relative_to(ROOT).as_posix()
    return f"{file}:{find_line(file, words)}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_absolute_sentence_has_its_proof(language: str) -> None:
    report(
        f"{page.file}:{number}: says “{sentence[:70]}”; make it conditional, or name its proof in "
        f"{claims_file(page).relative_to(ROOT)}"
        for page in filter(is_readable, pages(language))
        for number, sentence in absolutes(page)
        if not any(words in sentence for words in registered(page))
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_proves_a_sentence_exists(language: str) -> None:
    report(
        f"{place(page, words)}: “{words}” is proved by {proof}, which is neither "
        "a test of the page nor one of its snippets nor a link on it; name the proof"
        for page in pages(language)
        for words, proof in registered(page).items()
        if not is_proof(page, proof)
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_proof_is_kept_for_a_sentence_that_is_gone(language: str) -> None:
    report(
        f"{place(page, words)}: “{words}” is in no absolute sentence of "
        f"{page.file}; take the line out, or read the sentence anew"
        for page in pages(language)
        for words in registered(page)
        if not any(words in sentence for _, sentence in absolutes(page))
    )


@pytest.mark.parametrize(
    ("language", "line", "found"),
    [
        ("en", "A session never leaks. It may.", ["A session never leaks."]),
        ("en", "| `only` | Only idle ones | [x](only.md) |", ["Only idle ones"]),
        ("en", 'Set `{"prepare_threshold": None}`. It works.', []),
        ("zh", "连接不会断开。会话可以再用。", ["连接不会断开。"]),
    ],
)
def test_absolute_sentences_are_found(
    language: str, line: str, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = pages(language)[0]
    monkeypatch.setattr(Page, "prose", lambda self: iter([(1, line)]))
    assert [sentence for _, sentence in absolutes(page)] == found
