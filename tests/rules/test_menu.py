"""The menus lead to each page once, by a name that fits that page and no other."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from mkdocs.utils.yaml import yaml_load

from tests.prose import every_language
from tests.report import report
from tools.paths import LANGUAGES, ROOT
from tools.site.pages import list_nav, pages
from tools.site.problems import find_line

FILES = {"zh": "mkdocs.yml", "en": "mkdocs.en.yml"}
CHAPTERS = {
    "start": ("入门", "Start"),
    "concepts": ("原理", "Concepts"),
    "sessions": ("会话", "Sessions"),
    "pool": ("连接池", "Pool"),
    "sizing": ("连接池容量规划", "Pool sizing"),
    "testing": ("测试", "Testing"),
    "production": ("生产环境", "In production"),
    "troubleshooting": ("故障排查", "Troubleshooting"),
    "reference": ("参考", "Reference"),
}
"""The title of each folder's chapter."""

_WORD = re.compile(r"[一-鿿]|[A-Za-z_]{3,}")


def read_nav(language: str) -> Any:
    """The `nav` of a configuration, as MkDocs reads it."""
    return yaml_load((ROOT / FILES[language]).read_text("utf-8"))["nav"]


def menu(language: str) -> list[tuple[str, str]]:
    """Page and title of each entry."""
    return list(list_nav(read_nav(language)))


def chapters(language: str) -> list[list[str]]:
    """The pages of each entry at the top, in their order."""
    return [[page for page, _ in list_nav([entry])] for entry in read_nav(language)]


def test_both_menus_list_every_page_in_the_same_order() -> None:
    listed = {language: [page for page, _ in menu(language)] for language in FILES}
    report(
        f"docs/zh/{page.name}: is in no menu; add it to nav in both mkdocs files"
        for page in pages("zh")
        if page.name not in listed["zh"]
    )
    if listed["zh"] != listed["en"]:
        report(["mkdocs.en.yml: its nav lists other pages than mkdocs.yml, or in another order"])


def test_both_menus_have_the_same_chapters() -> None:
    if chapters("zh") != chapters("en"):
        report(
            ["mkdocs.en.yml: its chapters hold other pages than those of mkdocs.yml; align them"]
        )


@every_language
def test_a_page_stands_in_the_chapter_of_its_folder(language: str) -> None:
    report(
        f"{FILES[language]}: nav has {page} in a chapter with pages of "
        f"{', '.join(sorted(others))}; move it"
        for chapter in chapters(language)
        for page in chapter
        if (others := {other.split("/")[0] for other in chapter} - {page.split("/")[0]})
    )


@every_language
def test_a_page_is_listed_once_and_so_is_a_title(language: str) -> None:
    entries, file = menu(language), FILES[language]
    for kind, found in zip(("page", "title"), zip(*entries, strict=True), strict=True):
        report(
            f"{file}:{find_line(file, name)}: nav has the {kind} {name} twice; take one out"
            for name, times in Counter(found).items()
            if times > 1
        )


@every_language
def test_a_chapter_is_called_what_its_folder_is(language: str) -> None:
    file = FILES[language]

    def findings() -> Iterator[str]:
        for entry in read_nav(language):
            for title, below in entry.items():
                if isinstance(below, list) and (page := next(list_nav(below), None)):
                    folder = page[0].split("/")[0]
                    right = CHAPTERS.get(folder, (title, title))[LANGUAGES.index(language)]
                    if title != right:
                        yield (
                            f"{file}:{find_line(file, page[0]) - 1}: nav calls the chapter of "
                            f"{folder}/ {title}; write {right}, or change CHAPTERS in "
                            "tests/rules/test_menu.py"
                        )

    report(findings())


@every_language
def test_an_entry_shares_a_word_with_its_page(language: str) -> None:
    """Two entries that were swapped lead to pages that speak of something else."""
    known = {page.name: page for page in pages(language)}

    def words(text: str) -> set[str]:
        return {found.lower()[:4] for found in _WORD.findall(text)}

    def head(page: str) -> str:
        return page + known[page].sections()[0].title + "\n".join(known[page].lines[:4])

    report(
        f"{FILES[language]}: nav calls {page} “{title}”, and no word of that is in the page's "
        "title or description; name it so that a reader knows where he is going"
        for page, title in menu(language)
        if page in known.keys() - {"index.md"} and not words(title) & words(head(page))
    )


def test_an_english_entry_fits_its_page_best() -> None:
    """Of two entries that were swapped, one has more words in common with the other's page."""
    known = {page.name: page for page in pages("en")}

    def words(text: str) -> set[str]:
        return {found.lower()[:5] for found in _WORD.findall(text)}

    heads = {
        name: words(f"{name} {page.sections()[0].title} {' '.join(page.lines[:4])}")
        for name, page in known.items()
        if page.sections()
    }
    entries = [(name, title) for name, title in menu("en") if name in heads]

    def findings() -> Iterator[str]:
        for name, title in entries:
            score = {page: len(words(title) & head) for page, head in heads.items()}
            best = max(score, key=score.__getitem__)
            if score[best] > score[name]:
                yield (
                    f"mkdocs.en.yml:{find_line('mkdocs.en.yml', f': {name}')}: nav calls {name} "
                    f"“{title}”, which fits {best} better; name the page by its own words"
                )

    report(findings())
