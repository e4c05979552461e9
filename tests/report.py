"""How a rule speaks: a sentence a finding, without a stack trace."""

from collections.abc import Iterable

import pytest


def report(findings: Iterable[str]) -> None:
    """Fail the test with all the findings, a line each; pass if there are none."""
    if found := list(findings):
        pytest.fail("\n".join(found), pytrace=False)
