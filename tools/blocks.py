"""How a snippet looks on a page: file name, download, output lines, proof."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from tools.pages import INCLUDE
from tools.rooms import PROGRAMS, RECORD, SNIPPETS

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

WORDS = {
    "zh": {
        "download": "下载这个文件",
        "source": "源码",
        "proved": "✓ {when} 运行通过",
        "unproved": "本次构建未验证",
        "program": "每次跑出的数都不一样，所以没有输出可核对；它有自己的测试",
        "failed": "✗ 最近一次运行没有通过：{problem}",
    },
    "en": {
        "download": "Download this file",
        "source": "Source",
        "proved": "✓ Ran {when}",
        "unproved": "Not proved in this build",
        "program": "Prints other numbers each time, so there is no output to prove; it has tests",
        "failed": "✗ The last run failed: {problem}",
    },
}


@dataclass(frozen=True)
class Proof:
    """What the record of the last run says about a snippet."""

    state: str
    """`proved`, `failed`, `unproved` or `program`."""
    when: str = ""
    problem: str = ""
    versions: str = ""

    def sentence(self, language: str) -> str:
        """One line for the reader, such as `✓ Ran 2026-11-22 · SQLAlchemy 2.1.9 · ...`."""
        words = WORDS[language][self.state].format(when=self.when, problem=self.problem)
        return f"{words} · {self.versions}" if self.state == "proved" else words


class Proofs:
    """The record of the last run, as `tools.prove` wrote it; empty where there is none."""

    def __init__(self, record: Path = RECORD, snippets: Path = SNIPPETS) -> None:
        self._snippets = snippets
        self._record: dict[str, Any] = json.loads(record.read_text()) if record.is_file() else {}

    def of(self, name: str) -> Proof:
        """The proof of `pool/size/default.py`; of the file as it is now, not as it was."""
        if self._snippets / name in PROGRAMS:
            return Proof("program")
        entry = self._record.get("snippets", {}).get(name)
        source = (self._snippets / name).read_bytes()
        if not entry or entry["sha256"] != hashlib.sha256(source).hexdigest():
            return Proof("unproved")
        if not entry["ok"]:
            return Proof("failed", entry["when"], entry["problem"])
        versions = " · ".join(
            f"{what} {version}"
            for what, version in self._record["versions"].items()
            if what != "psycopg" or b"psycopg" in source
        )
        return Proof("proved", entry["when"], versions=versions)


def included(name: str, docs: Path) -> Path:
    """Where an included file belongs: a picture in `docs`, programs and records in `snippets`."""
    return (docs if name.endswith(".svg") else SNIPPETS) / name


def missing_includes(text: str, docs: Path) -> Iterator[tuple[int, Path]]:
    """Line number and file of each include in a Markdown text that has no file."""
    for include in INCLUDE.finditer(text):
        if not (file := included(include[2], docs)).is_file():
            yield text.count("\n", 0, include.start()) + 1, file


def expanded(text: str, docs: Path) -> str:
    """A Markdown text with the files it includes in place."""
    return INCLUDE.sub(lambda include: included(include[2], docs).read_text("utf-8"), text)


def with_titles(markdown: str) -> str:
    """Give each fence that includes a snippet the name of its file as title."""
    return _FENCE.sub(r'\1```python title="\2"\n', markdown)


def dressed(html: str, proofs: Proofs, language: str, download: str, source: str = "") -> str:
    """Finish the highlighted code of a page.

    Args:
        html: The page as Markdown left it.
        proofs: The record of the last run.
        language: `zh` or `en`.
        download: Address of the folder of snippets, seen from the page.
        source: The same in the repository; empty where the repository is unknown.
    """
    words = WORDS[language]

    def block(match: re.Match[str]) -> str:
        name, code = match.groups()
        proof = proofs.of(name)
        links = f'<a href="{download}{name}" download title="{words["download"]}">{name}</a>'
        if source:
            links += f'<a href="{escape(source + name)}">{words["source"]}</a>'
        return (
            f'<div class="snippet {proof.state}"><div class="language-python highlight">'
            f'<span class="filename" data-search-exclude>{links}</span>'
            f"{_CODE.sub(_program, code)}</div>"
            f'<p class="proof" data-search-exclude>{escape(proof.sentence(language))}</p></div>'
        )

    return _BLOCK.sub(block, _PLAIN.sub(r"\1", html))


def _program(code: re.Match[str]) -> str:
    # The docstring says the claim in both languages: the search of one must not find the other.
    text = _DOCSTRING.sub(
        lambda doc: f'<span class="sd" data-search-exclude>{_TAG.sub("", doc[0])}</span>', code[0]
    )
    return _OUTPUT.sub(_output, text)


def _output(line: re.Match[str]) -> str:
    hang = len(line[1]) + len("#> ")
    return f'<span class="out" style="--hang:{hang}ch">{line[1]}{line[2]}</span>'
