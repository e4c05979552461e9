"""A record of older versions is of the snippet beside it, as that stands."""

from tests.report import report
from tools.prove import digest, spot
from tools.rooms import SNIPPETS


def test_a_record_is_of_the_snippet_as_it_stands() -> None:
    report(
        f"{spot(record, 1)}: is of another text of {snippet.name}; `make older` runs that again"
        for record in sorted(SNIPPETS.rglob("*.txt"))
        if (snippet := record.with_suffix(".py"))
        and not record.read_text("utf-8").startswith(f"{snippet.name} {digest(snippet)[:12]}, ")
    )
