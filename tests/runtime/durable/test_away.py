"""A database that is restarted, read-only or out of reach amid a run: it goes on by itself, or another owner does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psycopg
import pytest

from orchestrator.errors import JournalError
from orchestrator.runtime.coordinator.coordinator import Coordinator
from orchestrator.runtime.journal.stores.base import Store
from orchestrator.runtime.journal.stores.postgresql import connections
from orchestrator.runtime.journal.stores.postgresql.store import PostgresqlStore
from orchestrator.runtime.runner import Runner
from tests.postgresql import Server
from tests.runtime.durable.chain import begun_step, chaining, did
from tests.runtime.journal.stores.postgresql.wire import Wire

WAITS = "run r waits for its store"
ALL = ["r 1", "r 2", "r 3", "r 4"]


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is said which steps were begun; the second one waits until it may go on."""
    monkeypatch.setenv("CHAIN_DID", str(tmp_path / "did"))
    monkeypatch.setenv("CHAIN_WAITS", "2")
    monkeypatch.setattr(connections, "CALL_S", 0.5)
    return tmp_path / "did"


@pytest.fixture
async def store(postgresql: Server, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    store = await PostgresqlStore.open(f"{postgresql.url}?schema=away_{abs(hash(request.node.name))}")
    yield store
    await store.close()


@asynccontextmanager
async def far_from(store: Store, server: Server) -> AsyncIterator[tuple[Store, Wire]]:
    """The same store at the other end of a wire."""
    async with Wire(server.port).laid() as wire:
        far = await PostgresqlStore.open(store.url.replace(f":{server.port}/", f":{wire.port}/"))
        yield far, wire
        await far.close()


@asynccontextmanager
async def working(store: Store) -> AsyncIterator[None]:
    """Another coordinator that takes over what it can."""
    async with Runner(store=store) as runner:
        coordinator = Coordinator(runner, [chaining()])
        task = asyncio.create_task(coordinator.run())
        yield
        coordinator.stop()
        await task


async def heard(caplog: pytest.LogCaptureFixture, text: str) -> None:
    async with asyncio.timeout(120):
        while text not in caplog.text:
            await asyncio.sleep(0.01)


async def results(store: Store) -> int:
    """How many results of steps the log has."""
    return sum([row.data.count(b'["wrote"') async for row in store.history("r") if not row.is_snapshot])


async def test_a_partition_that_is_shorter_than_the_lease_only_takes_time(
    store: Store, postgresql: Server, steps: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with far_from(store, postgresql) as (far, wire), Runner(store=far, lease_s=1000) as runner, working(store):
        work = asyncio.create_task(runner.run(chaining(), {"text": "r"}, run_id="r"))
        await begun_step(steps, "r 2")
        async with wire.cut():
            steps.with_name("go on").touch()
            await heard(caplog, WAITS)
            assert did(steps) == ["r 1", "r 2"], "nothing is started meanwhile"
        assert (await work).value.startswith("r 4 ")
    assert did(steps) == ALL
    assert await results(store) == 4
    await heard(caplog, "run r goes on: its store is back")


async def test_a_partition_that_is_longer_than_the_lease_gives_the_run_to_another_and_its_result_counts_once(
    store: Store, postgresql: Server, steps: Path
) -> None:
    async with far_from(store, postgresql) as (far, wire), Runner(store=far, lease_s=2) as runner:
        work = asyncio.create_task(runner.run(chaining(), {"text": "r"}, run_id="r"))
        await begun_step(steps, "r 2")
        async with wire.cut(), working(store):
            steps.with_name("go on").touch()
            await begun_step(steps, "r 4")
            async with asyncio.timeout(120):
                while (head := await store.head("r")) is None or head.status != "done":
                    await asyncio.sleep(0.01)
        with pytest.raises(JournalError) as caught:
            await work
    assert caught.value.code == "ORCH-R103"
    assert did(steps) == ["r 1", "r 2", "r 2", "r 3", "r 4"]
    assert await results(store) == 4, "what the first one has to say of its step is refused"


async def test_a_run_outlives_a_restart_of_its_database(store: Store, postgresql: Server, steps: Path) -> None:
    async with Runner(store=store, lease_s=1000) as runner:
        work = asyncio.create_task(runner.run(chaining(), {"text": "r"}, run_id="r"))
        await begun_step(steps, "r 2")
        await asyncio.to_thread(postgresql.stop)
        steps.with_name("go on").touch()
        await asyncio.to_thread(postgresql.start)
        assert (await work).value.startswith("r 4 ")
    assert did(steps) == ALL
    assert await results(store) == 4


@contextmanager
def read_only(server: Server) -> Iterator[None]:
    """Within, the database takes no writes, of sessions that are there already either."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        connection.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            connection.execute("SELECT pg_reload_conf()")


async def test_a_run_waits_for_a_database_that_is_read_only(
    store: Store, postgresql: Server, steps: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Runner(store=store, lease_s=1000) as runner:
        work = asyncio.create_task(runner.run(chaining(), {"text": "r"}, run_id="r"))
        await begun_step(steps, "r 2")
        with read_only(postgresql):
            async with asyncio.timeout(60):
                while (await store._reads.run("SHOW default_transaction_read_only")).rows != [("on",)]:  # type: ignore[attr-defined]
                    await asyncio.sleep(0.01)
            steps.with_name("go on").touch()
            await heard(caplog, WAITS)
            assert "name the primary in the URL" in caplog.text
            with pytest.raises(JournalError, match="read-only transaction") as caught:
                await runner.run(chaining(), {"text": "s"}, run_id="s")
            assert caught.value.code == "ORCH-R097"
            assert [head.run_id for head in await store.heads()] == ["r"]
        assert (await work).value.startswith("r 4 ")
    assert did(steps) == ALL
