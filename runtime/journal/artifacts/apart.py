"""The large values of one run: their way to a place for artifacts, and back.

A value whose text is larger than :data:`~orchestrator.runtime.journal.artifacts.base.LARGEST_INLINE` is written as
``{"~artifact":"20261130-9f86d0…"}``, what was said of a failure, too. The line of such a message, or of a text that is
named like one, is the name behind an ``M``, and what a loop hands on, or what has changed of that, the name behind an
``@``. A question is never apart: whoever answers it has the store and may not have this place.
"""

from __future__ import annotations

import asyncio
import re
from array import array
from collections.abc import Iterable, Mapping
from time import time
from typing import Any, Final

from orchestrator.runtime.journal.artifacts.base import LARGEST_INLINE, Artifacts, digest_of, name_of
from orchestrator.runtime.journal.lines.chats import mentioned
from orchestrator.runtime.journal.lines.stored import loads
from orchestrator.runtime.journal.stores.base import Store

_TAG: Final = "~artifact"
_NAMES: Final = re.compile(
    r'^M(NAME)$|\{"~artifact":"(NAME)"\}|\t~?@(NAME)$'.replace("NAME", "[0-9]{8}-[0-9a-f]{64}"), re.ASCII | re.MULTILINE
)


class Apart:
    """What one run keeps apart."""

    def __init__(self, store: Store, artifacts: Artifacts) -> None:
        self._store = store
        self._artifacts = artifacts
        self._fresh: dict[str, bytes] = {}
        self._kept: dict[str, str] = {}
        """The names of those that the run refers to and that may still count, by their digests: they are used again,
        also on another day."""
        self._mentions: dict[str, array[int]] = {}
        """The messages that those mention which may stand in a line that counts."""
        self._beside = 0

    def name(self, text: str, *, is_new: bool = True) -> str | None:
        """The name of a large text in place of a line, or of a part of one that is always read with it, which is
        durable when :meth:`put` has it; None of any other. One that is not ``is_new`` has none unless the run refers
        to it.
        """
        name = self._name(text, is_new)
        self._beside += 0 if name is None else len(text)
        return name

    def text(self, name: str, of: str) -> str:
        """The text that :meth:`name` has named; it may take long.

        Raises :class:`~orchestrator.runtime.journal.artifacts.base.LostArtifactError`, which says that it is ``of``.
        """
        text = self._text(name, of)
        self._beside += len(text)
        return text

    def take_beside(self) -> int:
        """So many characters were named or read in place of lines since this was called: who reads the log reads them,
        too."""
        taken, self._beside = self._beside, 0
        return taken

    def written(self, text: str) -> str:
        """The text of a value as the log has it."""
        name = self._name(text, is_new=True)
        return text if name is None else f'{{"{_TAG}":"{name}"}}'

    def value(self, name: str, of: str) -> Any:
        """What stands in the text that :meth:`written` has named. Raises as :meth:`text`."""
        return loads(self._text(name, of))

    def mentioned(self, line: str) -> set[int]:
        """The messages that a line mentions, also in values that it names; it may take long where these were never
        read."""
        found = mentioned(line)
        for name in names_in(line) if _TAG in line else ():
            if name not in self._mentions:
                self._text(name, "a value of the run")
            found.update(self._mentions[name])
        return found

    def forget_but(self, lines: Iterable[str]) -> None:
        """No lines count any more but these, and those that are written from now on."""
        named = names_in("\n".join(line for line in lines if line[:1] != "m"))
        self._mentions = {name: found for name, found in self._mentions.items() if name in named}
        self._kept = {digest: name for digest, name in self._kept.items() if name in named}

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

    def _name(self, text: str, is_new: bool) -> str | None:
        if len(text) <= LARGEST_INLINE:
            return None
        data = text.encode(errors="surrogatepass")
        name = name_of(data, time())
        known = self._kept.get(digest_of(name))
        if known is None:
            if not is_new:
                return None
            self._fresh[name] = data
            known = name
        self._mentions[known] = array("Q", mentioned(text))
        return known

    def _text(self, name: str, of: str) -> str:
        text = self._artifacts.get(name, of).decode(errors="surrogatepass")
        self._kept[digest_of(name)] = name
        self._mentions[name] = array("Q", mentioned(text))
        return text

    def _put_all(self, fresh: Mapping[str, bytes]) -> None:
        for name, data in fresh.items():
            self._artifacts.put(data, name)


def names_in(lines: str) -> set[str]:
    """The names of artifacts in lines of a log."""
    return {name for found in _NAMES.findall(lines) for name in found if name}


def value_of(data: Any, of: str, apart: Apart | None) -> Any:
    """What stands in a part of a line, which may be apart; ``of`` says whose it is, for errors.

    Raises :class:`~orchestrator.runtime.journal.artifacts.base.LostArtifactError`, and ``ValueError`` for one that is
    apart where nothing is.
    """
    if not isinstance(data, dict) or len(data) != 1 or _TAG not in data:
        return data
    return _there(apart, data[_TAG]).value(data[_TAG], of)


def text_of(name: str, of: str, apart: Apart | None) -> str:
    """The text of a name that stands in place of a line, or of a part of one. Raises as :func:`value_of`."""
    return _there(apart, name).text(name, of)


def message_lines(texts: Iterable[str], apart: Apart | None, *, is_new: bool = True) -> list[str]:
    """The lines of messages. Where they are not ``is_new``, none is put apart that has not been."""
    if apart is None:
        return [f"m{each}" for each in texts]
    names = [(each, apart.name(each, is_new=is_new)) for each in texts]
    return [f"m{each}" if name is None else f"M{name}" for each, name in names]


def message_of(line: str, apart: Apart | None) -> Any:
    """The data of a message's line. Raises ``ValueError`` for one that is apart where nothing is."""
    return loads(line[1:] if line[0] == "m" else text_of(line[1:], "a message of the run", apart))


def _there(apart: Apart | None, name: str) -> Apart:
    if apart is None:
        raise ValueError(f"it names artifact {name:.100}, and no place for artifacts was given (ORCH_ARTIFACTS)")
    return apart
