"""Taking results of earlier versions of a workflow while a later one executes the run.

An op takes a result that an op of the same meaning gave for the same inputs in the same frame. What is taken is written
down again, under this version, so that from then on it is found by its path. A write that fits no longer waits for
somebody who decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import ValidationError

from orchestrator.runtime import failures
from orchestrator.runtime.journal.artifacts.apart import value_of
from orchestrator.runtime.journal.events import Decided, Decision, OpDone
from orchestrator.runtime.journal.lines.paths import paths_of
from orchestrator.runtime.journal.lines.stored import decode
from orchestrator.runtime.journal.replay import State
from orchestrator.runtime.journal.value_digest import value_digest
from orchestrator.runtime.journal.values.tree import NotReadError
from orchestrator.runtime.journal.versions.earlier import Result
from orchestrator.runtime.journal.versions.version_change import History
from orchestrator.runtime.program.kept import has_written
from orchestrator.runtime.program.program import Op, Program, Region


class TakingOver:
    """The results of earlier versions, for one execution of a later one."""

    def __init__(
        self, program: Program, history: History, state: State | None, run_id: str, decisions: Mapping[str, Decision]
    ) -> None:
        self._program = program
        self._earlier = history.earlier
        self._chats = history.chats
        self._apart = history.apart
        self._run_id = run_id
        self._decisions = dict(decisions)
        for frame, known in () if state is None else state.frames.items():
            for op, done in known.done.items():
                self._taken_before(frame, paths_of(program).op(frame, op), done)
        for frame, op in () if state is None else state.answered:  # the op takes it from there
            self._earlier.take(self._frame(frame), paths_of(program).op(frame, op).key, "")
        self._decided = {} if state is None else dict(state.decided)

    def result(self, frame: str, region: Region, op: Op, digest: str) -> tuple[object, ...] | Decided | None:
        """What an op gave under an earlier version; or that somebody wants it done again; None where it is new.

        Raises ORCH-R104 for a write that does not fit and that nobody has decided on.
        """
        path = self._frame(frame)
        found = self._earlier.take(path, op.key, digest)
        if found is not None and (values := self._values(region, op, found)) is not None:
            return values
        if not has_written(op) or (frame, op.id) in self._decided:
            return None
        doubts = self._earlier.in_doubt(path, op.key, digest, region)
        if not doubts:
            return None
        name = frame + op.id
        verdict = self._decisions.get(name) or self._decisions.get(op.id)
        if verdict == "again":
            return Decided(frame, op.id, verdict, 0.0)
        if verdict == "keep":
            for doubt in doubts:
                if (values := self._values(region, op, doubt)) is not None:
                    self._earlier.take_over(doubt)
                    return values
        offered = ((doubt, self._values(region, op, doubt)) for doubt in doubts)
        kept = next((_shown(doubt, values) for doubt, values in offered if values is not None), None)
        raise failures.undecided(name, self._run_id, op.where, len(doubts), kept)

    def _taken_before(self, frame: str, op: Op, done: OpDone) -> None:
        """A result of this version: what fits it was taken, or is what somebody has decided to keep."""
        path, digest = self._frame(frame), done.inputs or ""
        if self._earlier.take(path, op.key, digest) is not None or not has_written(op):
            return
        region, given = paths_of(self._program).frame(frame)[1], value_digest(done.values)
        for doubt in self._earlier.in_doubt(path, op.key, digest, region):
            if value_digest(self._values(region, op, doubt)) == given:
                self._earlier.take_over(doubt)
                return

    def _frame(self, frame: str) -> str:
        return paths_of(self._program).frame(frame)[0]

    def _values(self, region: Region, op: Op, found: Result) -> tuple[object, ...] | None:
        """The values of a result by the types that the op has now; None where they are none of those."""
        types = region.types[op.first : op.first + op.count]
        if len(types) != len(found.values):
            return None
        try:
            data = [value_of(each, found.path, self._apart) for each in found.values]
            return tuple(decode(tp, each, self._chats) for tp, each in zip(types, data, strict=True))
        except (NotReadError, ValidationError, ValueError):
            return None


def _shown(result: Result, values: tuple[object, ...]) -> str:
    """Which result it is, for people: when it was given, for what, and what it begins with."""
    at = datetime.fromtimestamp(result.at, UTC)
    given = values[0] if isinstance(values[0], str) else result.values[0]
    return f"{str(given)!r:.80}, given at {at:%Y-%m-%d %H:%M:%S} UTC for inputs of the digest {result.digest:.8}"
