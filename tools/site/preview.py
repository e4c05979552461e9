"""A live preview: it makes again only what changed, and what is broken takes nothing down.

What is served is put together from the last good build of each language, in a folder of its own
each time; on the pages concerned it says what is wrong, until it is mended.
"""

import re
import shutil
import tempfile
import time
from collections.abc import Callable
from html import escape
from itertools import chain
from pathlib import Path

import click
from mkdocs.livereload import LiveReloadServer

from tools.paths import DOCS, RECORD, ROOT, SNIPPETS, THEME
from tools.proof.prove import prove_changed
from tools.proof.record import Record
from tools.proof.rerecord import record_changed
from tools.proof.snippets import list_snippets
from tools.site.faults import find_faults
from tools.site.languages import CHINESE, ENGLISH, LANGUAGES, Language
from tools.site.problems import Problems
from tools.site.rendered import Rendered
from tools.words import PREVIEW

Builder = Callable[[Language, Path, Rendered], None]
"""Builds the site of a language into a folder; may take pages as they were rendered before."""


def list_modified(root: Path) -> dict[str, dict[Path, int]]:
    """When each file was written last: those of a language, and those of both."""
    folders = {
        "zh": [root / "docs" / "zh"],
        "en": [root / "docs" / "en", root / "mkdocs.en.yml"],
        "both": [
            root / "mkdocs.yml",
            root / "docs" / "shown.toml",
            root / "theme",
            SNIPPETS,
            RECORD,
        ],
    }
    return {
        part: {
            file: modified
            for path in paths
            for file in ([path] if path.suffix else path.rglob("*.*"))
            if (modified := _read_time(file))
        }
        for part, paths in folders.items()
    }


def _read_time(file: Path) -> int:
    """When a file was written last, in nanoseconds; 0 if it is gone by now."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


class Preview:
    """The site as it is served while somebody writes."""

    def __init__(self, address: str, build: Builder) -> None:
        """Make a server; `run` begins to serve.

        Args:
            address: `127.0.0.1:8000`.
            build: What builds the site of a language into a folder.
        """
        host, _, port = address.partition(":")
        self._home = tempfile.TemporaryDirectory(prefix="guide-preview-")
        self._build_site = build
        self._rendered = Rendered()
        self._seen: dict[str, dict[Path, int]] = {}
        self._problems = {language: list[str]() for language in LANGUAGES.values()}
        self._unproved: list[str] = []
        self._gone = Path(self._home.name, "gone")
        self._old, empty = (Path(self._home.name, name) for name in ("old", "empty"))
        self._server = LiveReloadServer(
            self.rebuild, host, int(port), str(empty), polling_interval=0.2
        )
        self._server.serve_thread.daemon = True  # else it could outlive us
        self._server.error_handler = self._read_error_page
        self._server.watch(str(ROOT), recursive=False)
        for folder in (DOCS, SNIPPETS, THEME):
            self._server.watch(str(folder))

    def run(self) -> None:
        """Build both languages, then serve until Ctrl-C."""
        self._update()
        try:
            self._server.serve()  # type: ignore[no-untyped-call]
        finally:
            self._server.shutdown()
            self.close()

    def close(self) -> None:
        """Let go of the port, and of what was built."""
        self._server.server_close()
        self._home.cleanup()

    def rebuild(self) -> None:
        """Prove and build what changed; the browsers go on reading meanwhile."""
        server = self._server
        # MkDocs lets requests wait until the build that it asked for is seen; ours is elsewhere.
        server._wanted_epoch = server._visible_epoch
        if self._update():
            server._wanted_epoch = round(time.monotonic() * 1000)  # now the browsers reload

    def _update(self) -> bool:
        """Bring the site up to date; whether there was anything to do."""
        before, self._unproved = self._unproved, self._prove()
        now = list_modified(ROOT)
        changed = {part for part in now if now[part] != self._seen.get(part)}
        if not changed and self._unproved == before:
            return False
        self._seen, start = now, time.monotonic()
        languages = [each for each in self._problems if changed & {each.code, "both"}]
        for language in languages:
            self._build(language)
        self._publish()
        codes = " and ".join(language.code for language in languages)
        click.echo(f"{codes}: {time.monotonic() - start:.1f} s", err=True)
        return True

    def _prove(self) -> list[str]:
        snippets = list_snippets()
        try:
            prove_changed()
            for problem in record_changed():  # of a run that cannot be watched
                click.echo(problem, err=True)
        except Exception as error:  # whatever it is, the pages are not proved, and say so
            if list_snippets() != snippets:  # one was deleted meanwhile
                return self._prove()
            return [f"{error}; the outputs on these pages were not proved"]
        return []

    def _build(self, language: Language) -> None:
        """Build a language beside the site; if that fails, the last good one stays."""
        fresh, good = (Path(self._home.name, f"{language.code}{end}") for end in ("-new", ""))
        with Problems(language) as problems:
            self._build_site(language, fresh, self._rendered)
        self._problems[language] = problems.sentences
        for page in re.findall(r"docs/[\w/-]+\.md", " ".join(problems.sentences)):
            self._rendered.forget(str(ROOT / page))  # a link is judged while a page is rendered
        if not problems.failed:
            for page in good.rglob("index.html"):
                if not (fresh / page.relative_to(good)).exists():
                    place = self._gone / language.prefix / page.relative_to(good)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(page, place)
            shutil.rmtree(good, ignore_errors=True)
            fresh.rename(good)
        shutil.rmtree(fresh, ignore_errors=True)

    def _publish(self) -> None:
        """Put the site together anew, with what is wrong on the pages concerned."""
        problems = list(dict.fromkeys([*self._unproved, *self._list_problems()]))
        for problem in problems:
            click.secho(problem, fg="red", err=True)
        fresh = Path(tempfile.mkdtemp(prefix="site-", dir=self._home.name))
        for language in self._problems:
            good = Path(self._home.name, language.code)
            if good.is_dir():
                shutil.copytree(good, fresh / language.prefix, dirs_exist_ok=True)
        show_problems(fresh, problems, self._gone)
        shutil.rmtree(self._old, ignore_errors=True)  # the one before: a request may read this one
        self._old, self._server.root = Path(self._server.root), str(fresh)

    def _read_error_page(self, code: int) -> bytes | None:
        page = Path(self._server.root, f"{code}.html")
        return page.read_bytes() if page.is_file() else None

    def _list_problems(self) -> list[str]:
        record = Record.load()
        entries = [record.entry(snippet) for snippet in list_snippets()]
        failed = [entry.problem for entry in entries if entry and not entry.ok]
        return [*chain(*self._problems.values()), *find_faults(), *failed]


def show_problems(site: Path, problems: list[str], gone: Path) -> None:
    """Say each problem at the top of the pages that it concerns.

    Args:
        site: The folder of the site; a page that is concerned and not there is made.
        problems: Sentences that begin with a file.
        gone: Pages of former builds, as they were.
    """
    for place in {place for problem in problems for place in find_pages(problem)} | {"", "en"}:
        page = site / place / "index.html"
        if problems and not page.exists():
            page.parent.mkdir(parents=True, exist_ok=True)
            before = gone / place / "index.html"
            language = "en" if f"{place}/".startswith(ENGLISH.prefix) else "zh"
            head = f'<!doctype html><html lang="{language}"><meta charset="utf-8">'
            bare = f"{head}<body></body></html>"
            page.write_text(before.read_text("utf-8") if before.exists() else bare, "utf-8")
    for page in sorted(site.rglob("*.html")) if problems else ():
        name = page.relative_to(site).as_posix()
        if told := [problem for problem in problems if concerns(problem, name)]:
            page.write_text(add_banner(page.read_text("utf-8"), told), "utf-8")


def find_pages(problem: str) -> set[str]:
    """The addresses of the pages that a problem is about, `en/pool/size`; none if it is all.

    Args:
        problem: A sentence that begins with a file, `docs/en/pool/size.md:14: ...`; a snippet is
            about the pages of its folder, and a page named later in the sentence is a twin.
    """
    prefix = {language.code: language.prefix for language in LANGUAGES.values()}
    places = {
        prefix[code] + name.removesuffix("index").rstrip("/")
        for code, name in re.findall(r"docs/(zh|en)/([\w/-]+)\.md", problem)
    }
    if snippet := re.match(r"snippets/([\w/-]+)/[\w-]+\.", problem):
        places |= {start + snippet[1].removesuffix("index") for start in prefix.values()}
    return {place.rstrip("/") for place in places}


def concerns(problem: str, page: str) -> bool:
    """Whether a problem is about a page of the site; one that names no page is about all.

    Args:
        problem: A sentence that begins with a file.
        page: `en/pool/size/index.html`.
    """
    if problem.startswith(ENGLISH.config):
        return page.startswith(ENGLISH.prefix)
    if re.match(rf"{CHINESE.config}:\d+: nav ", problem):  # English has a nav of its own
        return not page.startswith(ENGLISH.prefix)
    places = find_pages(problem)
    return not places or page.removesuffix("index.html").strip("/") in places


def add_banner(html: str, problems: list[str]) -> str:
    """A page with its problems at the top, in words of its language."""
    language = "en" if '<html lang="en"' in html else "zh"
    items = "".join(f"<li><code>{escape(problem)}</code></li>" for problem in problems)
    banner = (
        '<div role="alert" class="preview-problems" style="position:sticky;top:0;z-index:9;'
        'padding:.6rem 1rem;background:#b00020;color:#fff;font:14px/1.5 sans-serif">'
        f"{PREVIEW[language]['problem']}<ul>{items}</ul></div>"
    )
    return re.sub(r"(<body\b[^>]*>)", lambda body: body[1] + banner, html, count=1)
