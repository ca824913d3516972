"""What becomes of a run whose workflow has changed.

Its log goes on behind a snapshot that holds what counts under every version: the inputs, the time, the spending, sleeps
that are not over, and what must run at most once and may have happened. The rows in front of it stay, and their results
are taken where they still fit (:mod:`~orchestrator.runtime.journal.earlier`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import time

from orchestrator.runtime.journal.aligned import Alignment
from orchestrator.runtime.journal.artifacts.apart import Apart, message_of
from orchestrator.runtime.journal.chats import Chats
from orchestrator.runtime.journal.earlier import Earlier
from orchestrator.runtime.journal.live import Live
from orchestrator.runtime.journal.paths import UnknownPathError, paths_of
from orchestrator.runtime.journal.stored import loads
from orchestrator.runtime.journal.stores.base import Row
from orchestrator.runtime.journal.wire import (
    EARLIER,
    VERSION,
    Data,
    Line,
    spent_line,
    upgraded,
    version_line,
    with_path,
    with_version,
)
from orchestrator.runtime.program import Program

_FATES = frozenset({"started", "failed", "unsettled", "settled"})


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
    last_message: int
    apart: Apart | None
    """Their large values."""


def read_history(program: Program, rows: Sequence[Row], apart: Apart | None = None) -> History:
    """Read rows from the first one on."""
    segments: list[list[Data]] = [[]]
    chats, last, version = Chats(), 0, VERSION
    for row in rows:
        text = row.data.decode(errors="surrogatepass")
        begins = row.is_snapshot and any(line.startswith('["version"') for line in text.split("\n"))
        if begins:
            segments.append([])
        for line in text.split("\n"):
            if line[:1] in ("m", "M"):
                data = message_of(line, apart)
                last = max(last, data[0])
                chats.add(data)
            elif line[:1] == "[" and (begins or not row.is_snapshot):
                segments[-1].append(upgraded(loads(line.partition("\t")[0]), version))
            elif line and line[:1] != "[":
                version = int(line)
    earlier = Earlier(program)
    alignments = [earlier.add(lines) for lines in reversed(segments)]
    return History(earlier, chats, alignments[0], last, apart)


def carried(program: Program, before: Live, version: str, rows: int, alignment: Alignment) -> Iterator[str]:
    """The lines of the snapshot with which the log goes on. Raises :class:`LostUnderAnotherError`."""
    run, resumed = before.run_line("run"), before.run_line("resumed")
    if run is not None:
        yield with_version(run.text, program.fingerprint)
    if resumed is not None:
        yield resumed.text
    yield before.totals()
    yield version_line(version, rows, time())
    for usage, cost_usd in before.spent():
        yield spent_line(EARLIER, usage, cost_usd, time()).text
    for path, lines in before.ops():
        kept = [line for line in lines if line.kind == "timer"]
        fates = [line for line in lines if line.kind in _FATES]
        if fates and fates[-1].kind in ("started", "unsettled") and any(_is_once(line) for line in fates):
            kept += fates
        for line in kept:
            now = _now(program, path, alignment)
            if now is not None:
                yield with_path(line.text, now)
            elif line.kind != "timer":
                raise LostUnderAnotherError(path)


def _is_once(line: Line) -> bool:
    return line.kind == "unsettled" or (line.kind == "started" and len(loads(line.text)) > 4)


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
