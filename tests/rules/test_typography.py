"""Chinese is set as Chinese readers expect: punctuation, spaces, paragraphs, no italics."""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher

import autocorrect_py
import pytest

from tests.chinese import CODE, HAN, Line, chinese
from tests.report import report
from tools.site.pages import pages


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    """All Chinese lines."""
    return chinese()


ITALICS = re.compile(r"(?<![*\w])(\*|_)(?![*_\s])[^*_]+(?<!\s)\1(?![*\w])")
STARTS_A_BLOCK = re.compile(r" *([#>|<:!]|[-*+] |\d+\. |`{3}|--8<--|$)")
LONGEST = 150
"""Characters of a paragraph: code, targets of links, markup and spaces do not count."""
_NOT_READ = re.compile(rf"{CODE.pattern}|(?<=\])\([^)]*\)|<[^>]*>|^ *([-*+]|\d+\.) |[\[\]*\s]")
_NO_PARAGRAPH = re.compile(r" *([#>|<:!]|--8<--)")

# Code becomes one character of the first range; what is no text at all, one of the second.
_HIDDEN = re.compile(rf"({CODE.pattern})|(?<=\])\([^)]*\)|<[^>]*>| *\{{#[^}}]*\}}|^ *!!! .*")
_CODE, _OTHER = 0xE000, 0xF000

_HAN = HAN.pattern.strip("[]")
_WORD = f"{_HAN}\ue000-\uefff"
_FULL = "，。、；：？！（）"
RULES = [
    (re.compile(wrong), right)
    for wrong, right in (
        (rf"(?<=[{_WORD}]) ?\(([^()]*)\)", r"（\1）"),
        (rf"(?<=[{_WORD}]), *(?=[{_WORD}])", "，"),
        (rf"(?<=[{_WORD}]): *(?=[{_WORD}]|$)", "："),
        (rf"(?<=[{_WORD}]); *(?=[{_WORD}]|$)", "；"),
        (rf"(?<=[{_WORD}])\. *(?=[{_HAN}]|$)", "。"),
        (rf"(?<=[{_HAN}])\.\.\.", "……"),
        (rf'"([^"]*[{_HAN}][^"]*)"', r"“\1”"),
        (rf"(?<=[{_HAN}])(?=[\ue000-\uefff])|(?<=[\ue000-\uefff])(?=[{_HAN}])", " "),
        (rf"(?<=[{_WORD}\w]) +(?=[{_FULL}])|(?<=[{_FULL}]) +(?=[{_WORD}\w])", ""),
    )
]
"""What autocorrect lets pass, most of it beside code."""


def well_set(text: str) -> str:
    """The line as it should be set."""
    hidden: list[str] = []

    def hide(match: re.Match[str]) -> str:
        hidden.append(match[0])
        return chr((_CODE if match[1] else _OTHER) + len(hidden) - 1)

    text = _HIDDEN.sub(hide, autocorrect_py.format_for(text, "markdown"))
    for wrong, right in RULES:
        text = wrong.sub(right, text)
    return re.sub("[\ue000-\uf8ff]", lambda mark: hidden[ord(mark[0]) & 0xFFF], text)


def finding(where: str, wrong: str, right: str) -> str:
    """One sentence on a badly set line: from a little before the first slip to a little after."""
    changes = [
        change
        for change in SequenceMatcher(None, wrong, right, autojunk=False).get_opcodes()
        if change[0] != "equal"
    ]
    (_, old, _, new, _), (_, _, old_end, _, new_end) = changes[0], changes[-1]
    return (
        f"{where}: reads “{wrong[max(0, old - 6) : old_end + 6]}”; "
        f"write “{right[max(0, new - 6) : new_end + 6]}”"
    )


def test_punctuation_and_spaces_are_chinese(lines: list[Line]) -> None:
    report(
        finding(where, text, better) for where, text in lines if (better := well_set(text)) != text
    )


def test_nothing_is_in_italics(lines: list[Line]) -> None:
    report(
        f"{where}: sets {match[0]} in italics, which Chinese type lacks; write “…” or **…**"
        for where, text in lines
        for match in ITALICS.finditer(CODE.sub("", text))
    )


def test_a_paragraph_is_one_line() -> None:
    def findings() -> Iterator[str]:
        for page in pages("zh"):
            before = (0, "")
            for number, line in page.prose():
                continues = before[0] == number - 1 and not STARTS_A_BLOCK.match(line)
                if continues and before[1].strip() and not before[1].lstrip().startswith("!!!"):
                    yield (
                        f"{page.file}:{number}: breaks a paragraph, and readers see a space there; "
                        f"join it to line {number - 1}"
                    )
                before = (number, line)

    report(findings())


def length(line: str) -> int:
    """How many characters of a paragraph a reader has to read; 0 for what is none."""
    return 0 if _NO_PARAGRAPH.match(line) else len(_NOT_READ.sub("", line))


def test_a_paragraph_has_at_most_150_characters_without_its_code() -> None:
    report(
        f"{page.file}:{number}: {long} characters, code not counted; "
        f"split the paragraph, the limit is {LONGEST}"
        for page in pages("zh")
        for number, line in page.prose()
        if (long := length(line)) > LONGEST
    )


@pytest.mark.parametrize(
    ("line", "characters"),
    [
        ("池" * 151, 151),
        ("- **池**的 `pool_size`，见[另一页](pool/size.md#default)。", 8),
        ("1. 池 15 个", 4),
        ("| " + "池" * 151 + " |", 0),
        ("## " + "池" * 151 + " {#pool}", 0),
    ],
)
def test_code_does_not_count_in_the_length_of_a_paragraph(line: str, characters: int) -> None:
    assert length(line) == characters


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("设置`pool_size`的值", "设置 `pool_size` 的值"),
        ("设 `pool_size` ，再重启", "设 `pool_size`，再重启"),
        ("用SQLAlchemy连接，共15个", "用 SQLAlchemy 连接，共 15 个"),
        ("看 `a`, `b` 两项", "看 `a`，`b` 两项"),
        ("连接池 (pool，见 `a`)", "连接池（pool，见 `a`）"),
        ("默认值: `5`", "默认值：`5`"),
        ("不要用 `NullPool`.", "不要用 `NullPool`。"),
        ('所谓"泄漏"...', "所谓“泄漏”..."),
        ("等一等...", "等一等……"),
    ],
)
def test_a_slip_is_mended(wrong: str, right: str) -> None:
    assert well_set(wrong) == right


@pytest.mark.parametrize(
    "line",
    [
        "## 一个连接的一生 {#life}",
        "见[连接池](../concepts/pool.md#life)，`pool_size` 默认是 `5`（不含溢出）。",
        "`commit()`、`rollback()`（离开 `async with` 也会调它）",
        "报 `timeout 30.00`：等了 30 秒。",
        '!!! tip "下载慢？"',
        "| `idle` | “#>”行 | 5 + 10 |",
    ],
)
def test_a_good_line_is_left_alone(line: str) -> None:
    assert well_set(line) == line


def test_a_finding_shows_the_slip_and_little_more() -> None:
    wrong = "连接池默认留五个连接，设置`pool_size`可以改，改完要重启进程才会生效"
    assert finding("docs/zh/x.md:12", wrong, well_set(wrong)) == (
        "docs/zh/x.md:12: reads “个连接，设置`pool_size`可以改，改完”; "
        "write “个连接，设置 `pool_size` 可以改，改完”"
    )
