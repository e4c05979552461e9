"""Questions that lead from a symptom to its cause: a list in Markdown, a picture on the page.

On the page named below, each section has one numbered list of questions, with their answers below
them. An answer links to the section that explains the cause; the last one leads to the next
question. A question may link to what one looks at:

    1. Does the count fall back to 0? [Look: `engine.pool.status()`](../concepts/pool.md#status)
        - No: [a leak](idle.md#leaked)
        - Yes: go on with 2

`theme/assets/extra.css` draws boxes and branches around that very list. So picture and text are
one, to those who listen as well; without this module, without CSS, it is a list that links.
"""

import re
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

PAGE = "troubleshooting/symptoms.md"

_SECTION = re.compile(r'(<h2 id="([\w-]+)">)(.*?)(?=<h2 |\Z)', re.DOTALL)
_LIST = re.compile(r"<ol>.*?</ol>", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """What one may see, and where that leads; to the next question if there is no target."""

    words: str
    target: str


@dataclass(frozen=True)
class Question:
    """A question, where to look for its answer, if anywhere, and the answers."""

    words: str
    look: str
    answers: tuple[Answer, ...]


def read_trees(html: str) -> dict[str, list[Question]]:
    """The questions of each section that has a list of them, by the section's id.

    Args:
        html: A page as Markdown made it.

    Raises:
        ValueError: Names the section, and what in its list is no tree.
    """
    return {
        section[2]: _read(section[2], found[0])
        for section in _SECTION.finditer(html)
        for found in _LIST.finditer(section[3])
    }


def add_trees(html: str, page: str) -> str:
    """A page whose lists of questions can be drawn by the style sheet.

    Args:
        html: The page as Markdown made it.
        page: Its file, `pool/size.md`; pages but one have no such lists.

    Raises:
        ValueError: Names the section, and what in its list is no tree.
    """
    if page != PAGE:
        return html
    read_trees(html)  # says what is wrong
    return _SECTION.sub(lambda section: _LIST.sub(_mark, section[0]), html)


def _mark(found: re.Match[str]) -> str:
    """Give each question and each answer an element of its own."""
    tree = ElementTree.fromstring(found[0])
    tree.attrib |= {"class": "tree", "role": "list"}  # Safari knows no list without its marks
    for question in tree:
        _wrap(question, "div", end="ul")
        for answers in question.findall("ul"):
            answers.set("role", "list")
            for answer in answers:
                _wrap(answer, "span", end="a")
    return ElementTree.tostring(tree, "unicode", "html")


def _wrap(item: Element, tag: str, *, end: str) -> None:
    """Put what an item begins with, up to its first `end`, into an element."""
    parts = list(item)
    first = next((at for at, part in enumerate(parts) if part.tag == end), len(parts))
    inside = Element(tag)
    inside.text, item.text = (item.text or "").lstrip(), None
    for part in parts[:first]:
        item.remove(part)
        inside.append(part)
    if first:
        inside[-1].tail = (inside[-1].tail or "").rstrip()
    else:
        inside.text = inside.text.rstrip()
    inside.tail = " "
    item.insert(0, inside)


def _read(section: str, html: str) -> list[Question]:
    try:
        tree = ElementTree.fromstring(html)
    except ElementTree.ParseError as error:
        raise ValueError(f"#{section}: its list is no XML, {error}; mend it") from error
    questions = [_read_question(item) for item in tree]
    for number, question in enumerate(questions, 1):
        if fault := _find_fault(question, is_last=number == len(questions)):
            raise ValueError(f"#{section}: question {number} {fault}")
    return questions


def _read_question(item: Element) -> Question:
    answers = [
        Answer("".join(answer.itertext()).strip(), _target(answer))
        for answer in item.findall("ul/li")
    ]
    for below in item.findall("ul"):
        item.remove(below)
    return Question("".join(item.itertext()).strip(), _target(item), tuple(answers))


def _target(item: Element) -> str:
    """Where an item links to; more than one link is a fault that `_find_fault` names."""
    return " ".join(link.get("href", "") for link in item.findall("a"))


def _find_fault(question: Question, *, is_last: bool) -> str:
    going_on = [answer for answer in question.answers if not answer.target]
    links = [question.look, *(answer.target for answer in question.answers)]
    if len(question.answers) < 2:
        return "has fewer than two answers; indent them below it, and leave no line blank"
    if crowded := [targets for targets in links if " " in targets]:
        return f"has two links in one line, {crowded[0]}; leave one"
    if is_last and going_on:
        return f"is the last one, and “{going_on[0].words}” leads nowhere; link a section"
    if not is_last and going_on != [question.answers[-1]]:
        return "has to go on to the next question with its last answer, and with no other"
    return ""
