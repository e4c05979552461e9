"""Environments that have other versions than ours, for the records; uv fetches the packages."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click


def install(folder: Path, *requirements: str) -> Path:
    """Make an environment that has these packages, what they need, and no other.

    Args:
        folder: Where; it may be there if it is empty.
        requirements: As pip has them: `fastapi==0.105.0`.

    Returns:
        Its Python, of the version that runs this.

    Raises:
        click.ClickException: One of them could not be installed.
    """
    python = folder / "bin" / "python"
    for command in (
        ["venv", "--python", sys.executable, str(folder)],
        ["pip", "install", "--python", str(python), *requirements],
    ):
        ran = subprocess.run(
            [sys.executable, "-m", "uv", "--quiet", *command], capture_output=True, encoding="utf-8"
        )
        if ran.returncode:
            raise click.ClickException(f"{', '.join(requirements)}: {ran.stderr.strip()}")
    return python


def pin(package: str) -> str:
    """`asyncpg==0.32.0`: a package in the version that is installed here."""
    return f"{package}=={version(package.partition('[')[0])}"
