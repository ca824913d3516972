"""The large values of one run: their way to a place for artifacts, and back.

A value whose text is larger than :data:`~orchestrator.runtime.journal.artifacts.base.LARGEST_INLINE` is written as
``{"~artifact":"20261130-9f86d0…"}``, and the line of such a message, or of a text that is named like one, as the name
behind an ``M``. Not every one is: a loop's state is written as what has changed of it, and a value that names messages
must be found by who looks for these.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from time import time
from typing import Any, Final

from orchestrator.runtime.journal.artifacts.base import LARGEST_INLINE, Artifacts, digest_of, name_of
from orchestrator.runtime.journal.lines.chats import mentioned
from orchestrator.runtime.journal.lines.stored import loads
from orchestrator.runtime.journal.stores.base import Store

_TAG: Final = "~artifact"


class Apart:
    """What one run keeps apart."""

    def __init__(self, store: Store, artifacts: Artifacts) -> None:
        self._store = store
        self._artifacts = artifacts
        self._fresh: dict[str, bytes] = {}
        self._kept: dict[str, str] = {}
        """The names of those that the run refers to, by their digests: they are used again, also on another day."""

    def name(self, text: str, *, is_new: bool = True) -> str | None:
        """The name of a text that is large, which is durable when :meth:`put` has it; None of any other. One that is
        not ``is_new`` has none unless the run refers to it.
        """
        if len(text) <= LARGEST_INLINE:
            return None
        data = text.encode()
        name = name_of(data, time())
        known = self._kept.get(digest_of(name))
        if known is None and is_new:
            self._fresh[name] = data
            return name
        return known

    def text(self, name: str, of: str) -> str:
        """The text of a name; it may take long.

        Raises :class:`~orchestrator.runtime.journal.artifacts.base.LostArtifactError`, which says that it is ``of``.
        """
        text = self._artifacts.get(name, of).decode()
        self._kept[digest_of(name)] = name
        return text

    def written(self, text: str) -> str:
        """The text of a value as the log has it."""
        name = None if mentioned(text) else self.name(text)
        return text if name is None else f'{{"{_TAG}":"{name}"}}'

    def read(self, data: Any, of: str) -> Any:
        """What stands in the text of a value. Raises as :meth:`text`."""
        is_apart = isinstance(data, dict) and len(data) == 1 and _TAG in data
        return loads(self.text(data[_TAG], of)) if is_apart else data

    def take_fresh(self) -> Mapping[str, bytes]:
        """What was named since the last time, and is to be put."""
        taken, self._fresh = self._fresh, {}
        return taken

    async def put(self, fresh: Mapping[str, bytes]) -> None:
        """Keep what was taken. Durable when it returns, harmless when repeated, and garbage until referred to."""
        if fresh:
            await asyncio.to_thread(self._put_all, fresh)

    async def refer(self, run_id: str, fresh: Mapping[str, bytes]) -> None:
        """Keep what was taken, and have the run refer to it. Durable when it returns, and harmless when repeated."""
        await self.put(fresh)
        await self._store.refer(run_id, fresh)
        self.referred(fresh)

    def referred(self, names: Iterable[str]) -> None:
        """The run refers to these."""
        self._kept.update({digest_of(name): name for name in names})

    def _put_all(self, fresh: Mapping[str, bytes]) -> None:
        for name, data in fresh.items():
            self._artifacts.put(data, name)


def message_lines(texts: Iterable[str], apart: Apart | None, *, is_new: bool = True) -> list[str]:
    """The lines of messages. Where they are not ``is_new``, none is put apart that has not been."""
    if apart is None:
        return [f"m{each}" for each in texts]
    names = [(each, apart.name(each, is_new=is_new)) for each in texts]
    return [f"m{each}" if name is None else f"M{name}" for each, name in names]


def message_of(line: str, apart: Apart | None) -> Any:
    """The data of a message's line. Raises ``ValueError`` for one that is apart where nothing is."""
    if line[0] == "m":
        return loads(line[1:])
    if apart is None:
        raise ValueError(f"it names artifact {line[1:100]}, and no place for artifacts was given (ORCH_ARTIFACTS)")
    return loads(apart.text(line[1:], "a message of the run"))
