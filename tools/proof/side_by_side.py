"""Runs of several snippets, side by side."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

import click

from tools.proof.processes import stop_running

T = TypeVar("T")


def run_each(
    snippets: Sequence[Path], run: Callable[[Path], T], label: str, *, more: int = 0
) -> Iterator[tuple[Path, T]]:
    """Run each snippet and show how many have ended; what breaks this off ends their processes.

    Args:
        snippets: Files below `snippets/`.
        run: Runs one, in a thread.
        label: What stands before the progress bar.
        more: How many run at once beyond one for each core, since most of them wait.

    Yields:
        A snippet and what came of it, as they end.
    """
    with (
        ThreadPoolExecutor((os.cpu_count() or 1) + more) as pool,
        click.progressbar(length=len(snippets), label=label, show_pos=True) as bar,
    ):
        running = {pool.submit(run, snippet): snippet for snippet in snippets}
        try:
            for done in as_completed(running):
                yield running[done], done.result()
                bar.update(1)
        except BaseException:  # such as Ctrl-C: wait for no snippet
            pool.shutdown(wait=False, cancel_futures=True)
            stop_running()
            raise
