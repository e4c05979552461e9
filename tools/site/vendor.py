"""Renew the vendored browser libraries from their npm packages; needs npm.

Each file is kept as published, its licence, version and checksums beside it.
"""

import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from tools.paths import ROOT


@dataclass(frozen=True)
class Library:
    """A package of npm, and what we take of it."""

    package: str
    folder: Path
    files: dict[str, str]
    """Names in the package, and ours."""

    @property
    def record(self) -> Path:
        """The file that says which version it is, with checksums."""
        return self.folder / f"{self.package.removesuffix('-core')}.json"


LIBRARIES = {
    "axe-core": Library(
        "axe-core",
        ROOT / "tests" / "site" / "vendor",
        {"axe.min.js": "axe.js", "LICENSE": "axe.LICENSE.txt"},
    ),
}
"""What the tests of the site look for barriers with."""


def vendor(package: str, version: str = "latest") -> str:
    """Fetch a package with npm, copy its files, write down what they are.

    Args:
        package: One of `LIBRARIES`.
        version: As npm knows it.

    Returns:
        The version that is there now.

    Raises:
        click.ClickException: There is no npm here.
        subprocess.CalledProcessError: npm has no such version.
    """
    if not shutil.which("npm"):
        raise click.ClickException("There is no npm on the PATH: install Node.js, which brings it.")
    library = LIBRARIES[package]
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["npm", "pack", "--json", "--pack-destination", folder, f"{package}@{version}"],
            check=True, stdout=subprocess.PIPE, encoding="utf-8",
        )  # fmt: skip
        found = json.loads(packed.stdout)[0]
        with tarfile.open(Path(folder, found["filename"])) as archive:
            contents = {name: _read(archive, source) for source, name in library.files.items()}
    for name, content in contents.items():
        (library.folder / name).write_bytes(content)
    record = {
        "package": package,
        "version": found["version"],
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    }
    library.record.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    return str(record["version"])


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(f"package/{name}")
    assert member
    return member.read()
