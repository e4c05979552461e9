"""What tests ask of an engine's pool."""

from sqlalchemy import QueuePool, event
from sqlalchemy.ext.asyncio import AsyncEngine


def pool_of(engine: AsyncEngine) -> QueuePool:
    """The engine's pool, with the counters that only a queue has."""
    assert isinstance(engine.pool, QueuePool)
    return engine.pool


def checked_out(engine: AsyncEngine) -> int:
    """How many connections the engine's pool counts as lent."""
    return pool_of(engine).checkedout()


def record(engine: AsyncEngine, *names: str) -> list[str]:
    """A list that grows by the name of each of these events."""
    happened: list[str] = []
    for name in names:
        event.listen(engine.sync_engine, name, lambda *_, name=name: happened.append(name))
    return happened
