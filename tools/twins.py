"""Which sections of the two languages were last seen to agree.

    python -m tools.twins --agree     record that all pairs agree as they stand

`docs/agreed.json` keeps two fingerprints a section. A section that changed alone is reported
until its twin changes too, or somebody who read both says that they agree.
"""

import argparse
import hashlib
import json

from tools.pages import Page, Section, pairs
from tools.rooms import DOCS

AGREED = DOCS / "agreed.json"

Agreed = dict[str, dict[str, list[str]]]


def fingerprint(section: Section) -> str:
    """Twelve hexadecimal digits that change with the section's text."""
    return hashlib.sha256(section.text.encode()).hexdigest()[:12]


def now() -> Agreed:
    """The fingerprints `[zh, en]` of each section that both languages have."""
    return {
        chinese.name: {
            name: [fingerprint(zh), fingerprint(en)]
            for name, (zh, en) in twins(chinese, english).items()
        }
        for chinese, english in pairs()
    }


def twins(chinese: Page, english: Page) -> dict[str, tuple[Section, Section]]:
    """The sections of two pages that carry the same id, by id; the title's is `top`."""
    ours = {section.id or "top": section for section in english.sections()}
    return {
        name: (section, ours[name])
        for section in chinese.sections()
        if (name := section.id or "top") in ours
    }


def read() -> Agreed:
    """The recorded fingerprints; empty where there is no record."""
    return json.loads(AGREED.read_text("utf-8")) if AGREED.is_file() else {}


def write(agreed: Agreed) -> None:
    """Record that these pairs agree."""
    AGREED.write_text(json.dumps(agreed, indent=1, sort_keys=True) + "\n", "utf-8")


def alone(agreed: Agreed) -> list[str]:
    """The sections that changed in one language only since `agreed`, one sentence each."""
    found = []
    for chinese, english in pairs():
        before = agreed.get(chinese.name, {})
        for name, (zh, en) in twins(chinese, english).items():
            recorded = before.get(name)
            if not recorded:
                continue
            changed = [fingerprint(zh) != recorded[0], fingerprint(en) != recorded[1]]
            if sum(changed) != 1:
                continue
            mine, other = f"{chinese.spot}:{zh.line}", f"{english.spot}:{en.line}"
            if changed[1]:
                mine, other = other, mine
            found.append(
                f"{mine}: this section changed, its twin {other} did not; change the twin, "
                "or say `make agree` if both still say the same"
            )
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.twins", description=__doc__)
    parser.add_argument("--agree", action="store_true", help="record that all pairs agree")
    if parser.parse_args().agree:
        write(now())
    for line in alone(read()):
        print(line)


if __name__ == "__main__":
    main()
