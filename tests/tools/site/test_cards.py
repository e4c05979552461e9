"""The card of a snippet names each package that its reader installs."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

from tests.programs import list_programs
from tests.report import report
from tools.paths import ROOT
from tools.proof.snippets import find_lead, list_files, location
from tools.site.cards import PACKAGES, list_packages
from tools.site.problems import find_line

CARDS = "tools/site/cards.py"

COMES_WITH_THE_TWO = {"asyncpg", "greenlet", "sqlalchemy"}


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The modules a program imports, with the numbers of the lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name.partition(".")[0]) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module.partition(".")[0]


def own(snippet: Path) -> set[str]:
    """The modules and folders of a snippet's project."""
    files = list_files(find_lead(snippet))
    return {name for file in files for name in (file.stem, file.parent.name)}


def test_each_module_that_is_imported_is_named() -> None:
    known = sys.stdlib_module_names | COMES_WITH_THE_TWO
    report(
        f"{location(snippet, line)}: imports {module}, which the card of the snippet does not "
        "name; add its package to PACKAGES in tools/site/cards.py"
        for snippet, tree in list_programs()
        for line, module in imports(tree)
        if module not in known | own(snippet) and PACKAGES.get(module) not in list_packages(snippet)
    )


def test_each_package_that_is_named_brings_its_module() -> None:
    brought = packages_distributions()
    report(
        f"{CARDS}:{find_line(CARDS, quoted)}: {package} does not bring {module}; name the package "
        "that does"
        for module, package in PACKAGES.items()
        for quoted in [f'"{module}": "{package}"']
        if package.partition("[")[0] not in map(normalize, brought.get(module, ()))
    )


def test_a_package_is_named_with_the_extras_that_we_install() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = [asked["project"]["dependencies"], *asked["dependency-groups"].values()]
    wanted = [Requirement(requirement) for group in groups for requirement in group]
    ours = {normalize(each.name): each.extras for each in wanted}
    report(
        f"{CARDS}:{find_line(CARDS, package)}: names {package}, pyproject.toml asks for the extras "
        f"{', '.join(sorted(ours[name])) or 'none'}; name those, for we run with them"
        for package in PACKAGES.values()
        for name in [Requirement(package).name]
        if ours.get(name, set()) != Requirement(package).extras
    )


def normalize(name: str) -> str:
    """A package's name as it is written in a requirement."""
    return name.lower().replace("_", "-").replace(".", "-")
