"""What GitHub and `.ci/run` have to do: the commands of the README, everywhere, and no less."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.report import report
from tests.rules.workflows import TESTS, WORKFLOWS, content, spot
from tools.paths import ROOT

PAGES = ROOT / ".github" / "workflows" / "pages.yml"
REQUIRED = {
    ("test.yml", "test"): [".ci/pgbouncer", "make test"],
    ("test.yml", "prove"): [".ci/pgbouncer", "make prove"],
    ("pages.yml", "build"): [".ci/pgbouncer", "make build"],
}
"""The commands of each job, in their order."""
MATRIX = {
    ("test", "python"): {"3.11", "3.12", "3.13", "3.14"},
    ("prove", "postgres"): {"14", "15", "16", "17", "18"},
    ("prove", "sqlalchemy"): {"2.0.58", "2.1.9"},
}
"""What the README and the pages promise to hold for."""
MAY_FAIL = {("test.yml", "prove"): "${{ matrix.python == '3.15' }}"}
TRIGGERS = {
    "test.yml": {"pull_request", "workflow_call", "schedule"},
    "pages.yml": {"push", "workflow_dispatch"},
}
NEEDS = {"build": "test", "deploy": "build"}
"""Each job of pages.yml, and what must have ended well before it."""
KNOWN = {
    "workflow": {"name", "on", "permissions", "concurrency", "jobs"},
    "job": {"name", "runs-on", "timeout-minutes", "strategy", "services", "steps", "needs", "uses"}
    | {"permissions", "environment", "continue-on-error"},
    "strategy": {"fail-fast", "matrix"},
    "matrix": {"python", "postgres", "sqlalchemy", "include"},
    "step": {"uses", "with", "run", "env", "id"},
    "env": {"DATABASE_URL", "SQLALCHEMY", "SITE_URL", "REPO_URL"},
}
"""The keys in use. Another one, `if` or PYTEST_ADDOPTS, may leave something out."""
USED = {
    "python": "python-version: ${{ matrix.python }}",
    "postgres": "image: postgres:${{ matrix.postgres }}",
    "sqlalchemy": "SQLALCHEMY: ${{ matrix.sqlalchemy }}",
}
RECIPES = {
    "test": ["@$(PYTHON) -m pytest"],
    "check": ["@$(PYTHON) -m pytest tests/rules"],
    "prove": [
        "@$(PYTHON) -m pytest --ignore=tests/rules --ignore=tests/site --ignore=tests/tools "
        '$(if $(ONLY),-k "$(ONLY)")'
    ],
    "build": [
        "@$(PYTHON) -m tools prepare",
        "@$(PYTHON) -m mkdocs --quiet build --strict --site-dir .cache/site",
        "@rm -rf site && mv .cache/site site",
    ],
}
"""What the Makefile runs."""
CI_RUN = [
    "make test",
    'make prove PYTHON3="$python" ONLY="$ONLY"',
]
POOLER = [".ci/pgbouncer", "export NEEDS_PGBOUNCER=1"]
"""What brings PgBouncer, and lets no test skip for lack of it."""
ONLY = (
    'ONLY="not administrator and not stopped_before and not under_uvloop and not recordings '
    'and not production and not test_doctor.py and not test_measure.py"'
)
"""What `.ci/run` runs."""


def _jobs() -> Iterator[tuple[Path, str, Any]]:
    for workflow in WORKFLOWS:
        for name, job in content(workflow)["jobs"].items():
            yield workflow, name, job


def test_each_job_runs_the_commands_of_the_readme() -> None:
    found = {
        (workflow.name, name): [step["run"] for step in job.get("steps", ()) if "run" in step]
        for workflow, name, job in _jobs()
    }
    report(
        f".github/workflows/{file}: job {job} runs {found.get((file, job))}; let it run {commands}"
        for (file, job), commands in REQUIRED.items()
        if found.get((file, job)) != commands
    )


def test_nothing_in_a_workflow_can_leave_something_out() -> None:
    def findings() -> Iterator[str]:
        for workflow in WORKFLOWS:
            yield from _unknown(workflow, "workflow")
        for workflow, name, job in _jobs():
            yield from _unknown(workflow, "job", "jobs", name)
            if "strategy" in job:
                yield from _unknown(workflow, "strategy", "jobs", name, "strategy")
                yield from _unknown(workflow, "matrix", "jobs", name, "strategy", "matrix")
            for index, step in enumerate(job.get("steps", ())):
                path = ("jobs", name, "steps", index)
                yield from _unknown(workflow, "step", *path)
                if "env" in step:
                    yield from _unknown(workflow, "env", *path, "env")

    report(findings())


def _unknown(workflow: Path, kind: str, *steps: str | int) -> Iterator[str]:
    node = content(workflow)
    for step in steps:
        node = node[step]
    for key in node:
        if str(key) not in KNOWN[kind]:
            yield (
                f"{spot(workflow, *steps, key)}: a {kind} says `{key}`, by which something may go "
                "untested; take it out, or add it to KNOWN in tests/rules/test_ci.py"
            )


def test_the_workflows_run_when_they_should() -> None:
    report(
        f"{spot(workflow)}: is not run on {', '.join(sorted(lacking))}; add it under `on:`"
        for workflow in WORKFLOWS
        if (lacking := TRIGGERS.get(workflow.name, set()) - set(content(workflow)["on"]))
    )
    if content(TESTS)["on"].get("pull_request"):
        report([f"{spot(TESTS, 'on', 'pull_request')}: tests some pull requests only; test all"])


def test_the_matrix_has_every_version_that_is_promised() -> None:
    jobs = content(TESTS)["jobs"]
    report(
        f"{spot(TESTS, 'jobs', job, 'strategy', 'matrix', axis)}: lacks "
        f"{', '.join(sorted(lacking))}; the pages promise it"
        for (job, axis), promised in MATRIX.items()
        if (lacking := promised - set(jobs[job]["strategy"]["matrix"][axis]))
    )


def test_each_axis_of_the_matrix_is_used() -> None:
    lines = [line.strip() for line in TESTS.read_text("utf-8").splitlines()]
    jobs_of = {"python": ["test", "prove"], "postgres": ["prove"], "sqlalchemy": ["prove"]}
    wanted = {line: jobs_of[axis] for axis, line in USED.items()}
    report(
        f".github/workflows/test.yml: says `{line}` {lines.count(line)} times, not in each of its "
        f"jobs {', '.join(jobs)}; else all of them test the same version"
        for line, jobs in wanted.items()
        if lines.count(line) < len(jobs)
    )


def test_no_job_may_fail_unseen() -> None:
    report(
        f"{spot(workflow, 'jobs', name, 'continue-on-error')}: lets {name} fail unseen; take it out"
        for workflow, name, job in _jobs()
        if job.get("continue-on-error") != MAY_FAIL.get((workflow.name, name))
        and "continue-on-error" in job
    )


def test_what_is_published_was_tested() -> None:
    jobs = content(PAGES)["jobs"]
    report(
        f"{spot(PAGES, 'jobs', name)}: needs {jobs[name].get('needs')}; write `needs: {before}`"
        for name, before in NEEDS.items()
        if jobs[name].get("needs") != before
    )
    if jobs["test"].get("uses") != "./.github/workflows/test.yml":
        report([f"{spot(PAGES, 'jobs', 'test')}: write `uses: ./.github/workflows/test.yml`"])


def test_the_makefile_runs_all_of_it() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    found = {
        target: [line.strip() for line in recipe.splitlines()]
        for target, recipe in re.findall(r"^(\w+):.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    }
    report(
        f"Makefile: `make {target}` runs {found.get(target)}; let it run {recipe}, or change "
        "RECIPES in tests/rules/test_ci.py if it is no less"
        for target, recipe in RECIPES.items()
        if found.get(target) != recipe
    )


def test_ci_runs_the_test_command_of_the_readme_and_nothing_less() -> None:
    report(_ci_faults((ROOT / ".ci/run").read_text("utf-8").splitlines()))


def _ci_faults(lines: list[str]) -> Iterator[str]:
    code = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    runs = [line for line in code if re.match(r"\W*make\b", line)]
    if ONLY not in code:
        yield f".ci/run: leaves out other tests on other Pythons; write `{ONLY}`"
    if lacking := [line for line in POOLER if line not in code[: code.index("make test")]]:
        yield f".ci/run: runs `make test` without PgBouncer; write {lacking} before it"
    if runs != CI_RUN:
        yield f".ci/run: runs {runs}; let it run {CI_RUN}, each on a line of its own"
    if code[0] != "set -euo pipefail":
        yield ".ci/run: goes on after a failure; begin it with `set -euo pipefail`"
    for number, line in enumerate(lines, 1):
        if re.search(r"^ *exit\b|\|\| *(true|:)|^ *set \+e|^ *trap", line):
            yield f".ci/run:{number}: hides a failure or ends early; take the line out"
    others = MATRIX["test", "python"] - {"3.11"}  # which `make test` has
    loop = f"for version in {' '.join(sorted(others))}; do"
    if loop not in code:
        yield f".ci/run: proves other Pythons than the workflow; write `{loop}`"
