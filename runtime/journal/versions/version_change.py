"""What becomes of a run whose workflow has changed.

Its log goes on behind a snapshot that holds what counts under every version: the inputs, the time, the spending, sleeps
that are not over, and what must run at most once and may have happened. The rows in front of it stay, and their results
are taken where they still fit (:mod:`~orchestrator.runtime.journal.versions.earlier`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.runtime.journal.artifacts.apart import Apart, message_of
from orchestrator.runtime.journal.lines.chats import Chats, mentioned
from orchestrator.runtime.journal.lines.line import (
    EARLIER,
    RESULTS,
    VERSION,
    Data,
    spent_line,
    text_of,
    upgraded,
    version_line,
    with_path,
    with_version,
)
from orchestrator.runtime.journal.lines.live import Live
from orchestrator.runtime.journal.lines.paths import UnknownPathError, paths_of
from orchestrator.runtime.journal.lines.stored import loads
from orchestrator.runtime.journal.stores.base import Row, Store
from orchestrator.runtime.journal.versions.aligned import STRUCTURED, Alignment, key_of_part, own_key
from orchestrator.runtime.journal.versions.earlier import Earlier
from orchestrator.runtime.program.program import Program

_FATES: Final = frozenset({"started", "failed", "unsettled", "settled"})
_ROWS_AT_ONCE: Final = 256


class LostUnderAnotherError(Exception):
    """Nobody knows whether something happened that this version of the workflow has not got. The argument is its
    path."""


@dataclass(frozen=True, slots=True)
class History:
    """The rows of earlier versions of a run."""

    earlier: Earlier
    chats: Chats
    """Their conversations."""
    alignment: Alignment
    """What the frames of the latest of them are now."""
    apart: Apart | None
    """Their large values."""
    fates: Mapping[str, Sequence[Data]]
    """It has, by path, what the latest of them says of what must run at most once and may have happened without a
    result. Under it what is around that may be over; under another one it is executed again."""


async def read_history(program: Program, store: Store, run_id: str, rows: int, apart: Apart | None = None) -> History:
    """Read the first ``rows`` rows of a run. It takes a file for their results and memory for their messages, and goes
    through them in another thread."""
    reading = Reading(program, apart)
    some: list[Row] = []
    async for row in store.history(run_id):
        if row.number > rows:
            break
        some.append(row)
        if len(some) >= _ROWS_AT_ONCE:
            await asyncio.to_thread(reading.add, some)
            some = []
    await asyncio.to_thread(reading.add, some)
    return await asyncio.to_thread(reading.history)


class Reading:
    """Reads rows from the first one on."""

    def __init__(self, program: Program, apart: Apart | None) -> None:
        self._program = program
        self._apart = apart
        self._earlier = Earlier(program)
        self._chats = Chats()
        self._fates: dict[str, list[Data]] = {}
        self._version = VERSION
        self._change = ""
        """The line that says that another version goes on, for the latest of them."""

    def add(self, rows: Iterable[Row]) -> None:
        """Take the next rows."""
        for row in rows:
            lines = row.data.decode(errors="surrogatepass").split("\n")
            change = next((line for line in lines if line.startswith('["version"')), self._change)
            begins = change != self._change  # which later snapshots of the same version say as well
            if begins:
                self._change = change
                self._earlier.begin_version()
                self._fates = {}
            for line in lines:
                if line[:1] in ("m", "M"):
                    self._chats.add(message_of(line, self._apart))
                elif line[:1] == "[" and (begins or not row.is_snapshot):
                    self._add(line.partition("\t")[0])
                elif line and line[:1] != "[":
                    self._version = int(line)

    def _add(self, text: str) -> None:
        data = loads(text)
        if self._version != VERSION:
            data = upgraded(data, self._version)
            text = text_of(data)
        self._earlier.add(data, text)
        if data[0] in _FATES:
            self._fates.setdefault(data[2], []).append(data)
        elif data[0] in RESULTS:
            self._fates.pop(data[2], None)

    def history(self) -> History:
        """What was read."""
        fates = {path: lines for path, lines in self._fates.items() if self._has_no_outcome(path, lines)}
        alignment = self._earlier.align()
        for path, lines in fates.items():
            if _has_failed(lines) and _now(self._program, path, alignment) is None:
                self._earlier.add_failed(path, alignment)
        return History(self._earlier, self._chats, alignment, self._apart, fates)

    def _has_no_outcome(self, path: str, fates: Sequence[Data]) -> bool:
        """Whether it must run at most once, and may have happened."""
        is_open = any(_is_once(line) for line in fates) and _may_have_happened(fates[-1])
        return is_open and not self._earlier.has_result(_tool(path))


def carried(program: Program, before: Live, version: str, rows: int, history: History) -> Iterator[str]:
    """The lines of the snapshot with which the log goes on. Raises :class:`LostUnderAnotherError`.

    None is of a later time than that at which the run was executed last: nothing that counts its seconds goes on.
    """
    run, resumed = before.run_line("run"), before.run_line("resumed")
    if run is not None:
        yield with_version(run.text, program.fingerprint)
    if resumed is not None:
        yield resumed.text
    yield before.totals()
    yield version_line(version, rows, before.at)
    for usage, cost_usd in before.spent():
        yield spent_line(EARLIER, usage, cost_usd, before.at).text
    for path, lines in before.ops():
        now = _now(program, path, history.alignment) if any(line.kind == "timer" for line in lines) else None
        if now is not None:
            yield from (with_path(line.text, now) for line in lines if line.kind == "timer")
    for path, fates in history.fates.items():
        now = _now(program, path, history.alignment)
        if now is not None:
            yield from (text_of([kind, at, now, *rest]) for kind, at, _, *rest in fates)
        elif not _has_failed(fates):
            raise LostUnderAnotherError(path)


def messages_of(lines: Iterable[str], history: History) -> list[str]:
    """The messages and long texts that lines of an earlier version name."""
    find = mentioned if history.apart is None else history.apart.mentioned
    return history.chats.needed({number for line in lines for number in find(line)})


def _is_once(line: Data) -> bool:
    return line[0] == "unsettled" or (line[0] == "started" and line[4:5] == [True])


def _has_failed(fates: Sequence[Data]) -> bool:
    return fates[-1][0] in ("failed", "settled")


def _may_have_happened(line: Data) -> bool:
    """Whether the latest line on it leaves that open."""
    kind, _, _, *rest = line
    if kind == "failed":
        attempt, began = rest[0], rest[4]
        return bool(began) or attempt > 1
    return kind != "settled" or bool(rest[0] == "failed")


def _tool(path: str) -> str:
    """The path of the op itself where this one is inside of a run that it has begun."""
    at = 0
    for part in path.split("/"):
        key = key_of_part(part)
        if own_key(key) not in STRUCTURED:
            return path[: at + len(key)]
        at += len(part) + 1
    return path


def _now(program: Program, path: str, alignment: Alignment) -> str | None:
    """The path that an op has now; None where there is none with its key."""
    cut = path.rfind("/") + 1
    frame = alignment.frame(path[:cut])
    if frame is None:
        return None
    try:
        paths_of(program).read(frame + path[cut:])
    except UnknownPathError:
        return None
    return frame + path[cut:]
