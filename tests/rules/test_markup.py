"""Markdown stays Markdown: unique ids, no raw tags, words for pictures, one language a page."""

import re
from collections.abc import Iterator
from itertools import chain, pairwise

from tests.chinese import HAN, menu_and_scripts
from tests.prose import every_language, has_words, prose
from tests.report import report
from tools.paths import LANGUAGES
from tools.site.faults import (
    find_accidental_titles,
    find_front_matter_fault,
    find_repeated_ids,
)
from tools.site.pages import pages

TAGS = {"br", "script", "wbr"}
"""Raw tags that Markdown has no words for; a script has a section in CONTRIBUTING.md."""
ASKS_NOTHING = {"reference/glossary.md", "reference/snippets.md", "start/quickstart.md"}
"""Pages whose title is no question."""
SHORTEST = {"zh": 45, "en": 140}
"""Characters of a description."""

_TAG = re.compile(r"<(\w+|!--)")
_CODE_SPAN = re.compile(r"``.*?``|`[^`]*`")
_BROKEN_LINK = re.compile(r"\]\s+\((?=[^)]*(?:\.md|https?:|#))|\]\([^)]*$")
_CELL_END = re.compile(r"(?<!\\)\|")
_IMAGE = re.compile(r"!\[([^\]]*)\]\(")
_SAYS_CHINESE = re.compile(r"(?<!!)\[[^\]]*\]\([^)]*\)|“[^”]*”")
_ATTRIBUTES = re.compile(r"\{ *(?!#[\w-]+ *\})[:.#]?[^{}]*(?:=|\.\w)[^{}]*\}|\{: *[^}]*\}")
_BRITISH = re.compile(r"\b\w*(?:haviour|olour|avour|ialis|ptimise|ecognis|rganis|ynchronis)\w*")
_EASY = re.compile(r"\b(?:easy|easily|simply|obviously|of course)\b", re.IGNORECASE)


@every_language
def test_an_id_is_given_once_on_a_page(language: str) -> None:
    report(fault for page in pages(language) for fault in find_repeated_ids(page))


@every_language
def test_no_line_becomes_a_title_by_accident(language: str) -> None:
    report(fault for page in pages(language) for fault in find_accidental_titles(page))


@every_language
def test_a_page_has_no_raw_html(language: str) -> None:
    report(
        f"{page.file}:{number}: holds <{tag}>; write Markdown, or a picture as an SVG file"
        for page, number, line in prose(language)
        for tag in _TAG.findall(line)
        if tag.lower() not in TAGS
    )


@every_language
def test_a_script_is_a_file_of_ours(language: str) -> None:
    ours = re.compile(r'<script src="(\.\./)+assets/\w+\.js"></script>')
    report(
        f"{page.file}:{number}: holds a script; keep it in theme/assets and name it by src"
        for page, number, line in prose(language)
        if "<script" in line and not ours.fullmatch(line)
    )


@every_language
def test_a_picture_has_words_for_those_who_do_not_see_it(language: str) -> None:
    report(
        f"{page.file}:{number}: shows a picture whose text is {words!r}; write what it shows "
        "between the []"
        for page, number, line in prose(language)
        for words in _IMAGE.findall(line)
        if not HAN.search(words) and len(words.split()) < 3
    )


@every_language
def test_a_page_gives_ids_and_no_other_attributes(language: str) -> None:
    report(
        f"{page.file}:{number}: gives {said}; write {{#some-id}} or nothing, and keep looks in "
        "theme/assets/extra.css"
        for page, number, line in prose(language)
        for said in _ATTRIBUTES.findall(line)
    )


def test_an_english_page_is_plain_and_american() -> None:
    lines = [(f"{page.file}:{number}", line) for page, number, line in prose("en")]
    lines += [
        (f"{page.file}:{number}", line)
        for page in pages("en")
        for number, line in enumerate(page.lines, 1)
        if line.startswith("description:")
    ]
    report(
        f"{where}: says “{said}”; write American English, and no word that tells the reader how "
        "hard it is"
        for where, line in [*lines, *menu_and_scripts("mkdocs.en.yml")]
        for said in [*_BRITISH.findall(line), *_EASY.findall(line)]
    )


def test_a_chinese_page_is_in_chinese() -> None:
    report(
        f"{page.file}:{number}: says “{line.strip()[:40]}” in English; translate it"
        for page, number, line in prose("zh")
        if not HAN.search(line)
        and len(re.findall(r"\b[a-z]{2,}\b", re.sub(r"<[^>]*>|\([^)]*\)", "", line))) > 4
    )


def test_a_description_is_in_the_language_of_its_page() -> None:
    report(
        f"{page.file}:2: its description is in the other language; write it in this one"
        for language in LANGUAGES
        for page in pages(language)
        for line in page.lines[1:2]
        if line.startswith("description:") and bool(HAN.search(line)) != (language == "zh")
    )


@every_language
def test_what_is_opened_in_a_line_is_closed(language: str) -> None:
    report(
        f"{page.file}:{number}: {what}, so a reader sees the marks; mend it"
        for page in pages(language)
        for number, line in page.prose()
        for plain in [_CODE_SPAN.sub("", line)]
        for what, is_wrong in (
            ("has a backtick without its twin", "`" in plain),
            ("opens ** and does not close it", plain.count("**") % 2),
            ("breaks a link between ] and its target", _BROKEN_LINK.search(plain)),
            ("has a note to its author", re.search(r"\b(TODO|FIXME|XXX)\b", plain)),
        )
        if is_wrong
    )


def test_no_english_word_is_said_twice_in_a_row() -> None:
    descriptions = (
        (page, number, line)
        for page in pages("en")
        for number, line in enumerate(page.lines[:4], 1)
        if line.startswith("description:")
    )
    report(
        f"{page.file}:{number}: says “{said[0]}”; say it once"
        for page, number, line in chain(prose("en"), descriptions)
        if (said := re.search(r"\b([A-Za-z]+) \1\b", line, re.IGNORECASE))
    )


@every_language
def test_a_row_has_the_cells_of_its_table(language: str) -> None:
    def findings() -> Iterator[str]:
        for page in pages(language):
            before, wanted = 0, 0
            for number, line in page.prose():
                if not line.lstrip().startswith("|"):
                    continue
                cells = len(_CELL_END.findall(_CODE_SPAN.sub("", line.strip()).strip("|")))
                if number != before + 1:
                    wanted = cells
                elif cells != wanted:
                    yield (
                        f"{page.file}:{number}: has {cells + 1} cells, the head of the table "
                        f"{wanted + 1}; give each row as many"
                    )
                before = number

    report(findings())


@every_language
def test_a_heading_is_one_level_below_its_parent(language: str) -> None:
    report(
        f"{page.file}:{section.line}: begins with {'#' * section.level} below a heading with "
        f"{'#' * before.level}; leave no level out"
        for page in pages(language)
        for before, section in pairwise(page.sections())
        if section.level > before.level + 1
    )


@every_language
def test_a_page_begins_with_its_answer(language: str) -> None:
    report(
        f"{page.file}:{number}: begins with no answer in bold; say it there, in **...**"
        for page in pages(language)
        if page.name not in ASKS_NOTHING
        for section in page.sections()[:1]
        for number, line in [*filter(has_words, section.lines)][:1]
        if "**" not in line
    )


@every_language
def test_front_matter_can_be_read(language: str) -> None:
    report(
        f"{page.file}:{wrong}"
        for page in pages(language)
        if (wrong := find_front_matter_fault(page.path.read_text("utf-8", errors="replace")))
    )


@every_language
def test_a_description_is_whole(language: str) -> None:
    report(
        f"{page.file}:{number}: its description is short, or breaks off with “{said[-20:]}”; "
        "say what a reader finds here, in the words he searches for"
        for least in [SHORTEST[language]]
        for page in pages(language)
        for number, line in enumerate(page.lines[:4], 1)
        if line.startswith("description:")
        for said in [line.removeprefix("description:").strip(' "')]
        if len(said) < least or said[-1] not in ".?。？"
    )


def test_an_english_page_is_in_english() -> None:
    # The glossary and the nav name Chinese words on purpose.
    report(
        f"{page.file}:{number}: says “{line.strip()[:40]}” in Chinese; translate it"
        for page, number, line in prose("en")
        if page.name != "reference/glossary.md"
        and len(HAN.findall(_SAYS_CHINESE.sub("", line))) > 4
    )
