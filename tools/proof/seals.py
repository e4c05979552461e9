"""What a record was when a tool wrote it: a figure that somebody edits breaks its seal."""

import datetime
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from tools.paths import DOCS
from tools.proof.snippets import digest, location

SEALS = DOCS / "records.json"


def write_sealed(record: Path, text: str) -> None:
    """Write what was measured, and remember its digest.

    Args:
        record: A file of the repository that no run checks again.
        text: What to write.
    """
    record.write_text(text, "utf-8")
    seals = {**read_seals(), location(record): _digest(record)}
    SEALS.write_text(json.dumps(seals, indent=1, sort_keys=True) + "\n", "utf-8")


def write_printed(script: Path, printed: str) -> None:
    """Write what a script for readers printed into the record beside it.

    Args:
        script: `doctor.py`, whose record is `doctor.txt`.
        printed: What it printed when a reader's command ran it.
    """
    head = describe_run(script)
    write_sealed(script.with_suffix(".txt"), f"{head}\n\n$ python {script.name}\n{printed}")


def describe_run(script: Path) -> str:
    """`doctor.py 0123456789ab, 2026-11-27`: which text of a script ran, and that it was today."""
    return f"{script.name} {digest(script)[:12]}, {datetime.date.today()}"


def read_seals() -> dict[str, str]:
    """The digests by file, `docs/measured.json`; empty where there are none."""
    return json.loads(SEALS.read_text("utf-8")) if SEALS.is_file() else {}


def find_broken_seals(records: Iterable[Path]) -> list[str]:
    """The records that are not as a tool wrote them, and what has no record, a sentence each."""
    seals, known = read_seals(), {location(record): record for record in records}
    return [
        f"{name}:1: is not as its tool wrote it; figures are measured and never edited: take the "
        f"edit back, `git checkout {name} {location(SEALS)}`, or run the tool again"
        for name, record in known.items()
        if not record.is_file() or seals.get(name) != _digest(record)
    ] + [f"docs/records.json: knows {name}, which is no record" for name in seals.keys() - known]


def _digest(record: Path) -> str:
    return hashlib.sha256(record.read_bytes()).hexdigest()
