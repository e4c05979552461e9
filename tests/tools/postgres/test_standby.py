"""A real streaming standby: it follows, it only reads, it is promoted, and leaves nothing."""

import pytest
from sqlalchemy.exc import DBAPIError

from tests.asking import ask
from tests.waiting import eventually
from tools.postgres import EmbeddedPostgres, PostgresError, Standby


@pytest.mark.parametrize("major", [16, 18])
async def test_a_standby_follows_until_it_is_promoted(major: int) -> None:
    with EmbeddedPostgres(major) as primary, Standby(primary) as standby:
        home = standby.home
        await ask(primary.url(), "CREATE TABLE orders AS SELECT 'longjing' AS drink")
        await eventually(
            "the standby has replayed that",
            lambda: ask(standby.url(), "SELECT to_regclass('orders') IS NOT NULL"),
        )
        with pytest.raises(DBAPIError, match="cannot execute UPDATE in a read-only transaction"):
            await ask(standby.url(), "UPDATE orders SET drink = 'oolong'")
        primary.kill()
        standby.promote()
        await ask(standby.url(), "UPDATE orders SET drink = 'oolong'")
        assert await ask(standby.url(), "SELECT drink FROM orders") == "oolong"
    assert not home.exists()


def test_without_its_primary_a_standby_says_so() -> None:
    with EmbeddedPostgres() as primary:
        standby = Standby(primary)
        primary.stop()
        with pytest.raises(PostgresError, match=r"pg_basebackup fails .*the primary must run"):
            standby.start()
        assert not standby.home.exists()


def test_a_primary_cannot_be_promoted_again() -> None:
    with EmbeddedPostgres() as primary, Standby(primary) as standby:
        standby.promote()
        with pytest.raises(PostgresError, match="pg_ctl fails"):
            standby.promote()
