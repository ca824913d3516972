"""``--stream``: the replies of models on stderr as they come, one after the other.

Calls run side by side, and their tokens come mixed. The reply that began first is written as it grows; the others
wait, and each follows in one go, or goes on growing, once those before it have ended. So every reply is in one piece
below its label: the case where there are several, the op with its frame, ``#2`` for a second sample, and the attempt
where it is not the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.cli.screen import Screen
from orchestrator.runtime.events import Feed, OpFailed, OpsDone, RunDone, RunFailed, Token, is_within
from orchestrator.runtime.observe import Subscription


class _Key(NamedTuple):
    case: str
    frame: str
    op: str
    attempt: int
    sample: int


@dataclass(slots=True)
class _Reply:
    label: str
    unwritten: list[str] = field(default_factory=list)
    ended: bool = False
    problem: str = ""


class Replies:
    """The replies of all runs of a job, in the order in which they began."""

    def __init__(self, screen: Screen, *, several: bool) -> None:
        self._screen = screen
        self._several = several
        self._open: dict[_Key, _Reply] = {}

    def of(self, case: str) -> Subscription:
        """An observer of one run."""
        return _Observer(self, case)

    def take(self, case: str, entry: Feed) -> None:
        """Take an event of a run."""
        if isinstance(entry, Token):
            self._token(_Key(case, entry.frame, entry.op, entry.attempt, entry.sample), entry.text)
        elif isinstance(entry, OpFailed):
            again = "" if entry.retry_in_s is None else "; it is tried again"
            self._end(case, entry.frame, entry.op, f"failed: {entry.message}{again}")
        elif isinstance(entry, OpsDone) and entry.op is not None:
            self._end(case, entry.frame, entry.op)
        elif isinstance(entry, (RunDone, RunFailed)):
            self._end(case, "", "")

    def close(self) -> None:
        """Write what is left."""
        for reply in self._open.values():
            reply.ended = True
        self._write()

    def _token(self, key: _Key, text: str) -> None:
        reply = self._open.get(key)
        if reply is None:
            reply = self._open[key] = _Reply(self._label(key))
        if reply is next(iter(self._open.values())):
            self._screen.piece(key, reply.label, text)
        else:
            reply.unwritten.append(text)

    def _end(self, case: str, frame: str, op: str, problem: str = "") -> None:
        """The replies of an op, and of all ops inside it, have ended."""
        for key, reply in self._open.items():
            within = not op or is_within(key.frame + key.op, frame + op)
            if key.case == case and within and not reply.ended:
                reply.ended, reply.problem = True, problem
                problem = ""
        self._write()

    def _write(self) -> None:
        """Write what need not wait any longer."""
        while self._open:
            key, reply = next(iter(self._open.items()))
            if reply.unwritten:
                self._screen.piece(key, reply.label, "".join(reply.unwritten))
                reply.unwritten.clear()
            if not reply.ended:
                return
            self._screen.end()
            if reply.problem:
                self._screen.line(f"{reply.label} {reply.problem}", colour="yellow")
            del self._open[key]

    def _label(self, key: _Key) -> str:
        case = f"{key.case} " if self._several else ""
        sample = f"#{key.sample + 1}" if key.sample else ""
        return f"{case}{key.frame}{key.op}{sample}" + (f" (attempt {key.attempt})" if key.attempt > 1 else "")


class _Observer(Subscription):
    def __init__(self, replies: Replies, case: str) -> None:
        super().__init__(limit=1)
        self._replies, self._case = replies, case

    def push(self, entry: Feed) -> None:
        """Hand an event on."""
        self._replies.take(self._case, entry)
