"""One thing has one name: the glossary says which, and which Chinese words are never used."""

import re
from itertools import zip_longest
from typing import NamedTuple

import pytest

from tests.chinese import CODE, HAN, Line, chinese, menu_and_scripts
from tests.report import report
from tools.paths import DOCS, LANGUAGES
from tools.site.pages import Page, pages

ZH, EN = (Page(DOCS / language / "reference" / "glossary.md") for language in LANGUAGES)
ROW = re.compile(r"^\| (.*?) +\| (.*?) \| (.*?) ?\|$")
TERM = re.compile(r"\*\*(.+)\*\*\{#([\w-]+)\}")


class Banned(NamedTuple):
    """A row of the glossary's last table."""

    write: str
    never: list[str]
    fine: list[str]

    def found(self, text: str) -> list[str]:
        """The places where a text says one of them; `……` stands for any words of a clause."""
        if "description" in self.fine and text.startswith("description:"):
            return []
        for allowed in self.fine:
            text = text.replace(allowed, "")
        gap = "[^，。；：！？]{1,20}?"
        words = (gap.join(map(re.escape, word.split("……"))) for word in self.never)
        return re.findall("|".join(words), text)


def rows(page: Page, section: str = "") -> list[tuple[int, list[str]]]:
    """The rows of all tables, or those of one section, heads left out, with their line numbers."""
    return [
        (number, list(row.groups()))
        for part in page.sections()
        if section in ("", part.id)
        for number, line in part.lines
        if (row := ROW.match(line)) and row[2] not in ("中文", "不写", "Not")
    ]


def terms(page: Page) -> list[tuple[str, str, str]]:
    """English, id and Chinese of each term."""
    return [
        (term[1], term[2], cells[1])
        for _, cells in rows(page)
        if (term := TERM.fullmatch(cells[0]))
    ]


def banned() -> list[Banned]:
    """The words that Chinese text must not contain."""
    return [
        Banned(write, never.split("、"), [word for word in fine.split("、") if word])
        for _, (write, never, fine) in rows(ZH, "never")
    ]


def misnomers(lines: list[Line]) -> list[str]:
    """A sentence for each place where a line says what the glossary forbids."""
    return [
        f"{where}: says “{said}”; write “{word.write}” ({ZH.file}#never)"
        for where, text in lines
        for word in banned()
        for said in word.found(CODE.sub("", text))
    ]


def test_chinese_text_keeps_to_the_glossary() -> None:
    exempt = {f"{ZH.file}:{number}" for number, _ in rows(ZH, "never")}
    menu = [line for line in menu_and_scripts("mkdocs.yml") if HAN.search(line.text)]
    report(misnomers([line for line in [*chinese(), *menu] if line.where not in exempt]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("连接泄露不是密码泄露。", ["泄露"]),
        ("当会话关闭的时候，连接归还。", ["当会话关闭的时候"]),
        ("后端服务连上后端", ["后端"]),
        ("当然，那个时候还没有池", []),
        ("参数叫 `后端`", []),
        ("数据表、列表和账号都只表示自己，先释放引擎，再释放连接。", []),
        ("这只表先响，池满了就释放，账是平的。", ["只表", "池满", "释放", "账"]),
        ("连接池满了；说的是连接全部借出", []),
        ("description: 连接泄露、没释放", []),
        ("服务端的名额用完了，它们另有名额；池里的名额空出来了", ["池里的名额"]),
    ],
)
def test_a_forbidden_word_is_found_where_it_is_meant(text: str, said: list[str]) -> None:
    found = misnomers([Line("docs/zh/x.md:12", text)])
    said_there = [sentence.split("“")[1].split("”")[0] for sentence in found]
    assert sorted(said_there) == sorted(said)


def test_both_glossaries_have_the_same_terms() -> None:
    report(
        f"{ZH.file}: has {one}, {EN.file} has {other} in its place; give both the same terms"
        for one, other in zip_longest(terms(ZH), terms(EN), fillvalue="no more")
        if one != other
    )


@pytest.mark.parametrize("page", [ZH, EN], ids=LANGUAGES)
def test_a_term_is_used_as_the_glossary_calls_it(page: Page) -> None:
    others = [other for other in pages(page.language) if other.file != page.file]
    said = "\n".join(line.lower() for other in others for line in other.lines)
    report(
        f"{page.file}:{number}: calls it {name}, and no page does; use it, or write what they use"
        for number, cells in rows(page)
        if (term := TERM.fullmatch(cells[0]))
        for name in [cells[1] if page is ZH else term[1]]
        if not any(word.lower() in said for word in _names(name))
    )


def _names(term: str) -> list[str]:
    """What a page may say for `作废（invalidate）`, and for `to invalidate a connection`."""
    if HAN.search(term):
        return re.findall(r"[^（）、`*]+", term)
    words = [word for word in re.findall(r"\w+", term) if word not in ("to", "a", "an", "of")]
    return [term, words[0][:7]]


@pytest.mark.parametrize("page", [ZH, EN], ids=LANGUAGES)
def test_every_term_has_an_address_of_its_own(page: Page) -> None:
    taken = [name for _, name, _ in terms(page)] + [section.id for section in page.sections()]
    without = [
        (number, cells[0])
        for number, cells in rows(page)
        if (number, cells) not in rows(page, "never")
        and not ((term := TERM.fullmatch(cells[0])) and taken.count(term[2]) == 1)
    ]
    report(
        f"{page.file}:{number}: {term} has no id, or one that is taken; write **term**{{#some-id}}"
        for number, term in without
    )
