"""``--stream``: the replies of models on stderr as they come, one after the other.

Calls run side by side, and their tokens come mixed. The reply that began first is written as it grows; the others
wait, and each follows in one go, or goes on growing, once those before it have ended. So every reply is in one piece
below its label: the case where there are several, the op with its frame, ``#2`` for a second sample, and the attempt
where it is not the first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.cli.by_path import ByPath
from orchestrator.cli.screen import Screen
from orchestrator.runtime.journal.events import Feed, OpCaught, OpDone, OpFailed, RunDone, RunFailed, Token
from orchestrator.runtime.observe import Subscription


class _Key(NamedTuple):
    case: str
    path: str
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
        self._open: OrderedDict[_Key, _Reply] = OrderedDict()
        """Those of which something is not written yet, in the order in which they began."""
        self._growing: dict[str, ByPath[_Key]] = {}
        """Those that have not ended, by case."""

    def of(self, case: str) -> Subscription:
        """An observer of one run."""
        return _Observer(self, case)

    def take(self, case: str, entry: Feed) -> None:
        """Take an event of a run."""
        if isinstance(entry, Token):
            self._token(_Key(case, entry.frame + entry.op, entry.attempt, entry.sample), entry.text)
        elif isinstance(entry, OpFailed):
            again = "" if entry.retry_in_s is None else "; it is tried again"
            self._end(self._within(case, entry.frame + entry.op), f"failed: {entry.message}{again}")
        elif isinstance(entry, (OpDone, OpCaught)):
            self._end(self._within(case, entry.frame + entry.op))
        elif isinstance(entry, (RunDone, RunFailed)):
            self._end(list(self._growing.pop(case, ())))

    def close(self) -> None:
        """Write what is left."""
        for reply in self._open.values():
            reply.ended = True
        self._growing.clear()
        self._write()

    def _token(self, key: _Key, text: str) -> None:
        reply = self._open.get(key)
        if reply is None:
            reply = self._open[key] = _Reply(self._label(key))
            self._growing.setdefault(key.case, ByPath()).add(key.path, key)
        if reply is next(iter(self._open.values())):
            self._screen.piece(key, reply.label, text)
        else:
            reply.unwritten.append(text)

    def _within(self, case: str, op: str) -> list[_Key]:
        """The replies of an op, and of all ops inside it, that have not ended."""
        growing = self._growing.get(case)
        if growing is None:
            return []
        keys = growing.within(op)
        for key in keys:
            growing.remove(key.path, key)
        return keys

    def _end(self, keys: list[_Key], problem: str = "") -> None:
        """Replies have ended, with a problem that is said once."""
        for key in keys:
            self._open[key].ended, self._open[key].problem = True, problem
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
        return f"{case}{key.path}{sample}" + (f" (attempt {key.attempt})" if key.attempt > 1 else "")


class _Observer(Subscription):
    def __init__(self, replies: Replies, case: str) -> None:
        super().__init__(limit=1)
        self._replies, self._case = replies, case

    def push(self, entry: Feed) -> None:
        """Hand an event on."""
        self._replies.take(self._case, entry)
