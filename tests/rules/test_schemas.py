"""What GitHub, Docker and pre-commit read of us is valid, and gives away no more than needed."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.report import report
from tests.rules.workflows import TESTS, WORKFLOWS, content, spot
from tools.paths import ROOT, SNIPPETS
from tools.postgres import find as postgres
from tools.proof.pooler import read_settings

COMPOSE = ROOT / "docker-compose.yml"
PRE_COMMIT = ROOT / ".pre-commit-config.yaml"
FOR_READERS = ROOT / "snippets/testing/postgres/template/tests.yml"
"""A workflow that a page shows."""
READERS = {
    "vendor.compose-spec": [COMPOSE, *sorted((ROOT / "snippets").rglob("compose.yaml"))],
    "vendor.dependabot": [ROOT / ".github" / "dependabot.yml"],
    "vendor.github-workflows": [*WORKFLOWS, FOR_READERS],
    "custom.github-workflows-require-timeout": [*WORKFLOWS, FOR_READERS],
}

_IMAGE = re.compile(r"""\b(postgres|python)(?::|-version: ")(?:\$\{PG_MAJOR:-)?(\d[\d.]*)""")

every_workflow = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.name)


def violations(schema: str) -> Iterator[str]:
    """Where files break a schema that check-jsonschema brings along."""
    check = [sys.executable, "-m", "check_jsonschema", "--output-format=json"]
    ran = subprocess.run(
        [*check, "--builtin-schema", schema, *READERS[schema]],
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert ran.returncode in (0, 1), f"check-jsonschema did not look: {ran.stderr}"
    result = json.loads(ran.stdout)
    for error in result.get("errors", []):
        worst = error.get("best_deep_match", error)
        steps = [
            int(step) if step.isdecimal() else step
            for step in re.findall(r"[^$.\[\]]+", worst["path"])
        ]
        where = spot(Path(error["filename"]), *steps)
        yield f"{where}: {worst['message']}; {schema} wants it otherwise"


@pytest.mark.parametrize("schema", READERS)
def test_a_file_is_what_its_reader_expects(schema: str) -> None:
    report(violations(schema))


# What may be reached, and who may do what


def test_compose_publishes_on_loopback_only() -> None:
    report(
        f"{spot(COMPOSE, 'services', name, 'ports', index)}: publishes {port} beyond this machine; "
        "begin it with 127.0.0.1:"
        for name, service in content(COMPOSE)["services"].items()
        for index, port in enumerate(service.get("ports", []))
        if not str(port).startswith("127.0.0.1:")
    )


@every_workflow
def test_a_workflow_may_do_no_more_than_read(workflow: Path) -> None:
    if content(workflow).get("permissions") != {"contents": "read"}:
        report([f"{spot(workflow)}: begin it with `permissions: contents: read`, no more or less"])


def test_only_the_deployment_may_write() -> None:
    may = {
        f"{workflow.name} {name}": dict(job["permissions"])
        for workflow in WORKFLOWS
        for name, job in content(workflow)["jobs"].items()
        if "permissions" in job
    }
    assert may == {"pages.yml deploy": {"pages": "write", "id-token": "write"}}


@every_workflow
def test_an_action_is_pinned_to_a_commit(workflow: Path) -> None:
    report(
        f"{workflow.relative_to(ROOT)}:{number}: a tag can be moved; pin {line.strip(' -')} "
        "to a commit, its version in a comment"
        for number, line in enumerate(workflow.read_text("utf-8").splitlines(), 1)
        if "uses:" in line
        and "uses: ./" not in line
        and not re.search(r"@[0-9a-f]{40} # v\d", line)
    )


@every_workflow
def test_a_checkout_forgets_its_token(workflow: Path) -> None:
    report(
        f"{spot(workflow, 'jobs', name, 'steps', index)}: say `persist-credentials: false`, for "
        "the tests need no token"
        for name, job in content(workflow)["jobs"].items()
        for index, step in enumerate(job.get("steps", ()))
        if step.get("uses", "").startswith("actions/checkout")
        and step.get("with", {}).get("persist-credentials") is not False
    )


# Files that must say the same


def test_compose_runs_the_server_that_the_tools_look_for() -> None:
    service = content(COMPOSE)["services"]["postgres"]
    url = make_url(postgres.COMPOSE_URL)
    assert [f"{url.host}:{url.port}:5432"] == service["ports"]
    assert url.password == service["environment"]["POSTGRES_PASSWORD"]
    assert f"-c cluster_name={postgres.CLUSTER_NAME}" in service["command"]
    assert postgres.COMPOSE_URL in COMPOSE.read_text("utf-8")


def test_compose_runs_pgbouncer_with_the_settings_of_its_page() -> None:
    service = content(COMPOSE)["services"]["pgbouncer"]
    (port,) = service["ports"]
    url = make_url(postgres.COMPOSE_URL).set(port=int(port.split(":")[1]))
    assert url.render_as_string(hide_password=False) in COMPOSE.read_text("utf-8")
    assert service["environment"]["DB_PASSWORD"] == url.password
    settings = read_settings(SNIPPETS / "production" / "pgbouncer" / "pgbouncer.ini")
    assert {name: service["environment"][name.upper()] for name in settings} == {
        name: f"${{{name.upper()}:-{value}}}" for name, value in settings.items()
    }


def test_the_workflow_for_readers_asks_by_tcp_and_names_its_server() -> None:
    """The image answers on a socket before it is ready, as the page says."""
    said = FOR_READERS.read_text("utf-8")
    report(
        f"{FOR_READERS.relative_to(ROOT)}: has no `{needed}`, which testing/postgres.md says it "
        "needs; write it again"
        for needed in ("--host=127.0.0.1", "TEST_DATABASE_URL:", "POSTGRES_INITDB_ARGS:")
        if needed not in said
    )


def test_readers_files_take_versions_that_are_proved() -> None:
    matrix = content(TESTS)["jobs"]["prove"]["strategy"]["matrix"]
    proved = {"postgres": matrix["postgres"], "python": matrix["python"]}
    files = [FOR_READERS, *READERS["vendor.compose-spec"], *sorted(SNIPPETS.rglob("Containerfile"))]
    report(
        f"{file.relative_to(ROOT)}:{number}: takes {what} {version}, on which CI does not run the "
        f"snippets; take {proved[what][-1]}"
        for file in files
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        for what, version in _IMAGE.findall(line)
        if version != proved[what][-1]
    )


def test_the_locked_sqlalchemy_is_among_those_proved() -> None:
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (locked,) = (
        pinned.partition("==")[2]
        for pinned in requirements["project"]["dependencies"]
        if pinned.startswith("sqlalchemy")
    )
    matrix = content(TESTS)["jobs"]["prove"]["strategy"]["matrix"]
    if locked not in matrix["sqlalchemy"]:
        where = spot(TESTS, "jobs", "prove", "strategy", "matrix", "sqlalchemy")
        report([f"{where}: pyproject.toml pins SQLAlchemy {locked}; prove that one too"])


def test_pre_commit_makes_the_checks_that_need_no_database() -> None:
    (source,) = content(PRE_COMMIT)["repos"]
    (hook,) = source["hooks"]
    assert source["repo"] == "local"
    assert (hook["entry"], hook["language"]) == ("make check", "system")
    assert (hook["pass_filenames"], hook["always_run"]) == (False, True)
