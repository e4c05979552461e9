"""What MkDocs and Jinja say of a broken build, as sentences that name file, line and cure."""

import logging
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import jinja2
from mkdocs.exceptions import Abort

from tools.paths import ROOT
from tools.site.languages import Language

_ABOUT_PAGE = re.compile(r"^Doc file '([^']+)' contains (.*)$", re.DOTALL)
_LINK = re.compile(r"(?:an?|an \w+|an unrecognized relative) link '([^']+)',? ?(.*)", re.DOTALL)
_PAGE_FAILED = re.compile(r"^Error (?:reading|building) page '([^']+)':")
_NAV_LOST = re.compile(r"^A reference to '([^']+)' is included in the 'nav'")
_NAV_LACKS = re.compile(r"^The following pages exist in the docs directory, but are not included")
_SETTING = re.compile(r"^Config value '([^']+)': (.*)", re.DOTALL)
_YAML = re.compile(r'in "([^"]+)", line (\d+)')
_NO_FILE = re.compile(r"file '[^']*?([\w./-]+)' does not exist")
_ENDED = re.compile(r"^Aborted with ")
_DID_YOU_MEAN = re.compile(r"Did you mean '([^']+)'\?")


class Problems(logging.Handler):
    """What MkDocs logs as a warning or error while the block runs, and what ended the build."""

    def __init__(self, language: Language) -> None:
        """Begin with none.

        Args:
            language: The one that is built: MkDocs names pages below its folder.
        """
        super().__init__(logging.WARNING)
        self.sentences: list[str] = []
        self.failed = False
        """Whether the build ended before its time."""
        self._language = language
        self._page = ""

    def __enter__(self) -> Self:
        logging.getLogger("mkdocs").addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        logging.getLogger("mkdocs").removeHandler(self)
        if not isinstance(error, Exception):  # such as Ctrl-C
            return False
        self.failed = True
        for sentence in self._describe(error):
            self._keep(sentence)
        if not self.sentences:
            self._keep(f"{self._here()}: {type(error).__name__}: {error}; mend it")
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one warning, in our words."""
        if record.name == "mkdocs.livereload":  # tells of requests
            return
        said = record.getMessage()
        if failed := _PAGE_FAILED.match(said):
            self._page = failed[1]  # what is wrong with it is raised next
            return
        for sentence in self._translate(said):
            self._keep(sentence)

    def _keep(self, sentence: str) -> None:
        if sentence not in self.sentences:
            self.sentences.append(sentence)

    def _here(self) -> str:
        """The page at work; the configuration if there is none."""
        if self._page:
            return f"docs/{self._language.code}/{self._page}"
        return self._language.config

    def _translate(self, said: str) -> Iterator[str]:
        config = self._language.config
        if about := _ABOUT_PAGE.match(said):
            yield self._describe_link(about[1], about[2])
        elif lost := _NAV_LOST.match(said):
            folder = f"docs/{self._language.code}"
            yield (
                f"{config}:{find_line(config, lost[1])}: nav lists {lost[1]}, which is no file "
                f"below {folder}/; mend the name"
            )
        elif _NAV_LACKS.match(said):
            for name in re.findall(r"^  - (.+)$", said, re.MULTILINE):
                page = f"docs/{self._language.code}/{name}"
                yield f"{page}: is in no menu; add it to nav in {config}"
        elif setting := _SETTING.match(said):
            yield _describe_setting(config, setting[1], setting[2])
        elif not said.startswith("Encoding error"):
            yield said if names_file(said) else f"{self._here()}: {said}"

    def _describe_link(self, page: str, what: str) -> str:
        link = _LINK.match(what)
        if not link:
            return f"docs/{self._language.code}/{page}: contains {what}"
        target, why = link.groups()
        file = f"docs/{self._language.code}/{page}"
        mean = _DID_YOU_MEAN.search(why)
        cure = f"did you mean {mean[1]}?" if mean else "mend the link"
        if "anchor" in why:
            what = "an id that is not there"
        else:
            what = "a file that is not there" if "not found" in why else "no file of the guide"
        return f"{file}:{find_line(file, target)}: links to {target}, {what}; {cure}"

    def _describe(self, error: Exception) -> Iterator[str]:
        said = str(error).strip()
        place = _find_template_line(error)
        if isinstance(error, jinja2.TemplateNotFound):
            yield f"theme/{error.name}: is not there, and a template includes it; bring it back"
        elif place:
            yield f"{place}: {type(error).__name__}: {said}; mend the template"
        elif broken := _YAML.findall(said):
            file, line = broken[-1]
            what = said.partition("configuration file: ")[2].splitlines()[0]
            yield f"{Path(file).name}:{line}: is no YAML ({what}); mend it near that line"
        elif missing := _NO_FILE.search(said):
            file = _name(Path(missing[1]))
            yield f"{file}: is not there, and the site needs it; bring it back"
        elif isinstance(error, FileNotFoundError) and error.filename:
            file = _name(Path(error.filename))
            yield f"{file}: is not there, and the site needs it; bring it back"
        elif isinstance(error, Abort) and _ENDED.match(said):
            return  # why was logged
        elif isinstance(error, Abort) or names_file(said):
            yield from said.splitlines()
        else:
            raised = traceback.format_exception_only(error)[-1].strip()
            yield f"{self._here()}: {raised}; mend what the build stopped at"


def names_file(sentence: str) -> bool:
    """Whether a sentence begins with a file of the guide."""
    return bool(re.match(r"(docs|snippets|theme|tools)/\S+:|mkdocs(\.en)?\.yml\b", sentence))


def find_line(file: str, text: str) -> int:
    """The first line of a file that holds a text; 1 if none does."""
    try:
        lines = Path(ROOT, file).read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return 1
    return next((number for number, line in enumerate(lines, 1) if text in line), 1)


def _describe_setting(config: str, setting: str, said: str) -> str:
    """What MkDocs dislikes about a setting, at the line of the thing that it quotes, if any."""
    quoted = re.findall(r"[\"']([\w./-]+)[\"']", said)
    for file in dict.fromkeys([config, "mkdocs.yml"]):
        for word in (*quoted, f"{setting}:"):
            if (line := find_line(file, word)) > 1:
                return f"{file}:{line}: {setting}: {' '.join(said.split())}; mend the setting"
    return f"{config}: {setting}: {' '.join(said.split())}; mend the setting"


def _find_template_line(error: Exception) -> str:
    """`theme/main.html:12`, where Jinja says so; else empty."""
    if isinstance(error, jinja2.TemplateSyntaxError) and error.filename:
        return f"{_name(Path(error.filename))}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if Path(frame.filename).suffix == ".html"]
    return f"{_name(Path(inside[-1].filename))}:{inside[-1].lineno}" if inside else ""


def _name(path: Path) -> str:
    if path.is_absolute() and path.is_relative_to(ROOT):
        return path.relative_to(ROOT).as_posix()
    if "assets" in path.parts:  # of the site, which has it from the theme
        return Path("theme", *path.parts[path.parts.index("assets") :]).as_posix()
    return path.as_posix()
