"""How a rule speaks: a sentence a finding, without a stack trace."""

from collections.abc import Iterable

import pytest

from tools.paths import DOCS, LANGUAGES


def report(findings: Iterable[str]) -> None:
    """Fail the test with all the findings, a line each; pass if there are none."""
    if found := list(findings):
        pytest.fail("\n".join(found), pytrace=False)


def require_on(page: str, sentence: str) -> None:
    """Fail unless the page, `sessions/request`, says this in both languages."""
    report(
        f"docs/{language}/{page}.md: does not say `{sentence}`, which is what the run showed; "
        "read the section again and write it there"
        for language in LANGUAGES
        if sentence not in (DOCS / language / f"{page}.md").read_text("utf-8")
    )
