"""A small guide, whose tools are the real ones: three pages, two snippets, all proved."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools.paths import CACHE, ROOT
from tools.postgres import Server
from tools.proof.record import Entry, Record, current_versions
from tools.proof.recording import Recording
from tools.proof.rerecord import versions_of_recording
from tools.proof.snippets import digest

SNIPPET = '''"""{claim} is {claim}.

就是这样。
"""

print({claim})
#> {claim}
'''
PICTURE = (
    '<figure class="picture"><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" role="img">'
    "<title>A</title><desc>B</desc></svg></figure>\n"
)
PAGE = """---
description: About {name}.
---

# Page {name}

Some words, and [a link](../index.md#first).

## Proof {{#proof}}

```python
--8<-- "pool/{name}/one.py"
```

--8<-- "pool/{name}.svg"

## More {{#more}}

[Above](#proof).
"""
INDEX = "---\ndescription: x\n---\n\n# Home\n\n## First {#first}\n\nWords.\n"
NAV = """nav:
  - Home: index.md
  - Pool:
      - Size: pool/size.md
      - State: pool/state.md
  - Index: reference/snippets.md
"""


def write_guide(folder: Path, server: Server) -> Path:
    """Write the guide into an empty folder; its snippets count as proved."""
    for name in ("theme", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mkdocs.yml", "mkdocs.en.yml"):
        config = (ROOT / name).read_text("utf-8")
        write(folder / name, re.sub(r"^nav:\n(  .*\n)+", NAV, config, flags=re.M))
    entries = {}
    for number, name in enumerate(("size", "state"), 1):
        for language in ("zh", "en"):
            write(folder / f"docs/{language}/pool/{name}.md", PAGE.format(name=name))
            write(folder / f"docs/{language}/pool/{name}.svg", PICTURE)
            write(folder / f"docs/{language}/index.md", INDEX)
            write(folder / f"docs/{language}/reference/snippets.md", "# Index\n\n::: snippets\n")
        snippet = folder / f"snippets/pool/{name}/one.py"
        write(snippet, SNIPPET.format(claim=number))
        entries[f"pool/{name}/one.py"] = Entry(digest(snippet), "2026-01-01", ok=True)
    shutil.copy(ROOT / "snippets/ruff.toml", folder / "snippets")
    Record(current_versions(server), entries).save(folder / ".cache/proofs.json")
    count_as_recorded(folder, server)
    return folder


def count_as_recorded(folder: Path, server: Server) -> None:
    """Let the snippets of a guide count as recorded; nobody can watch them.

    The guide finds the PgBouncers that are here: with others, none of its proofs would hold.
    """
    if (poolers := CACHE / "pgbouncer").is_dir():
        (folder / ".cache/pgbouncer").symlink_to(poolers)
    versions = versions_of_recording(server)
    for snippet in (folder / "snippets").rglob("*.py"):
        place = folder / ".cache/recordings" / snippet.relative_to(folder / "snippets")
        recording = Recording(digest(snippet), versions, "this is a test")
        recording.save(place.with_suffix(".json"))


def start(folder: Path, **environment: str) -> "subprocess.Popen[str]":
    """Run `make serve` in a guide, with these variables."""
    return subprocess.Popen(
        [sys.executable, "-m", "tools", "serve"],
        cwd=folder,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )


def write(path: Path, text: str) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
