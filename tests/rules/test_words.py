"""What tools and scripts say in both languages has the same keys in both, and the same gaps."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.report import report
from tools import words
from tools.paths import LANGUAGES, ROOT, THEME
from tools.site.pages import pages

READERS_SAY = {"heartbeat", "rollout", "杀死", "缺点", "脚手架"}
"""Words of readers for which the pages have others."""

_NAMES = re.compile(r"const NAMES = `\n(.*?)`", re.DOTALL)
_GAP = re.compile(r"\{[^}]*\}")
_SCRIPT_TABLE = re.compile(r"^(\s*)(zh|en): \{(.*?)^\1\}", re.MULTILINE | re.DOTALL)
_FILE_KEY = re.compile(r"^  (\w+):", re.MULTILINE)
_KEY = re.compile(r"^\s*(\w+):", re.MULTILINE)


def tables() -> Iterator[tuple[str, dict[str, str], dict[str, str]]]:
    """The tables of `tools/words.py`: name, Chinese, English."""
    for name, table in vars(words).items():
        if name.isupper():
            yield f"tools/words.py: {name}", table["zh"], table["en"]


def read_keys(script: Path) -> dict[str, set[str]]:
    """The keys of a script's words by language: it has both, or the other has a file beside it."""
    if script.name.startswith("words."):
        return {
            language: set(_FILE_KEY.findall(file.read_text("utf-8")))
            for language in ("zh", "en")
            if (file := script.with_name(f"words.{language}.js")).is_file()
        }
    tables = _SCRIPT_TABLE.findall(script.read_text("utf-8"))
    return {language: set(_KEY.findall(body)) for _, language, body in tables}


def test_both_languages_have_the_same_words() -> None:
    report(
        f"{where} has {key!r} in one language only; write it in both"
        for where, chinese, english in tables()
        for key in sorted(chinese.keys() ^ english.keys())
    )


def test_both_languages_leave_the_same_gaps() -> None:
    report(
        f"{where}[{key!r}] fills other gaps in Chinese than in English; fill the same"
        for where, chinese, english in tables()
        for key in sorted(chinese.keys() & english.keys())
        if sorted(_GAP.findall(chinese[key])) != sorted(_GAP.findall(english[key]))
    )


def test_scripts_have_the_same_words_in_both_languages() -> None:
    def findings() -> Iterator[str]:
        for script in sorted((THEME / "assets").rglob("*.js")):
            found = read_keys(script)
            for key in sorted(found.get("zh", set()) ^ found.get("en", set())):
                where = script.relative_to(ROOT)
                yield f"{where}: has {key!r} in one language only; write it in both"

    report(findings())


def test_a_name_of_the_search_is_said_on_a_page_or_by_a_reader() -> None:
    """A misspelt one leads nowhere, and nothing else would show it."""
    script = THEME / "assets" / "search" / "words.js"
    text = script.read_text("utf-8")
    found = _NAMES.search(text)
    assert found, "words.js has no `const NAMES`; mend _NAMES in tests/rules/test_words.py"
    start, names = found.start(1), found[1]
    queries = (ROOT / "tests" / "site" / "search.toml").read_text("utf-8")
    said = "\n".join([queries, *(page.text for one in LANGUAGES for page in pages(one))]).lower()
    before = text.count("\n", 0, start)
    report(
        f"{script.relative_to(ROOT)}:{before + number}: has {word}, which no "
        "page and no query of tests/site/search.toml says; mend it, or add it to READERS_SAY in "
        "tests/rules/test_words.py"
        for number, line in enumerate(names.splitlines(), 1)
        for word in line.split()
        if word.lower() not in said and word not in READERS_SAY
    )


def test_the_words_are_found_where_they_stand() -> None:
    calculator = (THEME / "assets" / "calculator.js").read_text("utf-8")
    assert {language for _, language, _ in _SCRIPT_TABLE.findall(calculator)} == {"zh", "en"}
    assert len(list(tables())) == 6
    player = THEME / "assets" / "player" / "words.zh.js"
    assert {language: len(keys) > 30 for language, keys in read_keys(player).items()} == {
        "zh": True,
        "en": True,
    }
