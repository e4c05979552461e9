"""What a recorder kept, made into the steps that a reader watches: few, each shows something."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tools.proof.observed import Connection, PoolSeen
from tools.proof.recorder import LONGEST_TEXT, Moment, PoolNow, Recorder
from tools.proof.recording import MOST_STEPS, Recording, Step
from tools.proof.snippets import OUTPUT, digest
from tools.proof.whereabouts import Actor

TOLD = frozenset({"print", "wait", "timeout", "error", "kill", "invalidate", "detach", "end"})
"""Events that are steps even where the picture stays."""


LANDMARKS = frozenset({"print", "error", "timeout", "kill", "end"})
"""Events that are never skipped."""
LONGEST_ROUND = 12
"""Steps."""


@dataclass(frozen=True)
class _Cast:
    """What has a name in a recording."""

    places: list[PoolSeen]
    actors: dict[Actor, Actor]
    letters: dict[str | Connection, str]
    """By connection, and by backend."""
    pooled: frozenset[int]
    """Processes of the backends that a pool opened."""

    def tasks(self) -> list[Actor]:
        """Who is named, once."""
        return list(dict.fromkeys(self.actors.values()))

    def task(self, actor: Actor) -> int:
        """The number of a task."""
        return self.tasks().index(self.actors[actor])

    def letter(self, connection: Connection | None) -> str:
        """The letter of what is in a place of a pool; none where it is empty, or being opened."""
        return self.letters[connection] if connection else ""


def make_recording(recorder: Recorder, snippet: Path, number: Callable[[int], int]) -> Recording:
    """The recording of a run that has ended.

    Args:
        recorder: What followed it.
        snippet: The file below `snippets/`.
        number: Tells the line of the snippet by that of the copy that ran.
    """
    moments = recorder.moments
    places = [place for place in recorder.places if not place.observer and _is_used(place, moments)]
    pooled = frozenset(connection.pid for connection in recorder.connections)
    cast = _Cast(places, _list_actors(recorder, places), _give_letters(recorder), pooled)
    steps = [_make_step(moment, cast, number(moment.line)) for moment in moments]
    _take_printed_lines(steps, snippet.read_text("utf-8").splitlines())
    return Recording(
        sha256=digest(snippet),
        engines=[
            {"name": each.name, "size": each.size, "overflow": each.overflow, "pool": each.kind}
            for each in places
        ],
        tasks=_name(cast.tasks()),
        steps=join(steps),
    )


def _is_used(place: PoolSeen, moments: Iterable[Moment]) -> bool:
    return any(
        now.place is place and (now.lent or now.free or now.waiting)
        for moment in moments
        for now in moment.pools
    )


def _list_actors(recorder: Recorder, places: list[PoolSeen]) -> dict[Actor, Actor]:
    """Those who did anything that is shown; what runs outside of tasks is `main` like its task."""
    used = set[Actor]()
    for moment in recorder.moments:
        used.update(moment.actors)
        for now in moment.pools:
            if now.place in places:
                used.update(now.waiting, (actor for _, actor in now.lent))
    found = {actor: actor for actor in recorder.where.actors if actor in used}
    program = recorder.where.program
    if program in found:
        same = [actor for actor in found if actor.base == program.base]
        found[program] = same[0] if same[0] is not program else same[-1]
    return found


def _give_letters(recorder: Recorder) -> dict[str | Connection, str]:
    """A letter for each connection of a pool, then one for each other backend."""
    known = [each for each in recorder.connections if not each.place.observer]
    watched = {each.pid for each in recorder.connections if each.place.observer}
    letters: dict[str | Connection, str] = {
        connection: letter(at) for at, connection in enumerate(known)
    }
    by_process = {connection.pid: connection for connection in known}
    for moment in recorder.moments:
        for key, pid, _, _ in moment.backends:
            if key not in letters and pid not in watched:
                connection = by_process.get(pid)
                letters[key] = (
                    letters[connection] if connection else letter(len(set(letters.values())))
                )
    return letters


def letter(number: int) -> str:
    """A to Z, then AA, AB and so on."""
    return (letter(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)


def _make_step(moment: Moment, cast: _Cast, line: int) -> Step:
    seen = {id(now.place): now for now in moment.pools}
    nows = [seen.get(id(place)) for place in cast.places]
    backends = [each for each in moment.backends if each[0] in cast.letters]
    place = moment.place
    return Step(
        line=line,
        event=moment.event,
        tasks=[cast.task(actor) for actor in moment.actors],
        letters=[cast.letter(connection) for connection in moment.connections],
        text=moment.text,
        engine=cast.places.index(place) if place in cast.places else None,
        pools=[_draw(now, cast) for now in nows],
        backends=[
            [cast.letters[key], state, " ".join(query.split())[:LONGEST_TEXT]]
            for key, _, state, query in backends
        ],
        counters=[now.counters if now else None for now in nows],
        gone=[cast.letters[key] for key, pid, _, _ in backends if pid in moment.closed],
        own=[cast.letters[key] for key, pid, _, _ in backends if pid not in cast.pooled],
    )


def _draw(now: PoolNow | None, cast: _Cast) -> dict[str, list[Any]]:
    """What is in a pool; nothing if there is no such pool yet."""
    if not now:
        return {"lent": [], "free": [], "waiting": []}
    return {
        "lent": [[cast.letter(connection), cast.task(actor)] for connection, actor in now.lent],
        "free": [cast.letter(connection) for connection in now.free],
        "waiting": [cast.task(actor) for actor in now.waiting],
    }


def _name(actors: list[Actor]) -> list[str]:
    """Their names, `guest 3` where there are several of one name."""
    several, seen, names = Counter(actor.base for actor in actors), Counter[str](), []
    for actor in actors:
        seen[actor.base] += 1
        names.append(f"{actor.base} {seen[actor.base]}" if several[actor.base] > 1 else actor.base)
    return names


def _take_printed_lines(steps: list[Step], lines: list[str]) -> None:
    """Say of each print what stands under it in the file."""
    printed = Counter[int]()
    for step in steps:
        if step.event != "print":
            continue
        at = step.line
        while at < len(lines) and not OUTPUT.match(lines[at]):
            at += 1
        at += printed[step.line]
        printed[step.line] += 1
        if at < len(lines) and OUTPUT.match(lines[at]):
            step.text = OUTPUT.sub("", lines[at])


def join(steps: list[Step]) -> list[Step]:
    """Fewer steps that tell the same: those that say the same join, those that show nothing go."""
    steps = _join_equal(_shorten_taking(_shorten_returning(_drop_connects(steps))))
    steps = _join_equal(_drop_unseen(steps))
    for shorten in (_skip_rounds, _drop_ends, _take_with_statement, _skip_rounds, _thin):
        if len(steps) <= MOST_STEPS:
            break
        steps = _join_equal(shorten(steps))
    return steps


def _drop_connects(steps: list[Step]) -> list[Step]:
    """A connection that is lent as soon as it is open is seen when it is lent."""
    return [
        step for step, after in zip(steps, [*steps[1:], None], strict=True)
        if not (step.event == "connect" and _follows(step, after, "checkout"))
    ]  # fmt: skip


def _follows(step: Step, after: Step | None, *events: str) -> bool:
    return bool(
        after and after.event in events
        and (after.tasks, after.letters) == (step.tasks, step.letters)
    )  # fmt: skip


def _runs(steps: list[Step], events: Iterable[str]) -> list[list[Step]]:
    """The steps, cut so that those of these events which follow each other are together."""
    wanted = frozenset(events)
    cut: list[list[Step]] = []
    for step in steps:
        if cut and step.event in wanted and cut[-1][-1].event in wanted:
            cut[-1].append(step)
        else:
            cut.append([step])
    return cut


def _shorten_returning(steps: list[Step]) -> list[Step]:
    """Where several tasks return connections, the end of a transaction is seen at the return."""
    kept = []
    for run in _runs(steps, ("rollback", "commit", "checkin", "close")):
        many = len({step.tasks[0] for step in run}) > 1
        kept += _drop_ends(run) if many else run
    return kept


def _drop_ends(steps: list[Step]) -> list[Step]:
    """Without those ends of transactions after which the next of the connection is its return."""
    kept = []
    for at, step in enumerate(steps):
        if step.event in ("rollback", "commit"):
            after = _next_of(steps, at)
            if after and after.event in ("checkin", "close") and after.tasks == step.tasks:
                continue
        kept.append(step)
    return kept


def _next_of(steps: list[Step], at: int) -> Step | None:
    """The next step that concerns the same connections."""
    for step in steps[at + 1 :]:
        if set(step.letters) & set(steps[at].letters):
            return step
    return None


def _shorten_taking(steps: list[Step]) -> list[Step]:
    """Where several tasks take a connection and run a statement, that is one step of each."""
    kept = []
    for run in _runs(steps, ("open", "connect", "checkout", "sql")):
        many = len({step.tasks[0] for step in run}) > 1
        kept += _take_with_statement(run) if many else run
    return kept


def _take_with_statement(steps: list[Step]) -> list[Step]:
    """A connection on which its task runs a statement next is lent when that has run."""
    kept: list[Step] = []
    taken = set[str]()
    for at, step in enumerate(steps):
        if step.event == "checkout" and not step.text:
            after = _next_of(steps, at)
            if after and after.event == "sql" and after.tasks == step.tasks:
                taken.update(step.letters)
                continue
        if step.event == "sql" and taken & set(step.letters):
            taken.difference_update(step.letters)
            step = replace(step, event="checkout")
        kept.append(step)
    return kept


def _drop_unseen(steps: list[Step]) -> list[Step]:
    kept: list[Step] = []
    for step in steps:
        if step.event in TOLD or not kept or _picture(kept[-1]) != _picture(step):
            kept.append(step)
    return kept


def _picture(step: Step) -> object:
    return step.pools, step.backends


def _skip_rounds(steps: list[Step]) -> list[Step]:
    """Of rounds that are alike, such as those of a loop, the first two and the last."""
    kept: list[Step] = []
    at = 0
    while at < len(steps):
        length, rounds = _find_rounds(steps, at)
        kept += steps[at : at + min(rounds, 2) * length]
        kept += steps[at + max(rounds - 1, 2) * length : at + rounds * length]
        at += rounds * length
    return kept


def _find_rounds(steps: list[Step], at: int) -> tuple[int, int]:
    """How many steps a round has that begins here, and how many rounds there are."""
    best = 1, 1
    for length in range(1, LONGEST_ROUND + 1):
        first = [_kind(step) for step in steps[at : at + length]]
        if len(first) < length or any(step.event in LANDMARKS for step in steps[at : at + length]):
            break
        rounds = 1
        while [
            _kind(step) for step in steps[at + rounds * length : at + (rounds + 1) * length]
        ] == first:
            rounds += 1
        if rounds > 2 and rounds * length > best[0] * best[1]:
            best = length, rounds
    return best


def _kind(step: Step) -> object:
    return step.event, step.line, step.engine


def _thin(steps: list[Step]) -> list[Step]:
    """Without every second of the steps that only show a change, until few are left."""
    while len(steps) > MOST_STEPS:
        kept: list[Step] = []
        skipped = True
        for step in steps:
            skipped = step.event not in TOLD and not skipped
            if not skipped:
                kept.append(step)
        if len(kept) == len(steps):
            break
        steps = kept
    return steps


def _join_equal(steps: list[Step]) -> list[Step]:
    """Steps in a row that say the same, of several tasks or of one, are one step."""
    joined: list[Step] = []
    for step in steps:
        last = joined[-1] if joined else None
        if last and step.event not in ("print", "end") and _says(last) == _says(step):
            joined[-1] = replace(
                step,
                tasks=list(dict.fromkeys(last.tasks + step.tasks)),
                letters=list(dict.fromkeys(last.letters + step.letters)),
            )
        else:
            joined.append(step)
    return joined


def _says(step: Step) -> object:
    return step.event, step.line, step.engine, step.text
