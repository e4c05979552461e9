"""Where things are kept."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SNIPPETS = ROOT / "snippets"
RECORD = ROOT / ".cache" / "proofs.json"
"""What `tools.prove` found out last, and the site shows."""

LANGUAGES = ("zh", "en")
