"""A number word of one language is said in the other, as a word or in digits."""

import re
from collections.abc import Iterator
from itertools import product

import pytest

from tests.prose import read_listings
from tests.report import report
from tests.rules.twins import URL, every_pair, sections
from tools.site.pages import Page, Section

SMALLEST = 4
"""Up to three, words are idioms as often as numbers: 一起, 两边, "one of them"."""


def numbered(words: str, first: int, step: int = 1) -> dict[str, int]:
    """Words with their numbers."""
    return {word: first + step * index for index, word in enumerate(words.split())}


UNITS = numbered("one two three four five six seven eight nine", 1)
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
TEENS = numbered(_TEENS, 10)
TENS = numbered("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10)
ENGLISH = UNITS | TEENS | TENS
ENGLISH |= {f"{ten}-{unit}": TENS[ten] + UNITS[unit] for ten, unit in product(TENS, UNITS)}
ORDINALS = numbered("fourth fifth sixth seventh eighth ninth tenth eleventh twelfth", 4)
ORDINALS |= {"quarter": 4, "tenths": 10, "sixteenth": 16, "fortieth": 40, "fiftieth": 50}
"""They answer a number of the other language, which may say it in another form."""
DIGITS = {word: number for number, word in enumerate("一二三四五六七八九", 1)} | {"两": 2}

_CHINESE = re.compile(r"([一二三四五六七八九两])?(十)?([一二三四五六七八九两])?")
_NO_NUMBER = re.compile(
    "十分(?!之)|十几|几十|[二三四五六七八九]十多|百分之|十来|十秒判断|四处|四周|[百千万]分之"
)
_FRACTION = re.compile("[一二三四五六七八九十]+分之[一二三四五六七八九十]+")
_LINE = re.compile(r"\b[Ll]ine (\d+)\b|第 (\d+) 行")


def look_up(text: str, words: dict[str, int]) -> set[int]:
    """The numbers that English words say."""
    found = re.findall(r"[a-z]+(?:-[a-z]+)?", text.lower())
    return {words[word] for word in found if word in words}


def read_chinese(text: str) -> set[int]:
    """The numbers that Chinese words say, below a hundred."""
    found = set()
    for tens, ten, units in _CHINESE.findall(_NO_NUMBER.sub("", text)):
        if ten:
            found.add(10 * DIGITS.get(tens, 1) + DIGITS.get(units, 0))
        elif tens and not units:
            found.add(DIGITS[tens])
    return found


def digits(text: str) -> set[int]:
    """The whole numbers below a hundred that stand in digits."""
    return {int(found) for found in re.findall(r"(?<![\w.,])\d{1,2}(?![\w.,]?\d)", text)}


def words_of(section: Section) -> str:
    """Title and lines, without addresses."""
    return URL.sub(" ", "\n".join([section.title, *(line for _, line in section.lines)]))


@every_pair
def test_a_number_word_is_said_in_both_languages(chinese: Page, english: Page) -> None:
    def findings() -> Iterator[str]:
        for pair in sections(chinese, english):
            zh, en = words_of(pair.zh), words_of(pair.en)
            in_english = look_up(en, ENGLISH | ORDINALS) | digits(en)
            in_chinese = read_chinese(zh) | digits(zh)
            only_zh = read_chinese(_FRACTION.sub("", zh)) - in_english
            only_en = look_up(en, ENGLISH) - in_chinese
            for where, other, only in (
                (pair.where, pair.twin, only_zh),
                (pair.twin, pair.where, only_en),
            ):
                for number in sorted(number for number in only if number >= SMALLEST):
                    yield (
                        f"{where}: says {number} in a word below this heading, {other} does not; "
                        "say the same number in both"
                    )

    report(findings())


@every_pair
def test_a_line_number_that_a_page_names_is_in_an_output_of_the_page(
    chinese: Page, english: Page
) -> None:
    report(
        f"{page.file}:{number}: names line {line}, and no listing of the page prints it; look at "
        "the output again"
        for page in (chinese, english)
        for number, words in page.prose()
        for found in _LINE.findall(words)
        for line in filter(None, found)
        if not re.search(rf"^#>.*:{line}\b", read_listings(page.text), re.MULTILINE)
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [("五个连接", {5}), ("十二位客人", {12}), ("四十", {40}), ("二十五", {25}), ("十分", set())],
)
def test_chinese_number_words_are_read(text: str, found: set[int]) -> None:
    assert read_chinese(text) == found


def test_english_number_words_are_read() -> None:
    assert look_up("Twelve guests, twenty-five; a fiftieth", ENGLISH) == {12, 25}
