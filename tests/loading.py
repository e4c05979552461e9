"""What a snippet defines, without its run: what a test tries that a reader has copied."""

from collections.abc import Mapping
from typing import Any

import pytest

from tools.paths import SNIPPETS


def load_snippet(
    name: str,
    url: str = "postgresql+asyncpg://",
    *,
    before: str = "\nasync def main(",
    changes: Mapping[str, str] | None = None,
    **given: Any,
) -> dict[str, Any]:
    """Run a snippet down to its `main`, so that it makes its engine and opens nothing.

    Args:
        name: `pool/stale/black_hole.py`.
        url: What it finds in `DATABASE_URL`; engines that nobody uses may do with the default.
        before: The words at which it is cut off.
        changes: Words of it, and what stands there instead.
        given: Names that it finds defined; `__name__` is `snippet` if nothing else is said.

    Returns:
        Its names. What it reads of them later, a test may exchange.

    Raises:
        AssertionError: It does not have these words any more.
    """
    file = SNIPPETS / name
    source, found, _ = file.read_text("utf-8").partition(before)
    assert found, f"{name} does not say {before!r}"
    for old, new in (changes or {}).items():
        assert old in source, f"{name} does not say {old!r}"
        source = source.replace(old, new)
    names = {"__name__": "snippet", **given}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", url)
        exec(compile(source, file, "exec"), names)
    return names
