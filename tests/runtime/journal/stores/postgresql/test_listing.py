"""A page of runs costs the same among hundreds of thousands of runs as among a few."""

from __future__ import annotations

import json
import random

import psycopg
import pytest

from orchestrator.runtime.journal.stores.base import Head
from orchestrator.runtime.journal.stores.postgresql.store import PostgresqlStore
from tests.postgresql import Server

RUNS = 400_000
FILL = """
    INSERT INTO orch_run (run_id, workflow, version, tenant, status, epoch, created_at, updated_at, rows, log_bytes,
                          snapshot, noted, told)
    SELECT md5(n::text), 'w' || n %% 2, 'v', 't' || n / 2 %% 2,
        CASE WHEN n %% 100000 = 7 THEN 'failed' WHEN n %% 4 = 1 THEN 'suspended' ELSE 'done' END,
        1, n / 3, n, 1, 1, 1, 0, 0
    FROM generate_series(1, %s) AS n"""
PAGES = 2000
"""Of 8 KB each, that a listing may look at: 50 runs of each of eight statuses, by an index. The table has 8,000."""


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_page_of_many_runs_reads_little(url: str, schema: str, postgresql: Server) -> None:
    store = await PostgresqlStore.open(url)
    async with await psycopg.AsyncConnection.connect(postgresql.url, autocommit=True) as connection:
        await connection.execute(f"SET search_path = {schema}")
        await connection.execute(FILL, [RUNS])
    read: list[int] = []
    run = store._reads.run

    async def watched(statement: str, values: object = None, *, prepare: bool = True) -> object:
        plan = await run(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", values, prepare=False)  # type: ignore[arg-type]
        top = plan.rows[0][0] if not isinstance(plan.rows[0][0], str) else json.loads(plan.rows[0][0])
        read.append(top[0]["Plan"]["Shared Hit Blocks"] + top[0]["Plan"]["Shared Read Blocks"])
        return await run(statement, values, prepare=prepare)  # type: ignore[arg-type]

    store._reads.run = watched  # type: ignore[method-assign, assignment]
    draw = random.Random(5)
    middle = (RUNS / 6, "")
    for status in ([], ["done"], ["failed"], ["failed", "suspended"], ["paused"]):
        for workflow in (None, "w0", "w1", "none"):
            for tenant in (None, "t0", "t1"):
                for before in (None, middle, (draw.uniform(0, RUNS / 3), "x")):
                    heads = await store.heads(status=status, workflow=workflow, tenant=tenant, before=before)  # type: ignore[arg-type]
                    places = [place(head) for head in heads]
                    assert places == sorted(places, reverse=True)
                    assert all(before is None or each < before for each in places)
                    assert all(head.status in status for head in heads if status)
                    assert all(head.workflow == workflow for head in heads if workflow)
    assert len(read) == 180
    assert max(read) < PAGES
    await store.close()


def place(head: Head) -> tuple[float, str]:
    return head.created_at, head.run_id
