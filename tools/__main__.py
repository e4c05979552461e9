"""The command line of the tools, `python -m tools COMMAND`; the Makefile has short names."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from tools.postgres import PostgresError, find_postgres

PORT = "8000"
"""Where `make serve` serves, if no PORT is given."""

names = click.argument("snippets", nargs=-1)


class Commands(click.Group):
    """Commands that say what is wrong in one line; exit code 2 where there is no PostgreSQL."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command.

        Raises:
            click.ClickException: A program that it ran failed, or took too long.
        """
        try:
            return super().invoke(ctx)
        except PostgresError as error:
            click.echo(error, err=True)
            ctx.exit(2)
        except subprocess.CalledProcessError as error:
            raise click.ClickException(
                f"{_name(error.cmd)} ended with exit code {error.returncode}; mend what it says "
                "above, and run this again"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise click.ClickException(
                f"{_name(error.cmd)} did not end within {error.timeout:.0f} s; run this again when "
                "the machine does nothing else"
            ) from error


def _name(command: Sequence[str | Path]) -> str:
    """`python guests.py`, of a command and its arguments."""
    return " ".join(Path(word).name for word in command[:2])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Start PostgreSQL, prove the snippets, build and serve the site, measure."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _leave)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def _leave(number: int, frame: object) -> None:
    """End in good order, once: a second signal would tear down what is just being ended."""
    signal.signal(number, signal.SIG_IGN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


@main.command()
@click.option("--fresh", is_flag=True, help="Run again what is proved already.")
@names
def prepare(snippets: tuple[str, ...], fresh: bool) -> None:
    """Prove the named snippets, or all that are not proved as they stand, and record them."""
    from tools.proof.prove import forget_proofs, prove_all, select_snippets
    from tools.proof.rerecord import record_all

    if fresh:
        forget_proofs()
    wanted = select_snippets(snippets) if snippets else None
    with find_postgres() as server:
        click.echo(f"PostgreSQL {server.version}, {server.origin}", err=True)
        problems = prove_all(server, wanted)
        told = record_all(server, wanted)
    for problem in told:  # a run that cannot be watched is no fault of the snippet
        click.echo(problem, err=True)
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(bool(problems))


@main.command()
@names
def record(snippets: tuple[str, ...]) -> None:
    """Record the runs of the named snippets anew, or of all that changed."""
    from tools.proof.prove import select_snippets
    from tools.proof.recording import recording_path
    from tools.proof.rerecord import record_all

    wanted = select_snippets(snippets) if snippets else None
    for snippet in wanted or ():
        recording_path(snippet).unlink(missing_ok=True)
    with find_postgres() as server:
        problems = record_all(server, wanted)
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(bool(problems))


@main.command()
@names
def update(snippets: tuple[str, ...]) -> None:
    """Write what a run prints into the named snippets, or into those that changed."""
    from tools.proof.prove import select_snippets, update

    wanted = select_snippets(snippets)
    if not wanted:
        click.echo("Every snippet is proved as it stands; name one to run it all the same.")
        return
    with find_postgres() as server:
        click.echo(f"PostgreSQL {server.version}, {server.origin}", err=True)
        for line in update(server, wanted):
            click.echo(line)


@main.command()
@click.argument("snippet")
def run(snippet: str) -> None:
    """Run one snippet as a reader does, in a database of its own."""
    from tools.proof.run import run_snippet

    sys.exit(run_snippet(Path(snippet)))


@main.command()
def agree() -> None:
    """Record that the sections of both languages agree as they stand."""
    from tools.site.agreement import agree

    for line in agree():
        click.echo(line)


@main.command()
def older() -> None:
    """Run snippets with older versions of FastAPI and write the records."""
    from tools.proof.older import write_records

    with find_postgres() as server:
        write_records(server)


@main.command()
def poolers() -> None:
    """Try the driver's settings behind PgBouncer and write the table; takes some minutes."""
    from tools.proof.poolers import write_table

    with find_postgres() as server:
        write_table(server)


@main.command()
def serve() -> None:
    """Prove the snippets, then serve the guide with live reload on PORT, 8000 by default."""
    from tools.site.serve import serve

    sys.exit(serve(os.environ.get("PORT") or PORT))


@main.command()
def examine() -> None:
    """Write down what the doctor prints of an ill server; takes a little over a minute."""
    from tools.measure.examine import examine

    examine()


@main.command()
def emptying() -> None:
    """Measure what it costs to empty tables between tests; wants a quiet machine."""
    from tools.measure.emptying import measure_emptying

    measure_emptying()


@main.command()
def outages() -> None:
    """Stage outages, and write what helps against which; takes about two minutes."""
    from tools.measure.outages import write_table

    write_table()


@main.command()
def bench() -> None:
    """Measure what the pages on sizing show; takes four minutes on a quiet machine."""
    from tools.measure.bench import bench

    bench()


@main.command()
def charts() -> None:
    """Draw the measurements again."""
    from tools.measure.charts import redraw

    redraw()


@main.command()
def speed() -> None:
    """Measure how long a newcomer and a writer wait."""
    from tools.measure.speed import measure_speed

    measure_speed()


@main.command()
@click.argument("package", type=click.Choice(["axe-core"]))
@click.argument("version", default="latest")
def vendor(package: str, version: str) -> None:
    """Renew a vendored browser library from npm."""
    from tools.site.vendor import vendor

    click.echo(f"{package} {vendor(package, version)}")


if __name__ == "__main__":
    main(prog_name="python -m tools")
