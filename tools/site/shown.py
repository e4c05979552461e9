"""The definitions that a listing shows by its author's choice: `docs/shown.toml`."""

import re
import tomllib
from collections.abc import Iterator

from tools.paths import DOCS, SNIPPETS
from tools.site.folding import list_definitions

TABLE = DOCS / "shown.toml"
_HERE = "docs/shown.toml"


def load_shown() -> dict[str, list[str]]:
    """Names of definitions by snippet, `pool/size/default.py`; empty where none can be read."""
    try:
        return dict(tomllib.loads(TABLE.read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def find_shown_faults() -> Iterator[str]:
    """What the table names that is not there, a sentence each."""
    if not TABLE.is_file():
        return
    text = TABLE.read_text("utf-8")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        yield f"{_HERE}:{line[1] if line else 1}: is no TOML ({error}); mend it near that line"
        return
    for snippet, names in table.items():
        where = f"{_HERE}:{text[: text.find(snippet)].count(chr(10)) + 1}"
        file = SNIPPETS / snippet
        if not file.is_file():
            yield f"{where}: names snippets/{snippet}, which does not exist; mend or drop the line"
        elif not isinstance(names, list) or not names:
            yield f'{where}: lists no names; write `"{snippet}" = ["guest", "main"]`'
        else:
            yield from _find_lost_names(where, snippet, names)


def _find_lost_names(where: str, snippet: str, names: list[str]) -> Iterator[str]:
    try:
        defined = list_definitions((SNIPPETS / snippet).read_text("utf-8"))
    except (SyntaxError, ValueError):
        return  # said of the snippet itself
    for name in names:
        if name not in defined:
            yield (
                f"{where}: shows `{name}`, which snippets/{snippet} does not define at its top "
                f"level; write one of {', '.join(sorted(defined))}"
            )
