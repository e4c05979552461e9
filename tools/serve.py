"""Prove the snippets, then serve the guide with live reload: `make serve`."""

import os
import signal
import socket
import sys

import click
from mkdocs.__main__ import cli
from mkdocs.exceptions import Abort, MkDocsException

from tools.postgres import PostgresError, find_postgres
from tools.prove import prove_all


def port() -> int:
    """The port to serve on, `PORT` or 8000, if it is free.

    Raises:
        OSError: It is taken; better said before the snippets are proved than after.
        ValueError: `PORT` is no number.
    """
    wanted = int(os.environ.get("PORT") or 8000)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", wanted))
    return wanted


def run() -> None:
    """Serve until Ctrl-C."""
    address = f"127.0.0.1:{port()}"
    with find_postgres() as server:
        click.echo(f"PostgreSQL {server.version}, {server.origin}")
        for problem in prove_all(server):
            click.secho(problem, fg="red", err=True)
        os.environ["DATABASE_URL"] = server.url  # for snippets that change while we serve
        click.echo(f"The guide: http://{address}/ and http://{address}/en/")
        cli(["serve", "--no-strict", "--dev-addr", address], standalone_mode=False)


def main() -> int:
    """Command line; whatever is wrong is one line and a non-zero exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        run()
        return 0
    except KeyboardInterrupt:
        return 130
    except Abort:
        return 1  # MkDocs has said why
    except (PostgresError, MkDocsException) as error:
        click.echo(error, err=True)
    except (OSError, OverflowError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        click.echo(
            f"PORT={os.environ.get('PORT') or 8000}: {reason}; name a free one: "
            "make serve PORT=8001",
            err=True,
        )
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
