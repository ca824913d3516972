"""What one commit costs here and now, with nothing around it: the floor under every step that waits for one.

It is measured a few commits at a time between the runs of all arms, so that it has had the same disk and the same
neighbours. A commit is one row of about 200 bytes.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.arms.group_commit import Log, connect
from benchmarks.arms.workloads import payload
from benchmarks.harness.record import Result
from benchmarks.harness.stats import spread

COMMITS = 25
ROW = json.dumps(payload(0)).encode()


class Floor:
    """Samples by arm: ``sqlite`` commits on the thread that measures, ``sqlite-thread`` through a writer thread, which
    a coroutine waits for; ``postgresql`` where there is a server.
    """

    def __init__(self, folder: Path, postgresql: str | None = None) -> None:
        self.samples: dict[str, list[float]] = {"sqlite": [], "sqlite-thread": []}
        self._db = connect(folder / "floor.db")
        self._loop = asyncio.new_event_loop()
        self._log = Log(folder / "floor-thread.db")
        self.versions: dict[str, str] = {}
        self._server: Any = None
        if postgresql is not None:
            import psycopg

            self._server = psycopg.connect(postgresql, autocommit=True)
            self._server.execute("CREATE TABLE floor (number bigserial PRIMARY KEY, data bytea)")
            self.versions["postgresql"] = self._server.execute("SHOW server_version").fetchone()[0]
            self.samples["postgresql"] = []

    def sample(self) -> None:
        """Measure a few commits of each."""
        insert = "INSERT INTO log (data) VALUES (?)"
        self.samples["sqlite"] += _timed(lambda: self._db.execute(insert, (ROW,)))
        self.samples["sqlite-thread"] += self._loop.run_until_complete(self._through_thread())
        if self._server is not None:
            insert = "INSERT INTO floor (data) VALUES (%s)"
            self.samples["postgresql"] += _timed(lambda: self._server.execute(insert, (ROW,)))

    async def _through_thread(self) -> list[float]:
        walls = []
        for _ in range(COMMITS):
            began = time.perf_counter()
            await self._log.append(ROW)
            walls.append(time.perf_counter() - began)
        return walls

    def commit_us(self, arm: str) -> float:
        """The median commit so far, in µs."""
        return spread(self.samples[arm])[0] * 1e6

    def results(self) -> Iterator[Result]:
        """The median of each; its range is of medians of a few commits, as single ones are anything."""
        for arm, samples in self.samples.items():
            if not samples:
                continue
            few = [spread(samples[at : at + COMMITS])[0] * 1e6 for at in range(0, len(samples), COMMITS)]
            _, low, high = spread(few)
            yield Result(
                case="floor", arm=arm, metric="commit_us", value=round(self.commit_us(arm), 1), unit="us",
                n=len(samples), low=round(low, 1), high=round(high, 1),
            )  # fmt: skip

    def close(self) -> None:
        """Close what it opened."""
        self._log.close()
        self._db.close()
        self._loop.close()
        if self._server is not None:
            self._server.close()


def _timed(commit: Callable[[], object]) -> list[float]:
    walls = []
    for _ in range(COMMITS):
        began = time.perf_counter()
        commit()
        walls.append(time.perf_counter() - began)
    return walls
