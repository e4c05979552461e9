"""Which sections and docstrings of the two languages were last seen to agree; `make agree` records.

`docs/agreed.json` keeps two fingerprints of each. What changed, alone or with its twin, is reported
until somebody who read both says that they agree.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tools.paths import DOCS, READER_SCRIPTS
from tools.proof.files import write_whole
from tools.proof.snippets import list_parts, list_snippets, location, read_claims
from tools.site.pages import Page, Section, pairs

AGREED = DOCS / "agreed.json"
WHAT = {"docstring": "half of the docstring", "picture": "picture"}
"""What changed, by the name of the twins; else a section."""

_SAYS = re.compile(r">\s*([^<>]*[^<>\s])\s*<")

Agreed = dict[str, dict[str, list[str]]]


class Twins(NamedTuple):
    """Two texts that say the same, the Chinese and the English, and where they stand."""

    file: str
    """What `agreed.json` knows them by: `pool/size.md`, or `snippets/pool/size/default.py`."""
    name: str
    """The id of the section; `top` above all sections; `docstring` in a snippet; `picture`."""
    texts: tuple[str, str]
    places: tuple[str, str]
    """`docs/zh/pool/size.md:14`."""

    @property
    def fingerprints(self) -> list[str]:
        """Twelve hexadecimal digits each, which change with the text."""
        return [hashlib.sha256(text.encode()).hexdigest()[:12] for text in self.texts]


def list_twins() -> Iterator[Twins]:
    """What both languages have: sections of pages, docstrings of snippets, words of pictures."""
    for chinese, english in pairs():
        for name, (zh, en) in pair_sections(chinese, english).items():
            places = (f"{chinese.file}:{zh.line}", f"{english.file}:{en.line}")
            yield Twins(chinese.name, name, (zh.text, en.text), places)
    for snippet in (*list_snippets(), *list_parts(), *READER_SCRIPTS):
        if claims := read_claims(snippet):  # else another rule reports the file
            first, last = claims
            places = (location(snippet, 2 + len(first.splitlines())), location(snippet, 1))
            yield Twins(location(snippet), "docstring", (last, first), places)
    for picture in sorted((DOCS / "zh").rglob("*.svg")):
        name = picture.relative_to(DOCS / "zh").as_posix()
        if (other := DOCS / "en" / name).is_file():  # else another rule reports the picture
            texts = (_read_words(picture), _read_words(other))
            yield Twins(name, "picture", texts, (location(picture, 1), location(other, 1)))


def _read_words(picture: Path) -> str:
    """What a picture says, without its shapes."""
    return "\n".join(_SAYS.findall(picture.read_text("utf-8", errors="replace")))


def pair_sections(chinese: Page, english: Page) -> dict[str, tuple[Section, Section]]:
    """The sections of two pages that carry the same id, by id; the title's is `top`."""
    ours = {section.id or "top": section for section in english.sections()}
    return {
        name: (section, ours[name])
        for section in chinese.sections()
        if (name := section.id or "top") in ours
    }


def current_fingerprints() -> Agreed:
    """The fingerprints `[zh, en]` of all twins, by file and name."""
    found: Agreed = {}
    for twins in list_twins():
        found.setdefault(twins.file, {})[twins.name] = twins.fingerprints
    return found


def read() -> Agreed:
    """The recorded fingerprints; empty where there is no record."""
    return json.loads(AGREED.read_text("utf-8")) if AGREED.is_file() else {}


def write(agreed: Agreed) -> None:
    """Record that these pairs agree."""
    write_whole(AGREED, json.dumps(agreed, indent=1, sort_keys=True) + "\n")


def changed_in_one_language(agreed: Agreed) -> list[str]:
    """What changed in one language only since `agreed`, one sentence each."""
    found = []
    for twins in list_twins():
        changed = _compare(twins, agreed)
        if sum(changed) != 1:
            continue
        mine, other = reversed(twins.places) if changed[1] else twins.places
        what = WHAT.get(twins.name, "section")
        found.append(
            f"{mine}: this {what} changed, its twin {other} did not; change the twin, "
            "or say `make agree` if both still say the same"
        )
    return found


def not_agreed(agreed: Agreed) -> list[str]:
    """The twins that are new since `agreed`, or changed in both languages, as `describe` says."""
    return [
        describe(twins.file, twins.name) for twins in list_twins() if all(_compare(twins, agreed))
    ]


def _compare(twins: Twins, agreed: Agreed) -> list[bool]:
    """Whether the Chinese and the English text are others than recorded; unrecorded, both are."""
    recorded = agreed.get(twins.file, {}).get(twins.name, ["", ""])
    return [now != then for now, then in zip(twins.fingerprints, recorded, strict=True)]


def describe(file: str, name: str) -> str:
    """`docs/*/pool/size.md#zero`, or `snippets/pool/size/default.py`."""
    if name == "docstring":
        return file
    return f"docs/*/{file}{'' if name in ('top', 'picture') else f'#{name}'}"


def agree() -> list[str]:
    """Record that all pairs agree as they stand; what was accepted so, a line each."""
    before, now = read(), current_fingerprints()
    write(now)
    return [
        f"{describe(file, name)}: agreed as it stands"
        for file, names in now.items()
        for name, pair in names.items()
        if before.get(file, {}).get(name) != pair
    ]
