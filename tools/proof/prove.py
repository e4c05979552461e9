"""Prove all snippets, or those that changed, and write what they print into their files."""

import datetime
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from tools.paths import RECORD, SNIPPETS
from tools.postgres import Server, find_postgres, fresh_database
from tools.proof.compare import find_difference
from tools.proof.judge import prove
from tools.proof.pooler import find_lack
from tools.proof.processes import Rerun
from tools.proof.record import Entry, Record, current_versions
from tools.proof.rerun import rerun
from tools.proof.side_by_side import run_each
from tools.proof.snippets import (
    digest,
    find_lead,
    list_snippets,
    location,
    snippet_name,
    suggest,
)

_AFTER_PRINT = re.compile(r"^( *)#> ", re.MULTILINE)
_FORMATTED = re.compile(r"^( *)# > ", re.MULTILINE)


def prove_all(server: Server, wanted: Sequence[Path] | None = None) -> list[str]:
    """Prove the snippets that are not proved yet with these versions, and keep the record.

    Args:
        server: Where to run them.
        wanted: Snippet files; all of them if not given.

    Returns:
        The problems, one sentence each, in the order of the snippets.
    """
    versions, record = current_versions(server), Record.load()
    if record.versions != versions:
        record = Record(versions)
    every = {snippet_name(snippet): snippet for snippet in list_snippets()}
    record.snippets = {name: entry for name, entry in record.snippets.items() if name in every}
    todo = []
    for snippet in record.list_unproved(every.values() if wanted is None else wanted):
        if lack := find_lack(snippet):
            click.echo(lack, err=True)  # its page says "not proved", and the guide is built
        else:
            todo.append(snippet)
    today = datetime.date.today().isoformat()
    try:
        for snippet, problem in run_each(
            todo, lambda each: prove(each, server), "Proving snippets"
        ):
            entry = Entry(digest(snippet), today, not problem, problem)
            record.snippets[snippet_name(snippet)] = entry
    finally:
        record.save()
    asked = set(every) if wanted is None else set(map(snippet_name, wanted))
    return [
        entry.problem
        for name, entry in sorted(record.snippets.items())
        if name in asked and not entry.ok
    ]


def prove_changed() -> None:
    """Prove what changed since the record was written, which then has the problems."""
    record = Record.load()
    if changed := [snippet for snippet in list_snippets() if not record.entry(snippet)]:
        with find_postgres() as server:
            prove_all(server, changed)


def select_snippets(names: Iterable[str]) -> list[Path]:
    """The files of these names, or if there are none, those not proved since they changed.

    Args:
        names: Paths of snippets or of folders of snippets, from here or below `snippets/`.

    Raises:
        click.BadParameter: There is no such snippet.
    """
    every, found = list_snippets(), list[Path]()
    for name in names:
        places = (Path(name).resolve(), SNIPPETS / name)
        leads = [find_lead(place) for place in places]
        fits = [path for path in every if path in leads or set(places) & set(path.parents)]
        if not fits:
            raise click.BadParameter(
                f"{name}: no snippet; name a file or folder below snippets/{suggest(name)}"
            )
        found += fits
    return found or Record.load().list_unproved(every)


def update(server: Server, wanted: Sequence[Path]) -> list[str]:
    """Write the lines that a run prints into the snippets: run twice, and the same both times.

    Returns:
        What was written and what went wrong, one sentence each, in the order of the snippets.
    """
    told = dict(run_each(wanted, lambda each: _update_one(each, server), "Running snippets"))
    return [told[snippet] for snippet in wanted if told[snippet]]


def _update_one(snippet: Path, server: Server) -> str:
    first, second = (_run(snippet, server) for _ in range(2))
    if problem := first.problem or second.problem:
        return problem
    if first.text != second.text:
        difference = find_difference(snippet, first.text, second.text)
        return (
            f"{difference.split(': the run printed')[0]}: prints something else each time, so "
            "nothing was written; print what is always so, a letter for a process number, say"
        )
    text = format_snippets([first.text])[0]
    if text == snippet.read_text("utf-8"):
        return ""
    snippet.write_text(text, "utf-8")
    return f"{location(snippet)}: written anew"


def _run(snippet: Path, server: Server) -> Rerun:
    with fresh_database(server.url) as url, rerun(snippet, url) as result:
        return result


def format_snippets(texts: Sequence[str]) -> list[str]:
    """Snippets' texts as ruff formats them, which must not touch `#>`."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{number}.py") for number in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            file.write_text(_AFTER_PRINT.sub(r"\1# > ", text), "utf-8")
        ruff = (sys.executable, "-m", "ruff", "format", "--quiet")
        subprocess.run([*ruff, "--config", SNIPPETS / "ruff.toml", folder], check=True)
        return [_FORMATTED.sub(r"\1#> ", file.read_text("utf-8")) for file in files]


def forget_proofs() -> None:
    """Let the next run prove everything again."""
    RECORD.unlink(missing_ok=True)
