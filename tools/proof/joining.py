"""The moments of a run made into the steps that a reader watches: few, each shows something."""

from collections.abc import Iterable
from dataclasses import replace

from tools.proof.recording import MOST_STEPS, Step

TOLD = frozenset({"print", "wait", "timeout", "error", "kill", "invalidate", "detach", "end"})
"""Events that are steps even where the picture stays."""


LANDMARKS = frozenset({"print", "error", "timeout", "kill", "end"})
"""Events that are never skipped."""
LONGEST_ROUND = 12
"""Steps."""


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
