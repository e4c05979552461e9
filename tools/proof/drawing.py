"""What a recorder kept, drawn: each moment as the picture that a reader sees."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.proof.joining import join
from tools.proof.observed import Connection, PoolSeen
from tools.proof.recorder import LONGEST_TEXT, Moment, PoolNow, Recorder
from tools.proof.recording import Recording, Step
from tools.proof.snippets import OUTPUT, digest
from tools.proof.whereabouts import Actor


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
