"""Prove the snippets, then serve the guide with live reload: `make serve`."""

import os
import signal
import sys

import click
from mkdocs.commands.serve import serve
from mkdocs.exceptions import ConfigurationError

from tools.postgres import PostgresError, find_postgres
from tools.prove import prove_all


def main() -> int:
    """Run until Ctrl-C; `PORT` chooses another port than 8000."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    address = f"127.0.0.1:{os.environ.get('PORT') or 8000}"
    try:
        with find_postgres() as server:
            click.echo(f"PostgreSQL {server.version}, {server.origin}")
            for problem in prove_all(server):
                click.secho(problem, fg="red", err=True)
            os.environ["DATABASE_URL"] = server.url  # for snippets that change while we serve
            click.echo(f"Guide on http://{address}, English on http://{address}/en/")
            serve("mkdocs.yml", dev_addr=address, strict=False)
    except PostgresError as error:
        click.echo(error, err=True)
        return 2
    except ConfigurationError as error:
        click.echo(f"mkdocs.yml: {error}", err=True)
        return 2
    except OSError as error:
        click.echo(
            f"{address}: {error.strerror}; choose another port: make serve PORT=8001", err=True
        )
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
