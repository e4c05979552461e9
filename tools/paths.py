"""Where things are kept."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SNIPPETS = ROOT / "snippets"
THEME = ROOT / "theme"
CACHE = ROOT / ".cache"
READER_SCRIPTS = (
    SNIPPETS / "sizing/measure/sweep.py",
    SNIPPETS / "testing/rollback/costs.py",
    SNIPPETS / "troubleshooting/doctor/doctor.py",
)
"""What readers run on their own database: tested, but longer than a snippet, and what it prints
differs from run to run. So nothing proves it by its output."""
SETTINGS_TABLE = SNIPPETS / "production/pgbouncer/settings.txt"
"""What came of the driver's settings behind PgBouncer, as `python -m tools poolers` wrote it."""
OUTAGES_TABLE = SNIPPETS / "production/restarts/outages.txt"
"""What helped against which outage, as `python -m tools outages` wrote it."""
RECORD = CACHE / "proofs.json"
"""What `tools.proof` found out last, and the site shows."""
RECORDINGS = CACHE / "recordings"
"""A file for each snippet: its run, step by step."""

LANGUAGES = ("zh", "en")
