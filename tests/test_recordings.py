"""What a reader watches is what happened, by the pool's own counters and by the server."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.report import report
from tools.paths import SNIPPETS
from tools.postgres import Server
from tools.proof.judge import LEAVES_CONNECTIONS
from tools.proof.observed import Backend, Eye
from tools.proof.recording import (
    MOST_BYTES,
    MOST_STEPS,
    Recording,
    Step,
    load_recording,
    recording_path,
)
from tools.proof.rerecord import (
    ENDS_LENT,
    UNFOLLOWED,
    list_followed,
    record,
    versions_of_recording,
)
from tools.proof.snippets import expected_lines, list_snippets, location, snippet_name

FOLLOWED = list_followed()
AGAIN = [
    each
    for each in FOLLOWED
    if snippet_name(each)
    in {
        "index/four_moments.py",
        "pool/size/default.py",
        "pool/stale/one_dead.py",
        "sessions/closing/leaving.py",
        "sessions/nested/circular.py",
    }
]


@pytest.fixture(scope="session")
def recorded(server: Server) -> Callable[[Path], Recording]:
    """Gives the recording of a snippet as it stands; made once, whoever asks."""
    versions = versions_of_recording(server)

    def find(snippet: Path) -> Recording:
        found = load_recording(snippet)
        if not found or found.versions != versions:
            found = record(snippet, server)
            found.save(recording_path(snippet))
        return found

    return find


@pytest.mark.parametrize("snippet", FOLLOWED, ids=snippet_name)
def test_what_is_shown_agrees_with_the_pool_and_with_the_server(
    snippet: Path, recorded: Callable[[Path], Recording]
) -> None:
    recording = recorded(snippet)
    assert not recording.problem, recording.problem
    assert len(recording.steps) <= MOST_STEPS
    assert recording.weight() <= MOST_BYTES
    faults = find_faults(recording)
    assert not faults, faults[:3]
    assert not find_reused(recording.steps)
    printed = [step.text for step in recording.steps if step.event == "print"]
    assert Counter(printed) == Counter(expected_lines(snippet))
    last = recording.steps[-1]
    assert last.event == "end"
    if any(pool["lent"] or pool["waiting"] for pool in last.pools):
        assert snippet_name(snippet) in ENDS_LENT, (
            f"{location(snippet)}: a connection is still lent when its run ends; return it, or "
            "name the snippet in ENDS_LENT in tools/proof/rerecord.py if that is its point"
        )
    if snippet not in LEAVES_CONNECTIONS:
        report(
            f"{location(snippet)}: {count} of a pool's connections are open when its run ends; "
            "`await engine.dispose()` at its end"
            for count in [len(find_kept(last))]
            if count
        )


def find_faults(recording: Recording) -> list[str]:
    """Where a picture is neither what the pool counts nor what the server shows."""
    return [
        f"step {at} ({step.event}): {fault}"
        for at, step in enumerate(recording.steps, 1)
        for fault in (*find_miscounted(step), *find_unexplained(step))
    ]


def find_kept(step: Step) -> list[str]:
    """The backends that idle in a pool."""
    free = {letter for pool in step.pools for letter in pool["free"]}
    return [backend[0] for backend in step.backends if backend[0] in free]


def find_miscounted(step: Step) -> list[str]:
    """Pools that count otherwise than they are drawn."""
    drawn = [{kind: len(pool[kind]) for kind in ("lent", "free")} for pool in step.pools]
    return [
        f"the pool counts {counted}, drawn are {shown}"
        for counted, shown in zip(step.counters, drawn, strict=True)
        if counted and counted != shown
    ]


def find_unexplained(step: Step) -> list[str]:
    """Backends that stand in no pool although nobody closed them; one may just be opened."""
    lent = [letter for pool in step.pools for letter, _ in pool["lent"]]
    placed = {*lent, *(letter for pool in step.pools for letter in pool["free"])}
    alone = [b[0] for b in step.backends if b[0] not in placed and b[0] not in step.gone]
    more = len(alone) - lent.count("") - len(step.own)
    return [f"{alone} are in no pool"] if more > 0 else []


def find_reused(steps: list[Step]) -> set[str]:
    """Letters that come back after their backend and their place are gone."""
    gone, seen, back = set[str](), set[str](), set[str]()
    for step in steps:
        now = {backend[0] for backend in step.backends}
        now |= {letter for pool in step.pools for letter, _ in pool["lent"]}
        now |= {letter for pool in step.pools for letter in pool["free"]}
        back |= now & gone - {""}
        seen |= now
        gone |= seen - now
    return back


BUSY_THREADS = """
import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy.ext.asyncio import create_async_engine


async def order(number: int) -> None:
    engine = create_async_engine(os.environ["DATABASE_URL"])
    async with engine.connect():
        pass
    await engine.dispose()


with ThreadPoolExecutor(12) as threads:
    list(threads.map(lambda number: asyncio.run(order(number)), range(12)))
"""


def take_short_turns() -> None:
    """Let threads yield to each other at nearly every instruction."""
    sys.setswitchinterval(1e-6)


def test_what_threads_do_at_the_same_time_is_drawn_as_it_is_counted(
    tmp_path: Path, server: Server
) -> None:
    snippet = tmp_path / "busy_threads.py"
    snippet.write_text(BUSY_THREADS, "utf-8")
    recordings = [record(snippet, server, take_short_turns) for _ in range(5)]
    assert not any(find_faults(each) for each in recordings), (
        "a thread looked at a pool in which another was at work; see LONGEST_TURN in "
        "tools/proof/hooks.py"
    )


def show_ended_backends_longer() -> None:
    """Let the server show a backend that has ended at 500 more looks, as a busy machine may."""
    left = Counter[str]()
    last = dict[str, Backend]()

    def look(eye: Eye, original: Callable[[Eye], list[Backend]] = Eye.look) -> list[Backend]:
        there = original(eye)
        for backend in there:
            last[backend[0]], left[backend[0]] = backend, 500
        left.subtract(last.keys() - {backend[0] for backend in there})
        return [backend for key, backend in last.items() if left[key] > 0]

    setattr(Eye, "look", look)  # noqa: B010


@pytest.mark.parametrize("name", ["production/serverless/new_loop.py", "pool/size/default.py"])
def test_a_server_that_is_slow_to_end_a_backend_is_waited_for_at_the_end(
    name: str, server: Server
) -> None:
    recording = record(SNIPPETS / name, server, show_ended_backends_longer)
    assert not recording.problem
    assert not recording.steps[-1].backends, (
        "the last step shows a backend whose connection nobody holds any more; see "
        "TO_LEAVE_AT_END in tools/proof/recorder.py"
    )


@pytest.mark.parametrize("snippet", AGAIN, ids=snippet_name)
def test_a_second_recording_tells_the_same(
    snippet: Path, server: Server, recorded: Callable[[Path], Recording]
) -> None:
    assert tell(record(snippet, server)) == tell(recorded(snippet))


def tell(recording: Recording) -> object:
    """What a reader may rely on: printed lines, counts when they are printed, who does what."""
    printed = [
        (step.text, [[len(pool[kind]) for kind in pool] for pool in step.pools])
        for step in recording.steps
        if step.event == "print"
    ]
    done = {
        (recording.tasks[task].split()[0], step.event, step.line)
        for step in recording.steps
        for task in step.tasks
        if step.event not in ("open", "connect", "sql", "rollback")  # joined with the next, or not
    }
    return printed, done


def test_nearly_all_snippets_can_be_watched_and_the_others_say_why() -> None:
    names = set(map(snippet_name, list_snippets()))
    assert not UNFOLLOWED.keys() - names, "there is no such snippet any more: take it off the list"
    assert all(UNFOLLOWED.values())
    assert len(FOLLOWED) >= 240
