"""What was proved, when and with which versions, as `.cache/proofs.json` keeps it."""

import json
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Self

from tools.paths import RECORD
from tools.postgres import Server
from tools.postgres.pgbouncer import find_releases
from tools.proof.files import write_whole
from tools.proof.snippets import digest, find_lead, snippet_name


@dataclass(frozen=True)
class Entry:
    """The last run of one snippet."""

    sha256: str
    """Of the file that ran."""
    when: str
    """The day, `2026-11-26`."""
    ok: bool
    problem: str = ""
    """One sentence; empty if `ok`."""


@dataclass
class Record:
    """The last run of each snippet, all with the same versions."""

    versions: dict[str, str] = field(default_factory=dict)
    snippets: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """The record in a file, `RECORD` if not given; empty where none can be read."""
        try:
            found = json.loads((path or RECORD).read_text("utf-8"))
            entries = {name: Entry(**entry) for name, entry in found["snippets"].items()}
            return cls(dict(found["versions"]), entries)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return cls()

    def save(self, path: Path | None = None) -> None:
        """Write the record; whoever reads meanwhile sees the old one or the new one."""
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False, sort_keys=True)
        write_whole(path or RECORD, text)

    def entry(self, snippet: Path) -> Entry | None:
        """The entry of a snippet, if the file is still the one that ran."""
        lead = find_lead(snippet)
        found = self.snippets.get(snippet_name(lead))
        return found if found and found.sha256 == digest(lead) else None

    def list_unproved(self, snippets: Iterable[Path]) -> list[Path]:
        """Those that it does not show as proved in their present text."""
        return [
            snippet for snippet in snippets if not ((entry := self.entry(snippet)) and entry.ok)
        ]


def current_versions(server: Server) -> dict[str, str]:
    """What a proof holds for."""
    poolers = find_releases()
    return {
        **({"PgBouncer": poolers[-1].version} if poolers else {}),
        "SQLAlchemy": version("sqlalchemy"),
        "asyncpg": version("asyncpg"),
        "psycopg": version("psycopg"),
        "PostgreSQL": server.version,
        "Python": platform.python_version(),
        "pytest": version("pytest"),
        "pytest-asyncio": version("pytest-asyncio"),
    }
