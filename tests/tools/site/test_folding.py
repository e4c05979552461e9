"""What a listing folds: by its structure, and by the names that its author chose."""

import re
from html import unescape
from itertools import pairwise
from pathlib import Path

import pytest

from tests.report import report
from tools.paths import READER_SCRIPTS
from tools.proof.snippets import OUTPUT, list_parts, list_snippets, snippet_name
from tools.site import shown
from tools.site.folding import Fold, find_folds
from tools.site.listing import describe_fold, render_code

PROGRAM = '''"""A claim.

一个结论。
"""

import asyncio

engine = create_async_engine(URL)
watcher = create_async_engine(URL, poolclass=NullPool)


async def on_the_server() -> int:
    async with watcher.connect() as connection:
        return await connection.scalar(COUNT)


async def guest() -> None:
    async with engine.connect() as connection:
        await connection.execute(SELECT)


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE orders (drink text)"))
    await guest()
    print("seen:", await on_the_server())
    #> seen: 1
    async with asyncio.timeout(30):
        while await on_the_server() > 0:
            continue
    print("gone:", await on_the_server())
    #> gone: 0
    await engine.dispose()
    await watcher.dispose()


asyncio.run(main())
'''


def visible(text: str, folds: list[Fold]) -> list[str]:
    """The lines that stand outside all folds, stripped, blank ones left out."""
    hidden = {line for fold in folds for line in range(fold.start, fold.end + 1)}
    lines = enumerate(text.splitlines(), 1)
    return [line.strip() for number, line in lines if number not in hidden and line.strip()]


def test_a_listing_shows_what_prints_and_what_leads_to_it() -> None:
    assert visible(PROGRAM, find_folds(PROGRAM)) == [
        "async def guest() -> None:",
        "async with engine.connect() as connection:",
        "await connection.execute(SELECT)",
        "async def main() -> None:",
        "await guest()",
        'print("seen:", await on_the_server())',
        "#> seen: 1",
        'print("gone:", await on_the_server())',
        "#> gone: 0",
    ]


def test_a_fold_says_what_is_in_it() -> None:
    folds = find_folds(PROGRAM)
    assert [describe_fold(fold, "en") for fold in folds] == [
        "imports, engine, watcher, on_the_server() · 16 lines",
        "set-up · 2 lines",
        "waiting for the server · 3 lines",
        "clean-up, asyncio.run() · 5 lines",
    ]
    assert describe_fold(folds[0], "zh") == "导入、engine、watcher、on_the_server() · 16 行"


def test_the_names_of_functions_are_said_before_others() -> None:
    fold = Fold(1, 9, ("imports", "variables", "engine", "watcher", "one()", "two()"))
    assert describe_fold(fold, "en") == "imports, engine, one(), two() · 9 lines"
    many = Fold(1, 9, ("one()", "two()", "three()", "four()", "five()"))
    assert describe_fold(many, "en") == "one(), two(), three(), … · 9 lines"


def test_names_replace_the_choice_of_the_structure() -> None:
    named = visible(PROGRAM, find_folds(PROGRAM, ("on_the_server",)))
    assert "async def on_the_server() -> int:" in named
    assert "async def guest() -> None:" not in named
    assert "#> seen: 1" in named, "what prints is shown in any case"


def test_much_that_one_call_prints_is_folded_but_for_its_beginning() -> None:
    program = "for n in range(12):\n    print(n)\n" + "".join(f"    #> {n}\n" for n in range(12))
    [fold] = find_folds(program)
    assert (fold.start, fold.end, fold.names) == (7, 14, ("printed",))


@pytest.mark.parametrize("broken", ["def (", "\0", ""])
def test_what_is_no_program_has_no_folds(broken: str) -> None:
    assert find_folds(broken) == []


@pytest.mark.parametrize(
    "snippet", [*list_snippets(), *list_parts(), *READER_SCRIPTS], ids=snippet_name
)
def test_a_listing_folds_whole_lines_and_no_printed_one(snippet: Path) -> None:
    text = snippet.read_text("utf-8")
    lines = text.splitlines()
    folds = find_folds(text, tuple(shown.load_shown().get(snippet_name(snippet), ())))
    assert all(one.end < other.start for one, other in pairwise(folds))
    assert all(1 <= fold.start < fold.end <= len(lines) for fold in folds)
    assert all(fold.names for fold in folds)
    report(
        f"{snippet}:{number}: is printed, and folded; a reader looks for that line"
        for fold in folds
        for number in range(fold.start, fold.end + 1)
        if OUTPUT.match(lines[number - 1]) and "printed" not in fold.names
    )


def test_the_text_stays_that_of_the_file() -> None:
    text = '"""One.\n\n一。\n"""\n\nimport os\n\n\ndef f() -> str:\n    """Two.\n\n    x\n    """\n'
    html = (
        '<span class="sd">&quot;&quot;&quot;One.</span>\n\n<span class="sd">一。</span>\n'
        '<span class="sd">&quot;&quot;&quot;</span>\n\n<span class="kn">import</span> os\n\n\n'
        '<span class="k">def</span> <span class="nf">f</span>() -&gt; str:\n'
        '    <span class="sd">&quot;&quot;&quot;Two.</span>\n\n<span class="sd">    x</span>\n'
        '<span class="sd">    &quot;&quot;&quot;</span>\n'
    )
    rendered = render_code(html, [Fold(1, 8, ("imports",))], "en")
    assert unescape(re.sub(r"<[^>]+>", "", rendered)) == text
    assert rendered.count("data-search-exclude") == 1
    assert rendered.count("<span") == rendered.count("</span>")


TABLE = """"pool/size/default.py" = ["guest", "gone"]
"pool/size/nowhere.py" = ["main"]
"pool/size/zero.py" = []
"""


def test_a_name_that_is_gone_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "shown.toml"
    monkeypatch.setattr(shown, "TABLE", table)
    table.write_text(TABLE, "utf-8")
    gone, nowhere, empty = shown.find_shown_faults()
    assert gone.startswith(
        "docs/shown.toml:1: shows `gone`, which snippets/pool/size/default.py does not define at "
        "its top level; write one of BACKENDS, NAME, "
    )
    assert nowhere.startswith("docs/shown.toml:2: names snippets/pool/size/nowhere.py, which does")
    assert empty.startswith("docs/shown.toml:3: lists no names; write ")
    table.write_text('"a.py" = [\n', "utf-8")
    [broken] = shown.find_shown_faults()
    assert re.match(r"docs/shown.toml:[12]: is no TOML \(.*; mend it near that line", broken)
    assert shown.load_shown() == {}
