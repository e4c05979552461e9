"""`make serve` shows an edit at once, a failing snippet as failing, and ends without a trace."""

import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.tools.site.guide import start, write_guide
from tests.waiting import wait_until
from tools.postgres import Server, free_port

PAGE, SNIPPET = "pool/size", "pool/size/one.py"


def shown(url: str) -> str:
    try:
        with urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:  # not there yet, or busy building
        return ""


@pytest.fixture
def checkout(tmp_path: Path, server: Server) -> Path:
    """A small guide whose snippets all count as proved."""
    return write_guide(tmp_path / "guide", server)


@pytest.fixture
def preview(checkout: Path, server: Server) -> Iterator[tuple[Path, str]]:
    """The copy, and the address where it is served."""
    port = free_port()
    serving = start(checkout, PORT=str(port), DATABASE_URL=server.url)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until("it serves", lambda: serving.poll() is not None or "<html" in shown(url))
        assert serving.poll() is None, serving.communicate()[0]
        yield checkout, url
    finally:
        serving.send_signal(signal.SIGINT)
        said, _ = serving.communicate(timeout=30)
    assert serving.returncode in (0, 130), said
    assert "Traceback" not in said


def test_an_edit_is_shown_and_a_snippet_that_turned_false_is_shown_as_failing(
    preview: tuple[Path, str],
) -> None:
    folder, url = preview
    assert "2026-01-01" in shown(f"{url}/en/{PAGE}/")

    page = folder / "docs/en" / f"{PAGE}.md"
    page.write_text(page.read_text("utf-8") + "\nA new paragraph.\n", "utf-8")
    wait_until("it is shown", lambda: "A new paragraph." in shown(f"{url}/en/{PAGE}/"))

    snippet = folder / "snippets" / SNIPPET
    snippet.write_text(re.sub(r"#> .*", "#> false", snippet.read_text("utf-8"), count=1), "utf-8")
    wait_until("the problem is shown", lambda: "the file says" in shown(f"{url}/en/{PAGE}/"))
    assert "the file says" in shown(f"{url}/{PAGE}/")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_two_signals_leave_no_process_and_no_file(
    checkout: Path, server: Server, tmp_path: Path, number: signal.Signals
) -> None:
    port, temporary = free_port(), tmp_path / "temporary"
    temporary.mkdir()
    serving = start(checkout, PORT=str(port), DATABASE_URL=server.url, TMPDIR=str(temporary))
    wait_until("the preview serves", lambda: "<html" in shown(f"http://127.0.0.1:{port}/"))
    for _ in range(100):
        if serving.poll() is None:
            serving.send_signal(number)
            time.sleep(0.02)
    said, _ = serving.communicate(timeout=20)
    assert "Traceback" not in said
    assert serving.returncode == 128 + number
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    assert list(temporary.glob("guide-preview-*")) == []


def test_a_preview_ends_at_once_though_a_snippet_does_not(
    preview: tuple[Path, str], tmp_path: Path
) -> None:
    folder, url = preview
    snippet, begun = folder / "snippets" / SNIPPET, tmp_path / "begun"
    endless = f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(1000)\n"
    snippet.write_text(snippet.read_text("utf-8") + endless, "utf-8")
    wait_until("the snippet runs", begun.exists)
    assert "<html" in shown(f"{url}/en/{PAGE}/")  # served meanwhile; the fixture waits for 30 s


def test_a_port_that_is_taken_is_one_line(checkout: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        serving = start(checkout, PORT=str(port))
        said, _ = serving.communicate(timeout=60)
    assert serving.returncode == 2
    assert said == f"PORT={port}: Address already in use; name a free one: make serve PORT=8001\n"


def test_a_port_that_is_no_number_is_one_line(checkout: Path) -> None:
    serving = start(checkout, PORT="many")
    said, _ = serving.communicate(timeout=60)
    assert serving.returncode == 2
    assert said.startswith("PORT=many: ")
    assert said.count("\n") == 1


def test_an_unreachable_database_is_one_line(checkout: Path) -> None:
    serving = start(
        checkout,
        PORT=str(free_port()),
        DATABASE_URL=f"postgresql+asyncpg://a:b@127.0.0.1:{free_port()}/c",
    )
    said, _ = serving.communicate(timeout=60)
    assert serving.returncode == 2
    assert "connection refused" in said
    assert said.count("\n") == 1
