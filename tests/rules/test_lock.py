"""The lock is that of pyproject.toml: what is asked for is what gets installed."""

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.report import report
from tools.paths import ROOT

LOCK = (ROOT / "requirements.lock").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
REQUIREMENTS = [
    Requirement(requirement)
    for group in [PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"].values()]
    for requirement in group
]


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
