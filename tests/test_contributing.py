"""What the contributing pages and CONTRIBUTING.md say is so: commands, errors, rooms, packages."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator

from packaging.requirements import Requirement

from tests.programs import parse
from tests.report import report
from tools.paths import DOCS, READER_SCRIPTS, ROOT
from tools.site.pages import Page

GUIDE = ROOT / "CONTRIBUTING.md"
PAGES = [Page(DOCS / language / "contributing.md") for language in ("zh", "en")]
FILES = [GUIDE, ROOT / "README.md", *(page.path for page in PAGES)]


def first_cells(heading: str) -> list[str]:
    """The first column of the table under a heading of CONTRIBUTING.md, without its head."""
    _, _, after = GUIDE.read_text("utf-8").partition(f"\n## {heading}\n")
    return re.findall(r"^\| `([^`]+)` \|", after.partition("\n## ")[0], re.MULTILINE)


def test_every_command_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    report(
        f"{path.relative_to(ROOT)}: names `make {target}`, which the Makefile does not have; "
        "name one that `make help` lists"
        for path in FILES
        for target in re.findall(r"(?:`|^|\d )make ([a-z]+)", path.read_text("utf-8"), re.MULTILINE)
        if target not in targets
    )


def sayings() -> Iterator[re.Pattern[str]]:
    """Every message that the tools and the rules can put together, as a pattern."""
    for path in [*(ROOT / "tools").rglob("*.py"), *(ROOT / "tests" / "rules").glob("*.py")]:
        for node in ast.walk(parse(path) or ast.Module([], [])):
            if isinstance(node, ast.JoinedStr):
                fixed = [
                    str(part.value) if isinstance(part, ast.Constant) else ""
                    for part in node.values
                ]
                if len("".join(fixed)) > 12:  # else it would match anything
                    yield re.compile(".+".join(map(re.escape, fixed)))


def test_every_quoted_error_is_one_that_a_tool_can_say() -> None:
    known = list(sayings())
    report(
        f"{page.file}:{fence.line + number}: nothing says this; quote what `make check` says"
        for page in PAGES
        for fence in page.fences()
        if fence.language == "text"
        for number, line in enumerate(fence.lines, 1)
        if not any(saying.fullmatch(line) for saying in known)
    )


def test_every_room_is_in_the_table() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    rooms = {path.partition("/")[0] for path in listed.stdout.splitlines() if "/" in path}
    report(
        f"CONTRIBUTING.md: its table of rooms and the repository differ in {room}; mend the table"
        for room in sorted(rooms ^ set(first_cells("The rooms")))
    )


def test_every_place_that_contributing_names_is_there() -> None:
    text = GUIDE.read_text("utf-8")
    places = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    places += re.findall(r"`((?:docs|snippets|tests|theme|tools)/[\w./-]+)`", text)
    report(
        f"CONTRIBUTING.md: names {place}, which does not exist; mend the path"
        for place in sorted(set(places))
        if not (ROOT / place).exists()
    )


def test_every_script_for_readers_is_named() -> None:
    report(
        f"{path.relative_to(ROOT)}: does not name `{script.name}`, which READER_SCRIPTS in "
        "tools/paths.py has; say there that it is no snippet"
        for path in (GUIDE, *(page.path for page in PAGES))
        for script in READER_SCRIPTS
        if f"`{script.name}`" not in path.read_text("utf-8")
    )


def test_every_direct_dependency_has_a_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = {
        Requirement(requirement).name
        for group in [project["project"]["dependencies"], *project["dependency-groups"].values()]
        for requirement in group
    }
    report(
        f"CONTRIBUTING.md: {name} is in its table or in pyproject.toml; give it a reason or drop it"
        for name in sorted(wanted ^ set(first_cells("Why each dependency")))
    )


def test_the_readme_names_what_is_there() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    oldest = project["requires-python"].removeprefix(">=")
    places = re.findall(r"`([\w./]+/[\w./]+\.\w+|docs/\w+|snippets|tests|tools|theme)`", readme)
    places += re.findall(r"\]\((?!http)([^)#]+)\)|SNIPPET=(\S+)", readme)
    flat = {place if isinstance(place, str) else "".join(place) for place in places}
    report(
        f"README.md: names {place}, which does not exist; mend the path"
        for place in sorted(flat)
        if not (ROOT / place).exists()
    )
    report(
        f"README.md: says {said}, pyproject.toml says {oldest}; say the same"
        for said in re.findall(r"Python (3\.\d+)", readme)
        if said != oldest
    )
    report(
        f"README.md: says PostgreSQL {said}, but the embedded server is 18; say the same"
        for said in re.findall(r"PostgreSQL (\d+)", readme)
        if said != "18"
    )


def test_the_changelog_links_to_what_is_there_and_begins_with_the_newest() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    report(
        f"CHANGELOG.md:{number}: links to {path}, which does not exist; mend the path"
        for number, line in enumerate(changelog.splitlines(), 1)
        for path in re.findall(r"\]\(([^)#]+)\)", line)
        if not (ROOT / path).is_file()
    )
    dates = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    assert dates == sorted(dates, reverse=True), "CHANGELOG.md: put the newest day first"
    assert dates, "CHANGELOG.md: begin each entry with `## 2026-11-27`"
