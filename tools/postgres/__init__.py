"""The PostgreSQL that snippets and tests run against, and a database in it for each of them."""

from tools.postgres.binaries import PostgresError
from tools.postgres.database import connect, dsn_of, execute, fresh_database, leftovers
from tools.postgres.embedded import EmbeddedPostgres
from tools.postgres.find import Server, find_postgres
from tools.postgres.proxy import Proxy
from tools.postgres.room import find_temporary_folder, free_port
from tools.postgres.standby import Standby

__all__ = [
    "EmbeddedPostgres",
    "PostgresError",
    "Proxy",
    "Server",
    "Standby",
    "connect",
    "dsn_of",
    "execute",
    "find_postgres",
    "find_temporary_folder",
    "free_port",
    "fresh_database",
    "leftovers",
]
