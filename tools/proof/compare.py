"""What a run printed beside what the file says."""

import difflib
import re
from pathlib import Path

from tools.proof.snippets import location

REWORDED_SINCE_2_0 = (
    (re.compile(r"sqlalche\.me/e/20/"), "sqlalche.me/e/21/"),
    (re.compile(r"\bawait_only\(\)"), "await_()"),
    (re.compile(r"<class '[\w.]+'>: "), ""),
)
"""What SQLAlchemy 2.0 words otherwise than 2.1, which the pages print. Found by running both."""


def normalize_wording(text: str) -> str:
    """Printed text as SQLAlchemy 2.1 words it, whichever version ran."""
    for old, new in REWORDED_SINCE_2_0:
        text = old.sub(new, text)
    return text


def find_difference(snippet: Path, before: str, after: str) -> str:
    """The first line on which a run and the file disagree, as one sentence; empty if none.

    Args:
        snippet: The file, for the sentence.
        before: Its text with the `#>` lines that are expected.
        after: Its text with those that a run printed.
    """
    old, new = before.splitlines(), after.splitlines()
    changes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    for kind, old_start, old_end, new_start, new_end in changes:
        if kind == "equal":
            continue
        says = f"`{old[old_start].strip()}`" if old_start < old_end else "nothing"
        ran = f"`{new[new_start].strip()}`" if new_start < new_end else "nothing"
        return (
            f"{location(snippet, old_start + 1)}: the run printed {ran} here, the file says "
            f"{says}; if a new version changed that, read the page first; then `make update`"
        )
    return ""
