"""Prove the snippets, then serve the guide with live reload: `make serve`."""

import os
import socket
from pathlib import Path

import click

from tools.postgres import find_postgres
from tools.proof.prove import prove_all
from tools.proof.rerecord import record_all
from tools.site.hook import build_language
from tools.site.languages import Language
from tools.site.preview import Preview
from tools.site.rendered import Rendered


def serve(port: str) -> int:
    """Serve until Ctrl-C.

    Args:
        port: The port to serve on, as it was given.

    Returns:
        The exit code. What is wrong is said in one line.

    Raises:
        PostgresError: There is none to prove the snippets with.
    """
    if problem := check_port(port):
        click.echo(f"PORT={port}: {problem}; name a free one: make serve PORT=8001", err=True)
        return 2
    address = f"127.0.0.1:{port}"

    def build(language: Language, folder: Path, rendered: Rendered) -> None:
        build_language(language, folder, f"http://{address}/", rendered=rendered)

    try:
        with find_postgres() as server:
            click.echo(f"PostgreSQL {server.version}, {server.origin}")
            prove_all(server)
            for problem in record_all(server):  # of a run that cannot be watched
                click.echo(problem, err=True)
            os.environ["DATABASE_URL"] = server.url  # for snippets that change while we serve
            click.echo(f"The guide: http://{address}/ and http://{address}/en/")
            Preview(address, build).run()
    except KeyboardInterrupt:
        return 130
    return 0


def check_port(port: str) -> str:
    """Why a port cannot be served on; better said before the snippets are proved than after."""
    if not port.isdecimal() or not 0 < int(port) < 65536:
        return "is no port number"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(port)))
        except OSError as error:
            return str(error.strerror)
    return ""
