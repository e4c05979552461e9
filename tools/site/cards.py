"""How a snippet looks on a page: file name, download, output lines, proof."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from tools.paths import PROGRAMS, SNIPPETS
from tools.proof.record import Record
from tools.proof.snippets import OUTPUT
from tools.site.pages import INCLUDE
from tools.words import CARD

_FENCE = re.compile(r'^([ \t]*)```python\n(?=\1--8<-- "([^"]+\.py)"\n\1```$)', re.MULTILINE)
_BLOCK = re.compile(
    r'<div class="language-python highlight"><span class="filename">([\w/]+\.py)</span>'
    r"(<pre>.*?</pre>)</div>",
    re.DOTALL,
)
_TAG = re.compile(r"<[^>]+>")
_CODE = re.compile(r"(?<=<code>).*?(?=</code></pre>)", re.DOTALL)
_PLAIN = re.compile(r'<span class="(?:[npow]|n[abinvx]|bp|v[cgimc]|g[opr]|err|esc)">(.*?)</span>')
_DOCSTRING = re.compile(r'\A(?:<span class="sd">.*?</span>\s*?\n|\n)+')
_OUTPUT = re.compile(r'^( *)<span class="c1">(#&gt;.*?)</span>$', re.MULTILINE)


BEYOND_THE_TWO = {
    "anyio": "anyio",
    "click": "click",
    "fastapi": "fastapi",
    "httpx": "httpx",
    "opentelemetry": "opentelemetry-sdk",
    "prometheus_client": "prometheus-client",
    "psycopg": "psycopg[binary]",
    "uvicorn": "uvicorn",
}
"""Modules that `sqlalchemy[asyncio]` and `asyncpg` do not bring, and the package of each."""

_IMPORTED = re.compile(r"^(?:from|import) (\w+)|postgresql\+(psycopg)\b", re.MULTILINE)


def list_packages(snippet: Path) -> list[str]:
    """What a reader installs for a snippet beside `sqlalchemy[asyncio]` and `asyncpg`."""
    text = snippet.read_text("utf-8")
    modules = {found for pair in _IMPORTED.findall(text) for found in pair}
    return sorted(BEYOND_THE_TWO[module] for module in modules & BEYOND_THE_TWO.keys())


@dataclass(frozen=True)
class Proof:
    """What the record of the last run says about a snippet."""

    state: str
    """`proved`, `failed`, `unproved` or `program`."""
    when: str = ""
    problem: str = ""
    versions: str = ""

    def describe(self, language: str) -> str:
        """One line for the reader, such as `✓ Ran 2026-11-22 · SQLAlchemy 2.1.9 · ...`."""
        words = CARD[language][self.state].format(when=self.when, problem=self.problem)
        return f"{words} · {self.versions}" if self.state == "proved" else words


def find_proof(record: Record, snippet: Path) -> Proof:
    """The proof of a file below `snippets/` as it is now, not as it was."""
    if snippet in PROGRAMS:
        return Proof("program")
    entry = record.entry(snippet)
    if not entry:
        return Proof("unproved")
    if not entry.ok:
        return Proof("failed", entry.when, entry.problem)
    uses_psycopg = b"psycopg" in snippet.read_bytes()
    versions = [
        f"{what} {version}"
        for what, version in record.versions.items()
        if what != "psycopg" or uses_psycopg
    ]
    return Proof("proved", entry.when, versions=" · ".join(versions))


def add_titles(markdown: str) -> str:
    """Give each fence that includes a snippet the name of its file as title."""
    return _FENCE.sub(r'\1```python title="\2"\n', markdown)


def render_snippet_cards(
    html: str, record: Record, language: str, download: str, source: str = ""
) -> str:
    """Finish the highlighted code of a page.

    Args:
        html: The page as Markdown left it.
        record: The record of the last run.
        language: `zh` or `en`.
        download: Address of the folder of snippets, seen from the page.
        source: The same in the repository; empty where the repository is unknown.
    """
    words = CARD[language]

    def render(match: re.Match[str]) -> str:
        name, code = match.groups()
        proof = find_proof(record, SNIPPETS / name)
        links = f'<a href="{download}{name}" download title="{words["download"]}">{name}</a>'
        if source:
            links += f'<a href="{escape(source + name)}">{words["source"]}</a>'
        return (
            f'<div class="snippet {proof.state}"><div class="language-python highlight">'
            f'<span class="filename" data-search-exclude>{links}</span>'
            f"{_CODE.sub(_style_program, code)}</div>"
            f'<p class="proof" data-search-exclude>{escape(proof.describe(language))}'
            f"{_describe_needs(name, language)}</p></div>"
        )

    return _BLOCK.sub(render, _PLAIN.sub(r"\1", html))


def _describe_needs(name: str, language: str) -> str:
    packages = " ".join(list_packages(SNIPPETS / name))
    return "<br>" + escape(CARD[language]["needs"].format(packages=packages)) if packages else ""


def find_lost_cards(markdown: str, html: str) -> Iterator[str]:
    """What the page includes and its HTML does not show as it should, a phrase each.

    Cards are cut out of what the highlighter writes: another setting of it, or another version,
    and there are none.
    """
    wanted = Counter(name for _, name in INCLUDE.findall(markdown) if name.endswith(".py"))
    cards = Counter(re.findall(r'<div class="snippet .*?download title="[^"]*">([^<]+)<', html))
    for name in wanted - cards:
        yield f"the card of {name}"
    lines = sum(
        number * len([line for line in _read_lines(name) if OUTPUT.match(line)])
        for name, number in wanted.items()
    )
    if (shown := html.count('<span class="out"')) != lines:
        yield f"{lines - shown} of {lines} printed lines"


def _read_lines(name: str) -> list[str]:
    return (SNIPPETS / name).read_text("utf-8").splitlines()


def _style_program(code: re.Match[str]) -> str:
    # The docstring says the claim in both languages: the search of one must not find the other.
    text = _DOCSTRING.sub(
        lambda doc: f'<span class="sd" data-search-exclude>{_TAG.sub("", doc[0])}</span>', code[0]
    )
    return _OUTPUT.sub(_style_output, text)


def _style_output(line: re.Match[str]) -> str:
    hang = len(line[1]) + len("#> ")
    return f'<span class="out" style="--hang:{hang}ch">{line[1]}{line[2]}</span>'
