"""Statements of several callers in one commit: what queues up while one is on its way goes into the next."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import psycopg

from orchestrator.runtime.journal.stores.postgresql.connections import Answer, Session

AT_ONCE: Final = 256
_Work = tuple[str, Mapping[str, object], "asyncio.Future[Answer]"]


class Together:
    """Executes statements that have nothing to do with each other; where one fails, the others do not."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waiting: list[_Work] = []
        self._task: asyncio.Task[None] | None = None

    async def run(self, statement: str, values: Mapping[str, object]) -> Answer:
        """What a statement gives, when that is durable. Raises what the session does."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((statement, values, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())
        return await future

    async def _write(self) -> None:
        while self._waiting:
            some, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            await self._execute(some)

    async def _execute(self, works: Sequence[_Work]) -> None:
        try:
            answers = await self._session.run_all([(statement, values) for statement, values, _ in works])
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            is_away = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError, OSError))
            if len(works) == 1 or (is_away and not isinstance(error, psycopg.errors.DeadlockDetected)):
                for _, _, future in works:
                    if not future.done():
                        future.set_exception(error)
            else:
                for work in works:
                    await self._execute([work])
            return
        for (_, _, future), answer in zip(works, answers, strict=True):
            if not future.done():
                future.set_result(answer)
