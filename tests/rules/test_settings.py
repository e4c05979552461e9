"""The settings by which the tests run: nothing is left out, nothing is made milder."""

import ast
import re
import tomllib
from collections.abc import Iterator
from typing import Any

from tests.programs import parse
from tests.report import report
from tools.__main__ import PORT
from tools.paths import ROOT

SETTINGS: dict[str, Any] = {
    "pytest.ini_options.testpaths": ["tests"],
    "pytest.ini_options.addopts": "-q -rs -n 6 --max-worker-restart=0 --dist loadscope "
    "--strict-config --strict-markers --tb=short --import-mode=importlib",
    "pytest.ini_options.empty_parameter_set_mark": "fail_at_collect",
    "pytest.ini_options.timeout": 300,
    "pytest.ini_options.xfail_strict": True,
    "mypy.strict": True,
    "mypy.files": ["snippets", "tests", "tools"],
    "mypy.exclude": None,
    "mypy.overrides": [
        {  # what stands beside the tests of a project
            "module": ["shop", "teahouse.*", "line", "house"],
            "ignore_missing_imports": True,
        },
        {
            "module": [
                "apscheduler.*",
                "celery.*",
                "django.*",
                "uvicorn_worker",
                "uwsgidecorators",
            ],
            "ignore_missing_imports": True,
        },
        {
            "module": "snippets.production.*",  # build on those, which have no types
            "disallow_subclassing_any": False,
            "disallow_untyped_decorators": False,
        },
    ],
    "mypy.ignore_errors": None,
    "ruff.extend-exclude": ["snippets"],
    "ruff.exclude": None,
    "ruff.lint.per-file-ignores": None,
}
"""What `[tool]` in pyproject.toml says; None if nothing. A stricter one is changed here as well."""
LINTS = {"ASYNC", "B", "C4", "E", "F", "I", "PT", "RET", "RUF", "SIM", "UP", "W"}
UNLINTED = {"RUF001", "RUF002", "RUF003"}

TOOL = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
_ON_LINUX = re.compile(r"== *'linux'|startswith\('linux|version_info >")
_HIDES = {"collect_ignore", "collect_ignore_glob", "pytest_collection_modifyitems"}
_HIDES |= {"pytest_ignore_collect", "pytest_deselected"}
MAY_SKIP = {"tests/test_snippets.py", "tests/site/conftest.py", "tests/rules/conftest.py"}
MAY_SKIP |= {"tests/poolers.py"}
"""A snippet that refuses a role; a machine without a browser; a file that cannot be read; one
without PgBouncer."""


def look_up(path: str) -> Any:
    """A setting by its dotted name; None if it is not there."""
    node: Any = TOOL
    for step in path.split("."):
        node = node.get(step) if isinstance(node, dict) else None
    return node


def test_the_settings_leave_nothing_out() -> None:
    report(
        f"pyproject.toml: [tool] {path} is {look_up(path)!r}; write {value!r}, or change SETTINGS "
        "in tests/rules/test_settings.py if that tests no less"
        for path, value in SETTINGS.items()
        if look_up(path) != value
    )


def test_no_warning_is_let_pass() -> None:
    report(
        f"pyproject.toml: filterwarnings lets {said} pass; take it out"
        for said in look_up("pytest.ini_options.filterwarnings")
        if not said.startswith("error") and said != "default::ResourceWarning"
    )


def test_the_preview_is_where_our_texts_say() -> None:
    texts = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*/contributing.md"))]
    report(
        f"{text.relative_to(ROOT)}:{number}: says port {port}; `make serve` listens on {PORT}"
        for text in texts
        for number, line in enumerate(text.read_text("utf-8").splitlines(), 1)
        if "make serve" in line
        for port in re.findall(r"127\.0\.0\.1:(\d+)", line)
        if port != PORT
    )


def test_ruff_checks_no_less() -> None:
    report(f"pyproject.toml: ruff no longer checks {rule}; select it" for rule in _lost_lints())


def _lost_lints() -> set[str]:
    lint = TOOL["ruff"]["lint"]
    return (LINTS - set(lint["select"])) | (set(lint.get("ignore", ())) - UNLINTED)


def test_no_test_is_skipped_without_a_condition() -> None:
    def findings() -> Iterator[str]:
        for file in sorted((ROOT / "tests").rglob("*.py")):
            where = file.relative_to(ROOT).as_posix()
            for node in ast.walk(parse(file) or ast.Module([], [])):
                if what := _leaves_out(node):
                    if what.startswith("skip(") and where in MAY_SKIP:
                        continue
                    yield (
                        f"{where}:{node.lineno}: leaves tests out by {what}; mend the test, or "  # type: ignore[attr-defined]
                        "give a condition, `skipif(sys.platform ...)`, with its reason"
                    )

    report(findings())


def _leaves_out(node: ast.AST) -> str:
    match node:
        case ast.Attribute(value=value, attr="skip" | "xfail" as name):
            if ast.unparse(value).endswith("mark"):
                return name
        case ast.Call(func=ast.Attribute(value=ast.Name("pytest"), attr="skip" | "importorskip")):
            return "skip()"
        case ast.Call(func=ast.Attribute(attr="skipif")):
            said = " ".join(ast.unparse(argument) for argument in node.args)
            if not re.search(r"sys\.|os\.|can_drop\(\)|which\(", said) or _ON_LINUX.search(said):
                return f"skipif({said})"
        case ast.Name(id=name) | ast.FunctionDef(name=name):
            if name in _HIDES:
                return name
    return ""
