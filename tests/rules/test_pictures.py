"""A picture is a drawing and nothing else, and both languages draw the same."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from tests.chinese import HAN
from tests.report import report
from tools.paths import DOCS, ROOT
from tools.site.pages import INCLUDE, pages

_NUMBER = re.compile(r"(?<![\w.-])\d[\d.,]*\d")
"""Two digits at least: small ones may be words, and letters in the other language."""
_LIVE = {"script", "foreignObject", "image", "iframe", "a", "use", "set", "style"}
_NUMBERS = re.compile(r"-?\d+(?:\.\d+)?")


_REPLAY = re.compile(r'\bdata-replay="([^"]*)"')


@cache
def parse(picture: Path) -> Element | None:
    """The drawing in a file, with its title; nothing where it is no XML."""
    try:
        return ElementTree.fromstring(picture.read_text("utf-8").replace("<br>", "<br/>"))
    except (ElementTree.ParseError, UnicodeDecodeError):
        return None


def drawings() -> Iterator[tuple[Path, str, Element]]:
    """Each picture that can be parsed, and where it is."""
    for picture in sorted(DOCS.rglob("*.svg")):
        if (tree := parse(picture)) is not None:
            yield picture, picture.relative_to(ROOT).as_posix(), tree


def name(element: Element) -> str:
    """A tag without its namespace."""
    return element.tag.rpartition("}")[2]


def test_a_picture_runs_and_fetches_nothing() -> None:
    report(
        f"{where}: holds {what}; a picture draws, and neither runs nor fetches anything"
        for _, where, tree in drawings()
        for element in tree.iter()
        for what in _active(element)
    )


def _active(element: Element) -> Iterator[str]:
    if name(element) in _LIVE or name(element).startswith("animate"):
        yield f"<{name(element)}>"
    for attribute, value in element.attrib.items():
        plain = attribute.rpartition("}")[2]
        if (
            plain.startswith("on")
            or (plain == "href" and not value.startswith("#"))
            or plain in ("visibility", "display", "opacity")
        ):
            yield f"{plain}={value}"
        elif "url(" in value and "url(#" not in value:
            yield value


def test_a_picture_has_words_for_those_who_do_not_see_it() -> None:
    report(
        f"{where}: has no {part}; write what the picture shows"
        for _, where, tree in drawings()
        for svg in tree.iter()
        if name(svg) == "svg"
        for part in ("title", "desc")
        if not any(name(child) == part and (child.text or "").strip() for child in svg)
    )


def test_both_languages_draw_the_same_numbers() -> None:
    def numbers(tree: Element) -> list[str]:
        texts = ("".join(text.itertext()) for text in tree.iter() if name(text) == "text")
        return sorted(number for text in texts for number in _NUMBER.findall(text))

    def findings() -> Iterator[str]:
        for picture, where, tree in drawings():
            if picture.relative_to(DOCS).parts[0] != "zh":
                continue
            twin = DOCS / "en" / picture.relative_to(DOCS / "zh")
            other = parse(twin) if twin.is_file() else None
            if other is None:
                yield f"{where}: has no twin {twin.relative_to(ROOT)}; draw it in both languages"
            elif numbers(tree) != numbers(other):
                yield f"{where}: shows other numbers than {twin.relative_to(ROOT)}; draw the same"

    report(findings())


def test_a_text_stays_inside_its_picture() -> None:
    def findings() -> Iterator[str]:
        for _, where, tree in drawings():
            for svg in tree.iter():
                if name(svg) != "svg" or "viewBox" not in svg.attrib:
                    continue
                if len(box := _NUMBERS.findall(svg.attrib["viewBox"])) != 4:
                    yield f"{where}: has the viewBox {svg.attrib['viewBox']}; write four numbers"
                    continue
                width, height = float(box[2]), float(box[3])
                for text in svg.iter():
                    if name(text) == "text" and not _fits(text, width, height):
                        said = "".join(text.itertext()).strip()
                        yield f"{where}: “{said}” begins outside the viewBox; move it in"

    report(findings())


def _fits(text: Element, width: float, height: float) -> bool:
    try:
        x, y = float(text.get("x", "0")), float(text.get("y", "0"))
    except ValueError:
        return True
    return -1 <= x <= width + 1 and 0 <= y <= height + 1


_ENGLISH_TERMS = re.compile(r"idle ?in ?transaction|pg_stat_activity|active")


def texts(tree: Element) -> list[str]:
    """What a picture says, its title and description included."""
    named = (each for each in tree.iter() if name(each) in ("text", "title", "desc"))
    return ["".join(each.itertext()).strip() for each in named]


def test_a_picture_speaks_the_language_of_its_page() -> None:
    def is_foreign(language: str, text: str) -> bool:
        if language == "en":
            return bool(HAN.search(text))
        plain = _ENGLISH_TERMS.sub("", text)
        return not HAN.search(text) and bool(re.search(r"[a-z]{3,} [a-z]{3,}", plain))

    report(
        f"{where}: says “{text}”; write it in the language of its page"
        for picture, where, tree in drawings()
        for text in texts(tree)
        if is_foreign(picture.relative_to(DOCS).parts[0], text)
    )


def test_both_languages_draw_the_same_shapes() -> None:
    def shapes(tree: Element) -> Counter[str]:
        return Counter(name(each) for each in tree.iter() if name(each) != "tspan")

    def small_numbers(tree: Element) -> list[str]:
        return sorted(text for text in texts(tree) if text.isdecimal())

    report(
        f"{where}: draws other shapes or numbers than docs/en/{file}; draw the same in both"
        for picture, where, tree in drawings()
        if picture.is_relative_to(DOCS / "zh")
        and (file := picture.relative_to(DOCS / "zh").as_posix())
        and (DOCS / "en" / file).is_file()
        and (twin := parse(DOCS / "en" / file)) is not None
        and (shapes(tree), small_numbers(tree)) != (shapes(twin), small_numbers(twin))
    )


def test_the_ids_of_a_picture_begin_with_its_name() -> None:
    report(
        f"{where}: gives the id {element.get('id')}; begin it with {picture.stem}, or this is "
        "another page's picture"
        for picture, where, tree in drawings()
        for element in tree.iter()
        if element.get("id")
        and not str(element.get("id")).replace("-", "_").startswith(picture.stem.replace("-", "_"))
    )


def test_a_page_shows_pictures_of_its_folder() -> None:
    report(
        f"{page.file}: shows {match[2]} of another chapter; draw its own, or link that page"
        for language in ("zh", "en")
        for page in pages(language)
        for match in INCLUDE.finditer(page.text)
        if match[2].endswith(".svg")
        and Path(match[2]).parent.as_posix() not in (Path(page.name).parent.as_posix(), "index")
    )


def test_a_picture_that_can_be_watched_stands_on_the_page_of_its_snippet() -> None:
    def findings() -> Iterator[str]:
        for language in ("zh", "en"):
            for page in pages(language):
                shown = {match[2] for match in INCLUDE.finditer(page.path.read_text("utf-8"))}
                for picture in (DOCS / language / name for name in shown if name.endswith(".svg")):
                    for snippet in _REPLAY.findall(picture.read_text("utf-8")):
                        if f"{snippet}.py" not in shown:
                            yield (
                                f"{picture.relative_to(ROOT)}: is to replay {snippet}.py, which "
                                f"{page.path.relative_to(ROOT)} does not include; include it there"
                            )

    report(findings())


def test_every_picture_is_shown() -> None:
    shown = {
        (page.language, match[2])
        for language in ("zh", "en")
        for page in pages(language)
        for match in INCLUDE.finditer(page.text)
        if match[2].endswith(".svg")
    }
    there = {
        (
            picture.relative_to(DOCS).parts[0],
            picture.relative_to(DOCS / picture.relative_to(DOCS).parts[0]).as_posix(),
        )
        for picture in DOCS.rglob("*.svg")
    }
    report(
        f"docs/{language}/{picture}: no page shows it; include it or delete it"
        for language, picture in sorted(there - shown)
    )
