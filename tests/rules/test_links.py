"""A link says where it leads, and leads there: found without a build."""

import re
import tomllib
from collections.abc import Iterator

from tests.prose import every_language, has_words, prose
from tests.report import report
from tools.paths import DOCS, LANGUAGES, ROOT
from tools.site.pages import pages
from tools.site.problems import find_line

_ID = re.compile(r"\{ *#([\w-]+)[^}]*\}")
_REFERENCE = re.compile(r"\]\[|^ *\[[^\]]+\]: ")
SEARCHES = "tests/site/search.toml"
"""What readers search for, and where it has to lead."""

ENDS_ALONE = {
    "contributing.md",
    "production/checklist.md",
    "reference/glossary.md",
    "reference/snippets.md",
}
"""Pages that are read in part, and from which a reader returns."""

_NEXT = re.compile(r"(\*\*)?(Next|接下来|下一步)")
_EMPTY = re.compile(r"\[(here|this|link|this page|这里|此处|这页|链接)\]\(", re.IGNORECASE)


@every_language
def test_an_anchor_is_on_the_page_that_a_link_names(language: str) -> None:
    known = {page.path: set(_ID.findall(page.text)) for page in pages(language)}

    def findings() -> Iterator[str]:
        for page in pages(language):
            for number, target in page.links():
                name, mark, anchor = target.partition("#")
                there = (page.path.parent / name).resolve() if name else page.path
                if "://" not in target and mark and anchor not in known.get(there, {anchor}):
                    yield (
                        f"{page.file}:{number}: links to #{anchor}, which "
                        f"{there.relative_to(DOCS.parent)} does not have; mend the link"
                    )

    report(findings())


@every_language
def test_a_link_has_its_target_beside_it(language: str) -> None:
    report(
        f"{page.file}:{number}: links by a reference; write the target behind it, [text](target)"
        for page, number, line in prose(language)
        if _REFERENCE.search(line)
    )


@every_language
def test_a_link_leaves_the_guide_encrypted(language: str) -> None:
    report(
        f"{page.file}:{number}: links to {target}; write https"
        for page in pages(language)
        for number, target in page.links()
        if target.startswith("http:")
    )


@every_language
def test_the_words_of_a_link_say_where_it_leads(language: str) -> None:
    report(
        f"{page.file}:{number}: calls a link “{words}”; name what is there"
        for page, number, line in prose(language)
        for words in _EMPTY.findall(line)
    )


@every_language
def test_a_page_ends_with_the_next_one(language: str) -> None:
    report(
        f"{page.file}:{number}: ends without a link to the page to read next; begin a last line "
        "with Next, 接下来 or 下一步, and give the reason to go there"
        for page in pages(language)
        if page.name not in ENDS_ALONE
        for number, line in [*filter(has_words, page.prose())][-1:]
        if not (_NEXT.match(line) and "](" in line)
    )


def test_a_place_that_the_search_must_find_is_there() -> None:
    known: dict[str, set[str]] = {"": set()}
    for language in LANGUAGES:
        for page in pages(language):
            known.setdefault(page.name.removesuffix(".md"), set()).update(_ID.findall(page.text))
    table = tomllib.loads((ROOT / SEARCHES).read_text("utf-8"))
    report(
        f"{SEARCHES}:{find_line(SEARCHES, place)}: wants {place}, which no page has; name the "
        "section that answers these queries now"
        for tables in (table, table["reported"])
        for kind in (*LANGUAGES, "both")
        for places in tables.get(kind, {})
        for place in places.split()
        for name, mark, section in [place.partition("#")]
        if name not in known or (mark and section not in known[name])
    )
