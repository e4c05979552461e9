"""Renew the one browser library of the site from its npm package.

    python -m tools.vendor [VERSION]     needs npm; without VERSION the newest

The file is kept as published, its licence, version and checksum beside it.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).resolve().parent.parent / "theme" / "assets" / "vendor"
PACKAGE = "minisearch"
FILES = {"dist/umd/index.js": "minisearch.js", "LICENSE.txt": "minisearch.LICENSE.txt"}


def main() -> None:
    """Fetch the package with npm, copy its files, write down what they are."""
    wanted = "@".join([PACKAGE, *sys.argv[1:2]])
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["npm", "pack", "--json", "--pack-destination", folder, wanted],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        found = json.loads(packed.stdout)
        with tarfile.open(Path(folder, found[0]["filename"])) as package:
            contents = {name: _read(package, source) for source, name in FILES.items()}
    for name, content in contents.items():
        (VENDOR / name).write_bytes(content)
    record = {
        "package": PACKAGE,
        "version": found[0]["version"],
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    }
    (VENDOR / "minisearch.json").write_text(json.dumps(record, indent=2) + "\n")
    print(f"{PACKAGE} {record['version']} is in {VENDOR}")


def _read(package: tarfile.TarFile, name: str) -> bytes:
    member = package.extractfile(f"package/{name}")
    assert member
    return member.read()


if __name__ == "__main__":
    main()
