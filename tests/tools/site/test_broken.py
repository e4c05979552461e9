"""Whatever is broken while `make serve` runs, the site stays up and its page says what is wrong."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.tools.site.guide import start, write_guide
from tests.waiting import wait_until
from tools.postgres import Server, free_port

ANSWER = 10.0
"""Seconds in which any page must answer, whatever is broken."""
EVERYWHERE = ""
"""In place of a page that goes on without the sentence: all pages are concerned."""

SIZE, EN_SIZE = "pool/size/", "en/pool/size/"
STATE = "pool/state/"
ZH, EN = "docs/zh/pool/size.md", "docs/en/pool/size.md"
SNIPPET = "snippets/pool/size/one.py"

_open = build_opener(ProxyHandler({})).open


@dataclass(frozen=True)
class Break:
    """One way to break the guide."""

    name: str
    file: str
    old: str
    """What is replaced in the file: a regular expression; empty for all of it."""
    new: str | bytes | None
    """What by; None to delete the file."""
    page: str
    """The page that must say so."""
    says: str
    """What it must say: a part of the sentence."""
    clean: str = STATE
    """A page that must not say so."""
    at: tuple[str, str] = ("", "")
    """A file and a text: `LINE` in what is said is the number of the first line that holds it."""


BREAKS = [
    Break("syntax error", SNIPPET, r"print\(1\)", "print(1", SIZE, f"{SNIPPET}:6: raised Syntax"),
    Break("wrong indent", SNIPPET, r"print\(1\)", "  print(1)", SIZE, f"{SNIPPET}:6: raised Inde"),
    Break("raising", SNIPPET, r"print\(1\)", "print(1 / 0)", SIZE, f"{SNIPPET}:6: raised ZeroDi"),
    Break("false output", SNIPPET, "#> 1", "#> 2", EN_SIZE, f"{SNIPPET}:7: the run printed `#>"),
    Break("unwritten output", SNIPPET, "#> 1\n", "", EN_SIZE, f"{SNIPPET}:7: the run printed"),
    Break("no module", SNIPPET, "print", "import nosuch\nprint", SIZE, f"{SNIPPET}:6: raised"),
    Break(
        "forgotten await", SNIPPET, r"print\(1\)",
        "import asyncio\n\n\nasync def main() -> None:\n    asyncio.sleep(0)\n\n\n"
        "asyncio.run(main())\nprint(1)", SIZE, f"{SNIPPET}:10: a coroutine was never awaited",
    ),
    Break("long snippet", SNIPPET, r"print\(1\)", "print(1)" + "\n1" * 60, SIZE, "; split it, 60"),
    Break("no UTF-8 in code", SNIPPET, "", b'"""\xff"""\nprint(1)\n', SIZE, f"{SNIPPET}:1: holds"),
    Break("empty snippet", SNIPPET, "", "", SIZE, f"{ZH}:12: includes {SNIPPET}, which is empty"),
    Break("no docstring", SNIPPET, '"""[^"]+"""', "", SIZE, "", clean=SIZE),
    Break("deleted snippet", SNIPPET, "", None, SIZE, f'{ZH}:12: include of "one.py"'),
    Break("typo in an include", EN, "one.py", "own.py", EN_SIZE, f'{EN}:12: include of "own.py"'),
    Break("deleted page", EN, "", None, EN_SIZE, "mkdocs.en.yml:LINE: nav lists pool/size.md",
        STATE, ("mkdocs.en.yml", "pool/size.md")),
    Break("deleted twin", ZH, "", None, EN_SIZE, f"{EN}: has no twin; write {ZH}", "en/"),
    Break("page not UTF-8", ZH, "", b"# A\n\n\xff\n", SIZE, f"{ZH}:3: holds a byte that"),
    Break("empty page", EN, "", "", EN_SIZE, f"{EN}: has no title"),
    Break("no title", EN, "# Page size\n", "", EN_SIZE, f"{EN}: has no title; begin the page"),
    Break("an id twice", EN, "#more", "#proof", EN_SIZE, f"{EN}:17: gives {{#proof}} a second"),
    Break("another id", EN, "{#more}", "{#less}", SIZE, f"{ZH}:17: has {{#more}} where {EN}:17"),
    Break("title by accident", EN, "Some words", "- #12 says", EN_SIZE, f"{EN}:7: becomes a title"),
    Break("dead anchor", EN, r"\(#proof\)", "(#proved)", EN_SIZE, f"{EN}:19: links to #proved"),
    Break("far anchor", EN, "#first", "#last", EN_SIZE, f"{EN}:7: links to ../index.md#last"),
    Break("dead link", EN, "index.md#f", "indx.md#f", EN_SIZE, f"{EN}:7: links to ../indx.md"),
    Break("missing picture", EN, "size.svg", "sizes.svg", EN_SIZE, f'{EN}:15: include of "sizes'),
    Break(
        "picture no XML", "docs/en/pool/size.svg", "</title>", "", EN_SIZE,
        f"{EN}:15: includes docs/en/pool/size.svg:1, which is no XML there",
    ),
    Break("open fence", EN, "(?<=\\.py\"\n)```\n", "", EN_SIZE, f"{EN}:11: opens a fence"),
    Break("front matter", EN, "About", '"About" and: [', EN_SIZE, f"{EN}:2: front matter that is"),
    Break("open front matter", EN, "\n---\n", "\n\n", EN_SIZE, f"{EN}:1: begins front matter that"),
    Break(
        "nav no YAML", "mkdocs.yml", "nav:\n", "nav: [\n", SIZE, "mkdocs.yml:", EVERYWHERE,
    ),
    Break(
        "nav typo", "mkdocs.en.yml", "pool/size.md", "pool/sizes.md", EN_SIZE,
        "mkdocs.en.yml:LINE: nav lists pool/sizes.md, which is no file below docs/en/",
        at=("mkdocs.en.yml", "pool/sizes.md"),
    ),
    Break("in no menu", "mkdocs.en.yml", ".*pool/size.md\n", "", EN_SIZE, f"{EN}: is in no menu"),
    Break(
        "unknown option", "mkdocs.yml", "search: {}", "search: {langs: zh}", SIZE,
        "mkdocs.yml:LINE: plugins: ", EVERYWHERE, ("mkdocs.yml", "langs"),
    ),
    Break(
        "unknown plugin", "mkdocs.yml", "search: {}", "serch: {}", SIZE,
        "mkdocs.yml:LINE: plugins: ", EVERYWHERE, ("mkdocs.yml", "serch"),
    ),
    Break("no English config", "mkdocs.en.yml", "", None, EN_SIZE, "mkdocs.en.yml: is not there"),
    Break("no config", "mkdocs.yml", "", None, SIZE, "mkdocs.yml: is not there", EVERYWHERE),
    Break(
        "template error", "theme/main.html", "{% endblock %}", "", SIZE, "theme/main.html:",
        EVERYWHERE,
    ),
    Break(
        "unknown variable", "theme/main.html", "{% block scripts %}", "{% block scripts %}\n"
        "{{ nosuch.thing }}", SIZE,
        "theme/main.html:LINE: UndefinedError", EVERYWHERE, ("theme/main.html", "nosuch"),
    ),
    Break(
        "deleted style", "theme/assets/extra.css", "", None, SIZE, "theme/assets/extra.css: is not",
        EVERYWHERE,
    ),
    Break(
        "deleted script", "theme/partials/javascripts/page.html", "", None, SIZE,
        "theme/partials/javascripts/page.html: is not there", EVERYWHERE,
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def preview(
    tmp_path_factory: pytest.TempPathFactory, server: Server
) -> Iterator[tuple[Path, str, "subprocess.Popen[str]"]]:
    """A guide and the address where it is served."""
    folder = write_guide(tmp_path_factory.mktemp("guide"), server)
    port = free_port()
    serving = start(folder, PORT=str(port), DATABASE_URL=server.url)
    url = f"http://127.0.0.1:{port}/"
    try:
        wait_for(url + SIZE, "<h1", present=True)
        yield folder, url, serving
    finally:
        serving.send_signal(signal.SIGTERM)
        said, _ = serving.communicate(timeout=30)
    assert "Traceback" not in said, said


def read(url: str, within: float = ANSWER) -> str:
    """What an address answers, which it must within so many seconds and with 200."""
    with _open(url, timeout=within) as answer:
        assert answer.status == 200
        return str(answer.read().decode())


def wait_for(url: str, text: str, *, present: bool) -> str:
    """Read a page until it has a text, or no longer has it; once served it must always answer."""
    page, served = "", False

    def looks_so() -> bool:
        nonlocal page, served
        try:
            page, served = read(url), True
        except HTTPError as error:
            if served:
                pytest.fail(f"{url} answered {error.code}")
        except OSError:
            assert not served, f"{url} did not answer within {ANSWER} s"
        return served and (text in unescape(page)) == present

    wait_until(f"{url} {'has' if present else 'no longer has'} {text!r}", looks_so)
    return page


def find_line(file: Path, text: str) -> int:
    lines = file.read_text("utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def shows_problem(page: str) -> bool:
    return "preview-problems" in page


@pytest.mark.parametrize("broken", BREAKS, ids=[each.name for each in BREAKS])
def test_a_page_says_what_is_broken_until_it_is_mended(
    preview: tuple[Path, str, "subprocess.Popen[str]"], broken: Break
) -> None:
    folder, url, serving = preview
    file = folder / broken.file
    before = file.read_bytes()
    mark = "preview-problems"
    try:
        if broken.new is None:
            file.unlink()
        elif isinstance(broken.new, bytes) or not broken.old:
            new = broken.new
            file.write_bytes(new.encode() if isinstance(new, str) else new)
        else:
            text = re.sub(broken.old, lambda _: str(broken.new), before.decode(), count=1)
            assert text != before.decode(), "the fault is in no way a change"
            file.write_text(text, "utf-8")
        if broken.says:
            line = find_line(folder / broken.at[0], broken.at[1]) if broken.at[0] else 0
            says = broken.says.replace("LINE", str(line))
            page = wait_for(url + broken.page, says, present=True)
            assert shows_problem(page)
            assert "Traceback" not in page
            if broken.clean == EVERYWHERE:
                assert shows_problem(read(url + STATE))
        else:
            wait_for(url + broken.page, time.strftime("%Y-%m-%d"), present=True)
        if broken.clean != EVERYWHERE:
            assert not shows_problem(read(url + broken.clean))
        assert "<h1" in read(url + STATE), "half a site"
    finally:
        file.write_bytes(before)
    wait_for(url + broken.page, mark, present=False)
    assert not shows_problem(read(url + STATE))
    assert serving.poll() is None


def test_a_guide_that_is_broken_from_the_start_is_served_and_says_so(
    tmp_path: Path, server: Server
) -> None:
    folder = write_guide(tmp_path, server)
    page, config = folder / EN, folder / "mkdocs.yml"
    right, well = page.read_text("utf-8"), config.read_text("utf-8")
    page.write_text(right.replace("one.py", "own.py"), "utf-8")
    config.write_text(well.replace("nav:", "nav: ["), "utf-8")
    port = free_port()
    serving = start(folder, PORT=str(port), DATABASE_URL=server.url)
    url = f"http://127.0.0.1:{port}/"
    try:
        wait_for(url, "mkdocs.yml:", present=True)
        config.write_text(well, "utf-8")
        wait_for(url + SIZE, "<h1", present=True)
        wait_for(url + EN_SIZE, f'{EN}:12: include of "own.py"', present=True)
        page.write_text(right, "utf-8")
        wait_for(url + EN_SIZE, "<h1", present=True)
        assert not shows_problem(read(url + EN_SIZE))
    finally:
        serving.send_signal(signal.SIGTERM)
        said, _ = serving.communicate(timeout=30)
    assert "Traceback" not in said, said


def test_a_build_does_not_keep_a_reader_waiting(
    preview: tuple[Path, str, "subprocess.Popen[str]"],
) -> None:
    """A snippet may run for a minute before it is stopped; meanwhile each page is there at once."""
    folder, url, _ = preview
    snippet = folder / SNIPPET
    before = snippet.read_text("utf-8")
    try:
        snippet.write_text(f"{before}import time\n\ntime.sleep(4)\n", "utf-8")
        for _ in range(40):
            read(url + SIZE, within=3.0)
            time.sleep(0.1)
    finally:
        snippet.write_text(before, "utf-8")
