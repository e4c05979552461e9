"""Files that are whole at every moment."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a file; whoever reads meanwhile sees the old one or the new one.

    Args:
        path: The file; the folders above it are made.
        text: What to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.new")  # two processes may write at once
    beside.write_text(text, "utf-8")
    os.replace(beside, path)
