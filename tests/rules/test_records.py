"""A record is of the program beside it as that stands, and charts are of their record."""

import json
from pathlib import Path

from tests.report import report
from tools.measure import charts, outages
from tools.paths import OUTAGES_TABLE, ROOT, SETTINGS_TABLE, SNIPPETS
from tools.proof.older import RUNS
from tools.proof.poolers import GUESTS
from tools.proof.seals import find_broken_seals
from tools.proof.snippets import digest, location

RECORDS = sorted(file for file in SNIPPETS.rglob("*.txt") if ".uvloop" not in file.suffixes)
"""What uvloop prints otherwise is none: each run checks it."""
WRITTEN_BY = {SETTINGS_TABLE: GUESTS, OUTAGES_TABLE: Path(outages.__file__)}
"""What wrote a record that has no program beside it."""
RENEW = {
    **{Path(name).name: "make older" for name in RUNS},
    "costs.py": "python -m tools emptying",
    "doctor.py": "python -m tools examine",
    "guests.py": "python -m tools poolers",
    "outages.py": "python -m tools outages",
    "sweep.py": "make bench",
}
"""What runs a program and writes its record."""


def find_program(record: Path) -> Path:
    """What printed or wrote a record."""
    return WRITTEN_BY.get(record, record.with_suffix(".py"))


def test_each_record_can_be_renewed() -> None:
    report(
        f"{location(record, 1)}: nothing says what renews it; add {program.name} with its command "
        "to RENEW in tests/rules/test_records.py"
        for record in RECORDS
        if (program := find_program(record)).name not in RENEW
    )


def test_a_record_is_of_its_program_as_it_stands() -> None:
    report(
        f"{location(record, 1)}: is of another text of {program.name}; "
        f"run `{RENEW.get(program.name)}` again"
        for record in RECORDS
        if (program := find_program(record))
        and not record.read_text("utf-8").startswith(f"{program.name} {digest(program)[:12]}, ")
    )


def test_no_record_was_edited_by_hand() -> None:
    report(find_broken_seals([charts.MEASURED, *RECORDS]))


def test_the_charts_show_what_was_measured() -> None:
    record = json.loads(charts.MEASURED.read_text("utf-8"))
    report(
        f"{path.relative_to(ROOT)}: is not what docs/measured.json says; "
        "`python -m tools charts` draws it"
        for path, drawing in charts.render_charts(record).items()
        if not path.is_file() or path.read_text("utf-8") != drawing
    )
