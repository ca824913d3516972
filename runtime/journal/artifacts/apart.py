"""The large values of one run: their way to a place for artifacts, and back.

A value whose text is larger than :data:`~orchestrator.runtime.journal.artifacts.base.LARGEST_INLINE` is written as
``{"~artifact":"20261130-9f86d0…"}``. Not every one is: a loop's state is written as what has changed of it, what names
messages must be found by who looks for these, and the inputs of a run are written before any run can refer to them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import time
from typing import Any, Final

from orchestrator.runtime.journal.artifacts.base import LARGEST_INLINE, Artifacts, name_of
from orchestrator.runtime.journal.chats import mentioned
from orchestrator.runtime.journal.stored import loads
from orchestrator.runtime.journal.stores.base import Store

_TAG: Final = "~artifact"


class Apart:
    """What one run keeps apart."""

    def __init__(self, store: Store, artifacts: Artifacts) -> None:
        self._store = store
        self._artifacts = artifacts
        self._fresh: dict[str, bytes] = {}
        self._kept: set[str] = set()

    def written(self, text: str) -> str:
        """The text of a value as the log has it. What it names is durable when :meth:`put` has it."""
        if len(text) <= LARGEST_INLINE or mentioned(text):
            return text
        data = text.encode()
        name = name_of(data, time())
        if name not in self._kept:
            self._fresh[name] = data
        return f'{{"{_TAG}":"{name}"}}'

    def read(self, data: Any, of: str) -> Any:
        """What stands in the text of a value; it may take long.

        Raises :class:`~orchestrator.runtime.journal.artifacts.base.LostArtifactError`, which says that it is ``of``.
        """
        if not (isinstance(data, dict) and len(data) == 1 and _TAG in data):
            return data
        whole = loads(self._artifacts.get(data[_TAG], of))
        self._kept.add(data[_TAG])
        return whole

    def take_fresh(self) -> Mapping[str, bytes]:
        """What was named since the last time, and is to be put."""
        taken, self._fresh = self._fresh, {}
        return taken

    async def put(self, run_id: str, fresh: Mapping[str, bytes]) -> None:
        """Keep what was taken, and have the run refer to it. Durable when it returns, and harmless when repeated."""
        await asyncio.to_thread(self._put_all, fresh)
        await self._store.refer(run_id, fresh)
        self._kept.update(fresh)

    def _put_all(self, fresh: Mapping[str, bytes]) -> None:
        for name, data in fresh.items():
            self._artifacts.put(data, name)
