"""How a snippet looks on a page: claim, file name, download, code, proof."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from tools.paths import READER_SCRIPTS, SNIPPETS
from tools.proof.record import Record
from tools.proof.recording import find_recording, recording_name
from tools.proof.snippets import (
    OUTPUT,
    find_lead,
    find_pooler,
    is_project,
    list_files,
    read_claims,
)
from tools.site.folding import Fold, find_folds
from tools.site.listing import render_code
from tools.site.pages import INCLUDE
from tools.site.shown import load_shown
from tools.words import CARD

_FENCE = re.compile(r'^([ \t]*)```python\n(?=\1--8<-- "([^"]+\.py)"\n\1```$)', re.MULTILINE)
_BLOCK = re.compile(
    r'<div class="language-python highlight"><span class="filename">([\w/]+\.py)</span>'
    r"(<pre>.*?</pre>)</div>",
    re.DOTALL,
)
_CODE = re.compile(r"(?<=<code>).*?(?=</code></pre>)", re.DOTALL)
_PLAIN = re.compile(r'<span class="(?:[npow]|n[abinvx]|bp|v[cgimc]|g[opr]|err|esc)">(.*?)</span>')

PACKAGES = {
    "advanced_alchemy": "advanced-alchemy",
    "alembic": "alembic",
    "anyio": "anyio",
    "apscheduler": "apscheduler",
    "celery": "celery",
    "click": "click",
    "django": "django",
    "fastapi": "fastapi",
    "flask": "flask[async]",
    "gunicorn": "gunicorn",
    "httpx": "httpx",
    "hypothesis": "hypothesis",
    "litestar": "litestar",
    "mangum": "mangum",
    "opentelemetry": "opentelemetry-sdk",
    "prometheus_client": "prometheus-client",
    "psycopg": "psycopg[binary]",
    "pydantic": "pydantic",
    "pytest": "pytest",
    "pytest_asyncio": "pytest-asyncio",
    "pytest_postgresql": "pytest-postgresql",
    "quart": "quart",
    "sqlmodel": "sqlmodel",
    "starlette": "starlette",
    "strawberry": "strawberry-graphql",
    "taskiq": "taskiq",
    "trustme": "trustme",
    "uvicorn": "uvicorn",
    "uvicorn_worker": "uvicorn-worker",
    "uwsgidecorators": "pyuwsgi",
}
"""Modules that `sqlalchemy[asyncio]` and `asyncpg` do not bring, and the package of each."""

_BEHIND = {
    "gunicorn {": "gunicorn",
    "testclient": "httpx",
    "mark.asyncio": "pytest_asyncio",
    ", pytest_asyncio": "pytest_asyncio",
    "uvicorn_worker.": "uvicorn_worker",
}
"""Words that stand for a module which is imported out of a reader's sight."""

_IMPORTED = re.compile(r"^ *(?:from|import) (\w+)|postgresql\+(psycopg)\b", re.MULTILINE)


def list_packages(snippet: Path) -> list[str]:
    """What a reader installs for a snippet beside `sqlalchemy[asyncio]` and `asyncpg`."""
    lead = find_lead(snippet)
    text = "\n".join(file.read_text("utf-8") for file in list_files(lead))
    modules = {found for pair in _IMPORTED.findall(text) for found in pair}
    modules |= {module for word, module in _BEHIND.items() if word in text}
    if is_project(lead):
        modules |= {"pytest"} if "anyio_backend" in text else {"pytest", "pytest_asyncio"}
    return sorted(PACKAGES[module] for module in modules & PACKAGES.keys())


@dataclass(frozen=True)
class Proof:
    """What the record of the last run says about a snippet."""

    state: str
    """`proved`, `failed`, `unproved` or `script`."""
    when: str = ""
    problem: str = ""
    versions: str = ""

    def describe(self, language: str) -> str:
        """One line for the reader, such as `✓ Ran 2026-11-22 · SQLAlchemy 2.1.9 · ...`."""
        words = CARD[language][self.state].format(when=self.when, problem=self.problem)
        return f"{words} · {self.versions}" if self.state == "proved" else words


def find_proof(record: Record, snippet: Path) -> Proof:
    """The proof of a file below `snippets/` as it is now, not as it was."""
    if snippet in READER_SCRIPTS:
        return Proof("script")
    entry = record.entry(snippet)
    if not entry:
        return Proof("unproved")
    if not entry.ok:
        return Proof("failed", entry.when, entry.problem)
    used = {"SQLAlchemy", "asyncpg", "PostgreSQL", "Python", *list_packages(snippet)}
    if b"psycopg" in snippet.read_bytes():
        used.add("psycopg")
    if find_pooler(snippet):
        used.add("PgBouncer")
    versions = [f"{what} {version}" for what, version in record.versions.items() if what in used]
    return Proof("proved", entry.when, versions=" · ".join(versions))


def add_titles(markdown: str) -> str:
    """Give each fence that includes a snippet the name of its file as title."""
    return _FENCE.sub(r'\1```python title="\2"\n', markdown)


def render_snippet_cards(
    html: str, record: Record, language: str, root: str, source: str = ""
) -> str:
    """Finish the highlighted code of a page.

    Args:
        html: The page as Markdown left it.
        record: The record of the last run.
        language: `zh` or `en`.
        root: Address of the whole site, seen from the page.
        source: Address of the folder of snippets in the repository; empty where it is unknown.
    """
    words, shown = CARD[language], load_shown()

    def render(match: re.Match[str]) -> str:
        name, code = match.groups()
        proof = find_proof(record, SNIPPETS / name)
        file = f"{root}snippets/{name}"
        links = f'<a href="{file}" download title="{words["download"]}">{name}</a>'
        if source:
            links += f'<a href="{escape(source + name)}">{words["source"]}</a>'
        folds = _list_folds(name, shown)
        links += _render_watch(SNIPPETS / name, language, root)
        return (
            f'<div class="snippet {proof.state}">{_render_claim(name, language)}'
            '<div class="language-python highlight">'
            f'<span class="filename" data-search-exclude>{links}</span>'
            f"{_CODE.sub(lambda text: render_code(text[0], folds, language), code)}</div>"
            f'<p class="proof" data-search-exclude>{escape(proof.describe(language))}'
            f"{_describe_needs(name, language)}</p></div>"
        )

    return _BLOCK.sub(render, _PLAIN.sub(r"\1", html))


def _list_folds(name: str, shown: dict[str, list[str]]) -> list[Fold]:
    text = (SNIPPETS / name).read_text("utf-8")
    return _find_folds_once(text, tuple(shown.get(name, ())))


_find_folds_once = cache(find_folds)  # both languages show them, and the check counts them


def _render_claim(name: str, language: str) -> str:
    """The claim of a snippet in the page's language, as the caption of its code."""
    english, chinese = read_claims(SNIPPETS / name) or ("", "")
    claim = escape((chinese if language == "zh" else english).replace("\n", " "))
    marked = re.sub("`([^`]+)`", r"<code>\1</code>", claim)
    return f'<div class="claim" data-search-exclude>{marked}</div>' if claim else ""


def _render_watch(snippet: Path, language: str, root: str) -> str:
    """What opens the replay of a run, if it was recorded; theme/assets/player does the rest."""
    if not find_recording(snippet):
        return ""
    place = f"{root}recordings/{recording_name(snippet)}"
    words = CARD[language]["watch"]
    return f'<button type="button" class="watch" data-recording="{place}">{words}</button>'


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
    table = load_shown()
    folds = sum(number * len(_list_folds(name, table)) for name, number in wanted.items())
    if (shown := html.count('<span class="fold"')) != folds:
        yield f"{folds - shown} of {folds} folds"


def _read_lines(name: str) -> list[str]:
    return (SNIPPETS / name).read_text("utf-8").splitlines()
