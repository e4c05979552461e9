"""A reader's database in which every name is taken that a snippet might use.

Tables with a row each (and so types of their names), schemas and advisory locks. A snippet that
takes one of them for its own shows in `contents`, before and after.
"""

import ast
import asyncio
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url, text

from tools.postgres import connect, execute, fresh_database, leftovers

USUAL = frozenset({"orders", "guests", "users", "items", "tray", "teapot", "guide_orders"})
"""Names that a reader's tables are likely to have, whether or not a snippet has them in it."""

OWN = re.compile(r"\bguide_\w*?_?[0-9a-f]{8,}\b")
"""A name that is unmistakably a snippet's own, new at every run: `guide_orders_5f0c9a7e`."""

_NAME = re.compile(r"[a-z_][a-z0-9_]{2,62}")
_NUMBER = re.compile(r"\b\d{1,6}\b")
_SQL = re.compile(r"\b(SELECT|CREATE|INSERT|UPDATE|DELETE|DROP|ALTER|LOCK|SET|BEGIN|LISTEN)\b")


@dataclass(frozen=True)
class ReaderDatabase:
    """A database in which the names are taken."""

    url: str = field(repr=False)
    """What the reader has in `DATABASE_URL`."""
    admin_url: str = field(repr=False)
    """The same database, as the role of the server's URL."""
    before: frozenset[str] = field(repr=False)
    """Its `contents` before anything ran in it."""

    def execute(self, script: str) -> None:
        """Run statements in it as the role of the server's URL."""
        asyncio.run(_script(make_url(self.admin_url), script))

    def changes(self) -> list[str]:
        """What a program that has ended did to it, a short phrase each."""
        after = contents(self.admin_url)
        gone = [f"{what} is gone or changed" for what in sorted(self.before - after)]
        return gone + [f"leaves behind {what}" for what in sorted(after - self.before)]


@dataclass(frozen=True)
class Occupied:
    """A server prepared for such databases."""

    server_url: str = field(repr=False)
    template: str
    contents: frozenset[str] = field(repr=False)
    numbers: frozenset[int]
    role: str
    """An ordinary role, which may log in and owns nothing but what it is given."""
    password: str = field(repr=False)

    @contextmanager
    def database(self, *, ordinary: bool) -> Iterator[ReaderDatabase]:
        """A database in which all is taken, dropped afterwards.

        Args:
            ordinary: Give it to the ordinary role; else it belongs to the role of the server's
                URL, a superuser as a rule.

        Raises:
            PostgresError: The server refuses.
        """
        owner = self.role if ordinary else None
        with fresh_database(self.server_url, template=self.template, owner=owner) as admin:
            url = make_url(admin)
            if ordinary:
                url = url.set(username=self.role, password=self.password)
            held = asyncio.run(_hold_locks(make_url(admin), self.numbers))
            try:
                own = url.render_as_string(hide_password=False)
                yield ReaderDatabase(own, admin, self.contents)
            finally:
                if held:  # else the database cannot be dropped
                    asyncio.run(execute(make_url(admin), f"ROLLBACK PREPARED '{held}'"))


@contextmanager
def occupy(server_url: str, snippets: Iterable[Path]) -> Iterator[Occupied]:
    """Prepare a server for `Occupied.database`; what this made is gone afterwards.

    Args:
        server_url: Any database of the server, as a role that may create databases and roles.
        snippets: The files whose names are to be taken.

    Raises:
        PostgresError: The server cannot be reached, or it refuses.
    """
    names, numbers = names_and_numbers(snippets)
    server = make_url(server_url)
    role, password = f"guide_reader_{secrets.token_hex(8)}", secrets.token_hex(16)
    with fresh_database(server_url) as url:
        asyncio.run(_fill(make_url(url), names))
        asyncio.run(execute(server, f"CREATE ROLE {role} LOGIN PASSWORD '{password}'"))
        try:
            template = str(make_url(url).database)
            yield Occupied(server_url, template, contents(url), numbers, role, password)
        finally:
            asyncio.run(execute(server, f"DROP ROLE {role}"))


def names_and_numbers(snippets: Iterable[Path]) -> tuple[frozenset[str], frozenset[int]]:
    """The words and whole numbers of the snippets' SQL and short strings, and the usual names."""
    names, numbers = set(USUAL), {1, 7, 42}
    for snippet in snippets:
        for value in _read_constants(snippet):
            if isinstance(value, str) and (_SQL.search(value) or _NAME.fullmatch(value)):
                names |= set(_NAME.findall(value.lower()))
                numbers |= set(map(int, _NUMBER.findall(value)))
            elif type(value) is int and 0 <= value < 2**31:
                numbers.add(value)
    return frozenset(names), frozenset(numbers)


def _read_constants(snippet: Path) -> Iterator[object]:
    """The constants of a snippet; none where it is no Python, which its own run says."""
    try:
        tree = ast.parse(snippet.read_text("utf-8"))
    except (SyntaxError, ValueError):
        return iter(())
    return _constants(tree)


def _constants(tree: ast.Module) -> Iterator[object]:
    """The constants of a program, docstrings left out."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            yield node.value


async def _fill(database: URL, names: frozenset[str]) -> None:
    script = [f'CREATE TABLE public."{name}" AS SELECT 1 AS id;' for name in sorted(names)]
    script += [f'CREATE SCHEMA "{name}";' for name in sorted(names) if not name.startswith("pg_")]
    await _script(database, "".join(script))


async def _script(database: URL, script: str) -> None:
    """Run several statements in one round trip."""
    async with connect(database) as connection:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        await driver.execute(script)


async def _hold_locks(database: URL, numbers: frozenset[int]) -> str:
    """Hold an advisory lock on each number, in a transaction that no connection is needed for.

    Returns:
        The name of the prepared transaction; empty where the server allows none.
    """
    name = f"guide_{secrets.token_hex(8)}"
    async with connect(database) as connection:
        if await connection.scalar(text("SHOW max_prepared_transactions")) == "0":
            return ""
        lock = "SELECT count(pg_advisory_xact_lock(n)) FROM unnest(CAST(:n AS bigint[])) n"
        await connection.execute(text("BEGIN"))
        await connection.execute(text(lock), {"n": sorted(numbers)})
        await connection.execute(text(f"PREPARE TRANSACTION '{name}'"))
    return name


# What a run did to it


def contents(database_url: str) -> frozenset[str]:
    """What a database holds, a phrase each: its objects, the rows of its tables, the roles.

    Raises:
        PostgresError: The database cannot be reached.
    """
    return frozenset([*leftovers(database_url), *asyncio.run(_contents(make_url(database_url)))])


async def _contents(database: URL) -> list[str]:
    async with connect(database) as connection:
        await connection.execute(text(_READ_ROWS))
        rows = json.loads(await connection.scalar(text("SHOW guide.rows")))
        return [*rows, *await connection.scalars(text(_ROLES))]


# Each process of a test run has a role of its own for its reader.
_ROLES = "SELECT 'role ' || rolname FROM pg_roles WHERE rolname !~ '^guide_reader_'"
# A statement for each table: one for all of them takes ten times as long to plan.
_READ_ROWS = """
    DO $$
    DECLARE
        name text;
        held text;
        found text[] := '{}';
    BEGIN
        FOR name IN
            SELECT format('%I.%I', nspname, relname)
            FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
            WHERE relkind = 'r' AND nspname !~ '^(pg_|information_schema)'
        LOOP
            EXECUTE format('SELECT array_agg(t ORDER BY t) FROM %s t', name) INTO held;
            found := found || format('the rows %s of %s', coalesce(held, '{}'), name);
        END LOOP;
        PERFORM set_config('guide.rows', array_to_json(found)::text, false);
    END $$
"""
