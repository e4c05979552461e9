"""The lock is that of pyproject.toml: what is asked for is what gets installed."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.programs import parse
from tests.prose import every_language
from tests.report import report
from tools.paths import ROOT
from tools.site.pages import pages

LOCK = (ROOT / "requirements.lock").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
REQUIREMENTS = [
    Requirement(requirement)
    for group in [PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"].values()]
    for requirement in group
]
ALSO_RUN = {"sqlalchemy 2.0.58", "sqlalchemy 2.0", "quart 0.22.0", "django 5.2.19"}
"""Versions beside those of the lock that our own runs, CI or an author had."""

_RAN = re.compile(
    r"^- (?:Run (?:with|on) .*?|用 ?.*?跑过|(?:\w+ [\d.]+[,、] ?)+.*?)(?=[.;] |[;；。]|$)"
)
_VERSION = re.compile(r"([A-Za-z][\w-]*) (\d+(?:\.\d+)*)(?![\w.]*\d)")
_INSTALL = re.compile(r"pip install ([^`\n]+)")


def locked() -> dict[str, str]:
    """The version of each package in the lock."""
    pins = re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", LOCK, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


def test_every_requirement_is_locked_at_a_version_it_allows() -> None:
    versions = locked()
    report(
        f"requirements.lock: has {wanted.name} {found}"
        f", pyproject.toml wants {wanted}; run `make lock` and commit both"
        for wanted in REQUIREMENTS
        for found in [versions.get(canonicalize_name(wanted.name), "nothing")]
        if found == "nothing" or Version(found) not in wanted.specifier
    )


def test_a_package_is_asked_for_once() -> None:
    groups = {
        "project.dependencies": PROJECT["project"]["dependencies"],
        **PROJECT["dependency-groups"],
    }
    names = {
        group: [canonicalize_name(Requirement(each).name) for each in asked]
        for group, asked in groups.items()
    }
    report(
        f"pyproject.toml: {group} asks for {name} twice; keep one line of it"
        for group, asked in names.items()
        for name in sorted({name for name in asked if asked.count(name) > 1})
    )


def test_what_tools_and_tests_import_is_asked_for() -> None:
    asked = {canonicalize_name(requirement.name) for requirement in REQUIREMENTS}
    packages = packages_distributions()
    report(
        f"{file.relative_to(ROOT)}:{line}: imports {module} of {', '.join(brings)}, which comes by "
        "way of another package; add it to a group in pyproject.toml, its reason in CONTRIBUTING.md"
        for room in ("tools", "tests")
        for file in sorted((ROOT / room).rglob("*.py"))
        for line, module in imported(file)
        if (brings := {canonicalize_name(name) for name in packages.get(module, ())})
        and not brings & asked
    )


def imported(file: Path) -> Iterator[tuple[int, str]]:
    """The modules at the top of a package that a file imports, `sqlalchemy`, with their lines."""
    for node in ast.walk(parse(file) or ast.Module([], [])):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.split(".")[0]


def test_every_locked_package_has_its_hashes_and_no_address() -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", LOCK)
    report(
        f"requirements.lock: {block.split()[0]} has no hash of 64 digits; run `make lock`"
        for block in blocks
        if "==" in block.split("\n")[0]
        and not re.search(r"--hash=sha256:[0-9a-f]{64}(?=\s|\\|$)", block)
    )
    report(
        f"requirements.lock:{number}: names an address; `make lock` writes none"
        for number, line in enumerate(LOCK.splitlines(), 1)
        if "://" in line
    )


@every_language
def test_the_versions_that_a_page_was_run_with_are_those_of_the_lock(language: str) -> None:
    versions = locked()
    report(
        f"{page.file}:{number}: was run with {name} {said}, the lock has {found}; write that, or "
        "add what else was run to ALSO_RUN in tests/rules/test_lock.py"
        for page in pages(language)
        for number, line in page.prose()
        for ran in _RAN.findall(line)
        for name, said in _VERSION.findall(ran.partition("before")[0])
        for found in [versions.get(canonicalize_name(name), said)]
        if not f"{found}.".startswith(f"{said}.") and f"{name.lower()} {said}" not in ALSO_RUN
    )


def asked_for(command: str) -> Iterator[Requirement]:
    """The packages behind `pip install`, without options and folders."""
    for word in shlex.split(command, comments=True):
        if re.match(r"[A-Za-z]", word):
            yield Requirement(word)


@every_language
def test_what_a_page_installs_is_a_package_that_we_run(language: str) -> None:
    versions = locked()
    report(
        f"{page.file}:{number}: installs {wanted}, the lock has {found}; name the package, and "
        "the version, with which our runs were"
        for page in pages(language)
        for number, line in enumerate(page.lines, 1)
        for command in _INSTALL.findall(line)
        for wanted in asked_for(command)
        for found in [versions.get(canonicalize_name(wanted.name), "nothing")]
        if found == "nothing" or Version(found) not in wanted.specifier
    )
