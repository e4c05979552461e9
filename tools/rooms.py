"""Where things are kept."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SNIPPETS = ROOT / "snippets"
PROGRAMS = (SNIPPETS / "sizing/measure/sweep.py",)
"""What readers run on their own database: tested, but longer than a snippet, and what it prints
differs from run to run. So nothing proves it by its output."""
RECORD = ROOT / ".cache" / "proofs.json"
"""What `tools.prove` found out last, and the site shows."""

LANGUAGES = ("zh", "en")
