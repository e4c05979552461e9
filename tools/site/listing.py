"""The code of a snippet as HTML: printed lines, and folds that a reader opens in place."""

import re
from html import escape

from tools.site.folding import Fold
from tools.words import FOLD

_TAG = re.compile(r"<[^>]+>")
_OUTPUT = re.compile(r'^( *)<span class="c1">(#&gt;.*?)</span>$', re.MULTILINE)
_PLAIN = re.compile(r'<span class="(?:kc|ne|nn|ow|sa)">(.*?)</span>')
_SHORTER = (
    (re.compile(r'(?<=<span class=")(?:kn|kd)(?=">)'), "k"),
    (re.compile(r'(?<=<span class=")s[12i](?=">)'), "s"),
    (re.compile(r'(?<=<span class=")m[ifh](?=">)'), "m"),
)
"""Classes of one color are one."""
_NEIGHBORS = re.compile(r'(<span class="(\w+)">[^<]*)</span>(\s*)<span class="\2">')
_BLANK = re.compile(r"(?<=\n)\n+")
NAMES = 4
"""How many names the line of a fold has: those of functions first, which nobody can guess."""


def render_code(html: str, folds: list[Fold], language: str) -> str:
    """Style printed lines, put folds around lines, and join what looks the same.

    The text stays that of the file, line by line: a fold's button has none of its own.

    Args:
        html: What the highlighter made of a whole program.
        folds: What to fold of it.
        language: `zh` or `en`.
    """
    html = _PLAIN.sub(r"\1", _OUTPUT.sub(_style_output, html))
    for several, one in _SHORTER:
        html = several.sub(one, html)
    lines, done, parts = html.splitlines(keepends=True), 0, list[str]()
    for fold in folds:
        parts.append(_narrow(_join("".join(lines[done : fold.start - 1]))))
        inside = _join("".join(lines[fold.start - 1 : fold.end]))
        parts.append(f'{_render_button(fold, lines, language)}<span class="fold">{inside}</span>')
        done = fold.end
    parts.append(_narrow(_join("".join(lines[done:]))))
    # The docstring says the claim in both languages: the search of one must not find the other.
    return re.sub(
        r'\A((?:<button[^>]*></button><span class="fold">)?<span class="sd")>',
        r"\1 data-search-exclude>",
        "".join(parts),
    )


def describe_fold(fold: Fold, language: str) -> str:
    """What a fold holds and how much, such as `imports, engine, guest() · 21 lines`."""
    words = FOLD[language]
    names = [words.get(name, name) for name in fold.names if name != "docstring"]
    for common in ("variables", "watcher", "engine"):
        if len(names) > NAMES:
            names = [name for name in names if name != words.get(common, common)]
    if len(names) > NAMES:
        names[NAMES - 1 :] = ["…"]
    what = words["and"].join(names) or words["docstring"]
    return words["lines"].format(what=what, count=fold.end - fold.start + 1)


def _render_button(fold: Fold, lines: list[str], language: str) -> str:
    inside = [_TAG.sub("", line) for line in lines[fold.start - 1 : fold.end]]
    first = next(line for line in inside if line.strip())
    indent = " " * (len(first) - len(first.lstrip()))
    label = escape(indent + describe_fold(fold, language))
    return f'<button class="unfold" hidden aria-expanded="false" aria-label="{label}"></button>'


def _join(html: str) -> str:
    """Make one span of neighbors of the same class."""
    while (joined := _NEIGHBORS.sub(r"\1\3", html)) != html:
        html = joined
    return html


def _narrow(html: str) -> str:
    """Let blank lines between what is shown take less room."""
    return _BLANK.sub(r'<span class="gap">\g<0></span>', html)


def _style_output(line: re.Match[str]) -> str:
    hang = len(line[1]) + len("#> ")
    return f'<span class="out" style="--hang:{hang}ch">{line[1]}{line[2]}</span>'
