"""A snippet that says something false, fails or leaves something behind is found, and where."""

import re
import subprocess
from pathlib import Path

import click
import pytest

from tests.tools.proof.samples import TRUE
from tools.postgres import Server
from tools.proof import compare, judge, prove, record, rerun, snippets


@pytest.fixture
def snippet(tmp_path: Path) -> Path:
    file = tmp_path / "snippet.py"
    file.write_text(TRUE, "utf-8")
    return file


def change(snippet: Path, old: str, new: str) -> None:
    assert old in TRUE
    snippet.write_text(TRUE.replace(old, new), "utf-8")


def test_a_true_snippet_is_proved(snippet: Path, server: Server) -> None:
    assert judge.prove(snippet, server) == ""
    assert judge.prove_as_reader(snippet, server) == ""


def test_a_false_output_line_is_named_with_what_was_printed(snippet: Path, server: Server) -> None:
    change(snippet, "#> 1", "#> 2")
    assert f"{snippet}:13: the run printed `#> 1` here, the file says `#> 2`" in judge.prove(
        snippet, server
    )
    assert "does not print `2`" in judge.prove_as_reader(snippet, server)


def test_an_output_line_whose_print_never_ran_is_found(snippet: Path, server: Server) -> None:
    change(
        snippet,
        "    await engine.dispose()",
        "    await engine.dispose()\n    if not engine:\n        print(2)\n        #> 2",
    )
    assert f"{snippet}:17: the run printed nothing here" in judge.prove(snippet, server)


def test_a_missing_output_line_is_found(snippet: Path, server: Server) -> None:
    change(snippet, "        #> 1\n", "")
    assert f"{snippet}:13: the run printed `#> 1` here, the file says nothing" in judge.prove(
        snippet, server
    )
    assert "also prints `1`" in judge.prove_as_reader(snippet, server)


def test_an_exception_is_named_with_the_line_that_raised_it(snippet: Path, server: Server) -> None:
    change(snippet, "SELECT 1", "SELECT lots")
    problem = judge.prove(snippet, server)
    assert f"{snippet}:12: raised sqlalchemy.exc.ProgrammingError" in problem
    assert "\n" not in problem
    assert re.fullmatch(
        rf"{snippet}: run by a reader it ends with exit code 1: "
        "sqlalchemy.exc.ProgrammingError: .+ does not exist; mend the snippet",
        judge.prove_as_reader(snippet, server),
    )


def test_a_syntax_error_is_a_sentence(snippet: Path, server: Server) -> None:
    change(snippet, "async def main() -> None:", "async def main( -> None:")
    problem = judge.prove(snippet, server)
    assert f"{snippet}:10: raised SyntaxError: " in problem
    assert "\n" not in problem


def test_a_snippet_that_exits_is_a_sentence(snippet: Path, server: Server) -> None:
    change(snippet, "asyncio.run(main())", "raise SystemExit(3)")
    assert "raised SystemExit: 3" in judge.prove(snippet, server)


def test_a_snippet_that_dies_is_a_sentence(snippet: Path, server: Server) -> None:
    change(snippet, "asyncio.run(main())", "os._exit(3)")
    assert "its process died" in judge.prove(snippet, server)


def test_a_snippet_that_never_ends_is_stopped(
    snippet: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (judge, rerun):
        monkeypatch.setattr(module, "DEADLINE", 4.0)  # in which a busy machine comes to the query
    change(snippet, "SELECT 1", "SELECT pg_sleep(100)")
    waited = f"{snippet}: did not end within 4 s; it waited in task main at {snippet}:12;"
    assert judge.prove(snippet, server).startswith(waited)
    assert "did not end within 4 s; it waited " in judge.prove_as_reader(snippet, server)


def test_a_thread_that_outlives_the_program_is_named(snippet: Path, server: Server) -> None:
    change(
        snippet,
        "asyncio.run(main())",
        "asyncio.run(main())\nimport threading, time\n"
        "threading.Thread(target=time.sleep, args=(99,), daemon=True, name='late').start()",
    )
    assert "ends while it still waits for thread late" in judge.prove(snippet, server)


def test_a_child_that_outlives_the_program_is_named_and_ended(
    snippet: Path, server: Server
) -> None:
    change(
        snippet,
        "asyncio.run(main())",
        "asyncio.run(main())\nimport subprocess\nsubprocess.Popen(['sleep', '98.76'])",
    )
    assert "ends while it still waits for child process sleep 98.76" in judge.prove(snippet, server)
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, encoding="utf-8")
    assert "sleep 98.76" not in listed.stdout


def test_an_engine_that_is_not_disposed_is_found(snippet: Path, server: Server) -> None:
    change(snippet, "    await engine.dispose()\n", "")
    assert "leaves behind a connection (idle)" in judge.prove(snippet, server)


def test_a_table_left_behind_is_found(snippet: Path, server: Server) -> None:
    change(snippet, "engine.connect()", "engine.begin()")
    text = snippet.read_text("utf-8").replace(
        "        print(",
        '        await connection.execute(text("CREATE TABLE tea ()"))\n        print(',
    )
    snippet.write_text(text, "utf-8")
    assert "leaves behind" in judge.prove(snippet, server)
    assert "tea" in judge.prove_as_reader(snippet, server)


def test_words_on_stderr_are_found(snippet: Path, server: Server) -> None:
    change(snippet, "import os", "import os\nimport sys\n\nprint('beware', file=sys.stderr)")
    assert "says on stderr: beware" in judge.prove_as_reader(snippet, server)


def test_a_deprecation_below_the_snippet_is_found(snippet: Path, server: Server) -> None:
    deprecated = 'warnings.warn_explicit("old", DeprecationWarning, "elsewhere.py", 1)'
    change(snippet, "asyncio.run(main())", f"asyncio.run(main())\nimport warnings\n{deprecated}")
    assert "DeprecationWarning: old" in judge.prove_as_reader(snippet, server)


def test_a_forgotten_await_is_named_with_its_line(snippet: Path, server: Server) -> None:
    change(snippet, "await engine.dispose()", "engine.dispose()")
    problem = f"{snippet}:14: a coroutine was never awaited; write `await` before it"
    assert judge.prove(snippet, server) == problem


def test_a_file_that_is_not_utf_8_is_named_with_its_line(snippet: Path, server: Server) -> None:
    snippet.write_bytes(TRUE.encode().replace(b"import os", b"import os  # \xff"))
    assert judge.prove(snippet, server).startswith(f"{snippet}:2: holds a byte that is not UTF-8")


def test_update_writes_what_the_run_printed(snippet: Path, server: Server) -> None:
    change(snippet, "#> 1", "#> 2")
    assert prove.update(server, [snippet]) == [f"{snippet}: written anew"]
    assert snippet.read_text("utf-8") == TRUE
    assert prove.update(server, [snippet]) == []


def test_update_does_not_write_what_differs_from_run_to_run(snippet: Path, server: Server) -> None:
    change(snippet, "SELECT 1", "SELECT pg_backend_pid()")
    assert prove.update(server, [snippet]) == [
        f"{snippet}:13: prints something else each time, so nothing was written; print what is "
        "always so, a letter for a process number, say"
    ]


def test_snippets_are_chosen_by_file_and_by_folder() -> None:
    sizes = prove.select_snippets(["snippets/pool/size"])
    assert sizes == prove.select_snippets(["pool/size"])
    assert prove.select_snippets([str(sizes[0])]) == sizes[:1]
    with pytest.raises(click.BadParameter, match="pool/sise: no snippet; name a file or folder"):
        prove.select_snippets(["pool/sise"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("https://sqlalche.me/e/20/xd2s", "https://sqlalche.me/e/21/xd2s"),
        ("can't call await_only() here", "can't call await_() here"),
        ("<class 'asyncpg.exceptions.InterfaceError'>: gone", "gone"),
    ],
)
def test_the_words_of_2_0_count_as_those_of_2_1(old: str, new: str) -> None:
    assert compare.normalize_wording(old) == new


@pytest.fixture
def guide(tmp_path: Path, snippet: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A guide with one snippet and no record."""
    monkeypatch.setattr(snippets, "SNIPPETS", tmp_path)
    monkeypatch.setattr(record, "RECORD", tmp_path / ".cache" / "proofs.json")
    return snippet


def test_a_proved_snippet_is_not_run_again(
    guide: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert prove.prove_all(server) == []
    monkeypatch.setattr(prove, "prove", lambda *_: pytest.fail("ran again"))
    assert prove.prove_all(server) == []


def test_a_changed_snippet_is_run_again(guide: Path, server: Server) -> None:
    prove.prove_all(server)
    change(guide, "#> 1", "#> 2")
    assert len(prove.prove_all(server)) == 1
    assert not record.Record.load().snippets["snippet.py"].ok


def test_another_version_proves_everything_anew(
    guide: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove.prove_all(server)
    monkeypatch.setattr(record, "version", lambda _: "9.9.9")
    ran: list[Path] = []

    def remember(snippet: Path, _: Server) -> str:
        ran.append(snippet)
        return ""

    monkeypatch.setattr(prove, "prove", remember)
    prove.prove_all(server)
    assert ran == [guide]


def test_a_deleted_snippet_leaves_the_record(guide: Path, server: Server) -> None:
    prove.prove_all(server)
    guide.unlink()
    assert prove.prove_all(server) == []
    assert record.Record.load().snippets == {}
