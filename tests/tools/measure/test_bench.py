"""What `make bench` measures with, and what it draws; the runs are no part of the tests."""

import json
from xml.etree import ElementTree

import pytest
from sqlalchemy import text

from tests.pools import MakeEngine
from tools.measure import bench, charts

RECORD = json.loads(charts.MEASURED.read_text("utf-8"))


async def test_each_message_takes_its_time_across_the_network(
    database_url: str, make_engine: MakeEngine
) -> None:
    async with bench.delayed(database_url, 0.05) as far:
        engine = make_engine(far, isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            assert await connection.scalar(text("SELECT 'oolong'")) == "oolong"
        assert await bench.seconds_of("SELECT 1", engine) >= 0.1
        await engine.dispose()


async def test_a_busy_pool_is_gone_afterwards(database_url: str, make_engine: MakeEngine) -> None:
    async with bench.busy(database_url, 2):
        pass
    engine = make_engine()
    async with engine.connect() as connection:
        others = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
        mine = f"{others} AND datname = current_database() AND pid <> pg_backend_pid()"
        assert await connection.scalar(text(mine)) == 0


@pytest.mark.parametrize("drawing", charts.render_charts(RECORD).values(), ids=map(str, range(8)))
def test_a_drawing_is_one_block_of_sound_markup_that_names_its_machine(drawing: str) -> None:
    assert "\n\n" not in drawing
    figure = ElementTree.fromstring(drawing.replace("<br>", "<br/>"))
    assert figure.find("svg/desc") is not None
    told = "".join(figure.itertext())
    for condition in (RECORD["date"], RECORD["processor"], RECORD["versions"]["PostgreSQL"]):
        assert condition in told
