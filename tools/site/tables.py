"""What Markdown's tables need beyond Markdown."""

import re

_EMPTY_HEADER = re.compile(r"<th([^>]*)></th>")
_CELL = re.compile(r"<td\b.*?</td>", re.DOTALL)
_OPTION = re.compile(r"<code>(?=[^\s<]*-[^\s<]*</code>)")


def finish_tables(html: str) -> str:
    """A page whose tables have no empty heads, and no option such as `--workers` in two lines."""
    html = _EMPTY_HEADER.sub(r"<td\1></td>", html)  # a corner, not the head of a column
    return _CELL.sub(lambda cell: _OPTION.sub('<code class="option">', cell[0]), html)
