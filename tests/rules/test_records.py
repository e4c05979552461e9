"""A record is of the program beside it as that stands, and charts are of their record."""

import json
from pathlib import Path

from tests.report import report
from tools.measure import charts, outages
from tools.paths import OUTAGES_TABLE, ROOT, SETTINGS_TABLE, SNIPPETS
from tools.proof.poolers import GUESTS
from tools.proof.seals import find_broken_seals
from tools.proof.snippets import digest, location

PROGRAMS = {SETTINGS_TABLE: GUESTS, OUTAGES_TABLE: Path(outages.__file__)}
"""What wrote a record that has no program beside it."""


def test_a_record_is_of_the_snippet_as_it_stands() -> None:
    report(
        f"{location(record, 1)}: is of another text of {snippet.name}; `make older` or "
        "`make bench` runs that again; `python -m tools examine` for the doctor, `emptying` for "
        "costs.py, `poolers` for guests.py, `outages` for outages.py"
        for record in sorted(SNIPPETS.rglob("*.txt"))
        if ".uvloop" not in record.suffixes  # each run checks those
        and (snippet := PROGRAMS.get(record, record.with_suffix(".py")))
        and not record.read_text("utf-8").startswith(f"{snippet.name} {digest(snippet)[:12]}, ")
    )


def test_no_record_was_edited_by_hand() -> None:
    records = [path for path in SNIPPETS.rglob("*.txt") if ".uvloop" not in path.suffixes]
    report(find_broken_seals([charts.MEASURED, *sorted(records)]))


def test_the_charts_show_what_was_measured() -> None:
    record = json.loads(charts.MEASURED.read_text("utf-8"))
    report(
        f"{path.relative_to(ROOT)}: is not what docs/measured.json says; "
        "`python -m tools charts` draws it"
        for path, drawing in charts.render_charts(record).items()
        if not path.is_file() or path.read_text("utf-8") != drawing
    )
