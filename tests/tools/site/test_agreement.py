"""A section that changed, in one language or in both, is found, and said once."""

from pathlib import Path

import pytest

from tools.site import agreement, pages

PAGE = """---
description: A page.
---

# {title}

{answer}

## {heading} {{#why}}

{why}

```text
## no heading
```
"""
CHINESE = {"title": "池", "answer": "五个。", "heading": "为什么", "why": "因为。"}
ENGLISH = {"title": "Pool", "answer": "Five.", "heading": "Why", "why": "Because."}


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A guide of one page, whose languages agree."""
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    monkeypatch.setattr(pages, "DOCS", tmp_path / "docs")
    for language, words in (("zh", CHINESE), ("en", ENGLISH)):
        (tmp_path / "docs" / language).mkdir(parents=True)
        (tmp_path / "docs" / language / "size.md").write_text(PAGE.format(**words), "utf-8")
    return tmp_path / "docs"


def rewrite(docs: Path, language: str, **words: str) -> None:
    known = CHINESE if language == "zh" else ENGLISH
    (docs / language / "size.md").write_text(PAGE.format(**{**known, **words}), "utf-8")


def test_a_page_is_cut_at_its_headings_but_not_inside_fences(docs: Path) -> None:
    (page,) = pages.pages("en")
    assert [(s.id, s.line, s.title) for s in page.sections()] == [
        ("", 5, "Pool"),
        ("why", 9, "Why"),
    ]


def test_nothing_is_said_while_nothing_changed(docs: Path) -> None:
    agreed = agreement.current_fingerprints()
    assert agreement.changed_in_one_language(agreed) == agreement.not_agreed(agreed) == []


@pytest.mark.parametrize(
    ("language", "changed", "twin"), [("zh", "docs/zh", "docs/en"), ("en", "docs/en", "docs/zh")]
)
def test_a_section_changed_alone_is_named_with_its_twin(
    docs: Path, language: str, changed: str, twin: str
) -> None:
    agreed = agreement.current_fingerprints()
    rewrite(docs, language, why="Otherwise.")
    (sentence,) = agreement.changed_in_one_language(agreed)
    assert sentence.startswith(
        f"{changed}/size.md:9: this section changed, its twin {twin}/size.md:9"
    )
    assert agreement.not_agreed(agreed) == []


def test_a_section_changed_in_both_languages_is_to_be_read(docs: Path) -> None:
    agreed = agreement.current_fingerprints()
    rewrite(docs, "zh", why="不然。")
    rewrite(docs, "en", why="Otherwise.")
    assert agreement.changed_in_one_language(agreed) == []
    assert agreement.not_agreed(agreed) == ["docs/*/size.md#why"]


def test_a_section_of_which_nothing_is_recorded_is_to_be_read(docs: Path) -> None:
    agreed = agreement.current_fingerprints()
    del agreed["size.md"]["why"]
    assert agreement.changed_in_one_language(agreed) == []
    assert agreement.not_agreed(agreed) == ["docs/*/size.md#why"]


def test_the_title_section_is_watched_too(docs: Path) -> None:
    agreed = agreement.current_fingerprints()
    rewrite(docs, "zh", answer="六个。")
    assert "docs/zh/size.md:5" in agreement.changed_in_one_language(agreed)[0]


def test_half_of_a_docstring_changed_alone_is_named(
    docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snippet = docs / "five.py"
    monkeypatch.setattr(agreement, "list_snippets", lambda: [snippet])
    snippet.write_text('"""Five\nat most.\n\n最多五个。\n"""\n', "utf-8")
    agreed = agreement.current_fingerprints()
    snippet.write_text('"""Five\nat most.\n\n最多六个。\n"""\n', "utf-8")
    (sentence,) = agreement.changed_in_one_language(agreed)
    assert sentence.startswith(
        f"{snippet}:4: this half of the docstring changed, its twin {snippet}:1 did not"
    )
    snippet.write_text('"""Six\nat most.\n\n最多六个。\n"""\n', "utf-8")
    assert agreement.changed_in_one_language(agreed) == []


def test_one_command_records_that_both_agree(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "AGREED", docs / "agreed.json")
    agreement.write(agreement.current_fingerprints())
    rewrite(docs, "zh", why="不然。")
    assert agreement.changed_in_one_language(agreement.read())
    assert agreement.agree() == ["docs/*/size.md#why: agreed as it stands"]
    assert agreement.changed_in_one_language(agreement.read()) == []


def test_a_picture_whose_words_changed_alone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(language: str, word: str, x: int) -> None:
        svg = f'<svg><title>{word}</title><text x="{x}">{word}</text></svg>'
        (tmp_path / "docs" / language / "loan.svg").write_text(svg, "utf-8")

    for language in ("zh", "en"):
        (tmp_path / "docs" / language).mkdir(parents=True)
        draw(language, language, 1)
    monkeypatch.setattr(agreement, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(agreement, "location", lambda path, _: path.relative_to(tmp_path))
    for snippets in ("list_snippets", "list_parts"):
        monkeypatch.setattr(agreement, snippets, list)
    monkeypatch.setattr(agreement, "READER_SCRIPTS", [])
    agreed = agreement.current_fingerprints()
    draw("en", "en", 2)
    assert agreement.changed_in_one_language(agreed) == []
    draw("en", "other", 2)
    (sentence,) = agreement.changed_in_one_language(agreed)
    assert sentence.startswith("docs/en/loan.svg: this picture changed, its twin docs/zh/loan.svg")
