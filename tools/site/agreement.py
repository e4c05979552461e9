"""Which sections of the two languages were last seen to agree; `make agree` records it.

`docs/agreed.json` keeps two fingerprints a section. A section that changed alone is reported
until its twin changes too, or somebody who read both says that they agree.
"""

import hashlib
import json

from tools.paths import DOCS
from tools.site.pages import Page, Section, pairs

AGREED = DOCS / "agreed.json"

Agreed = dict[str, dict[str, list[str]]]


def fingerprint(section: Section) -> str:
    """Twelve hexadecimal digits that change with the section's text."""
    return hashlib.sha256(section.text.encode()).hexdigest()[:12]


def current_fingerprints() -> Agreed:
    """The fingerprints `[zh, en]` of each section that both languages have."""
    return {
        chinese.name: {
            name: [fingerprint(zh), fingerprint(en)]
            for name, (zh, en) in pair_sections(chinese, english).items()
        }
        for chinese, english in pairs()
    }


def pair_sections(chinese: Page, english: Page) -> dict[str, tuple[Section, Section]]:
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


def changed_in_one_language(agreed: Agreed) -> list[str]:
    """The sections that changed in one language only since `agreed`, one sentence each."""
    found = []
    for chinese, english in pairs():
        before = agreed.get(chinese.name, {})
        for name, (zh, en) in pair_sections(chinese, english).items():
            recorded = before.get(name)
            if not recorded:
                continue
            changed = [fingerprint(zh) != recorded[0], fingerprint(en) != recorded[1]]
            if sum(changed) != 1:
                continue
            mine, other = f"{chinese.file}:{zh.line}", f"{english.file}:{en.line}"
            if changed[1]:
                mine, other = other, mine
            found.append(
                f"{mine}: this section changed, its twin {other} did not; change the twin, "
                "or say `make agree` if both still say the same"
            )
    return found


def agree() -> list[str]:
    """Record that all pairs agree as they stand; which sections were accepted so, a line each."""
    before, now = read(), current_fingerprints()
    write(now)
    return [
        f"docs/*/{page}{'' if name == 'top' else f'#{name}'}: agreed as it stands"
        for page, sections in now.items()
        for name, pair in sections.items()
        if before.get(page, {}).get(name) != pair
    ]
