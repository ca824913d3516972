"""Running a program: dataflow without barriers.

An execution of a region is a :class:`~orchestrator.runtime.execution.frame.Frame`. Entering it runs segment 0, which
makes some suspending ops ready. The coroutine that completes an op runs the segment behind it and goes on with the last
op this makes ready; further ones become tasks. So sequential code, such as an agent's loop, is one coroutine however
many turns it takes, and there is no scheduler: what is ready is decided by the completion that made it so.

Every result of what is outside is in the journal, and the journal is durable, before anything that depends on it
starts. A resumed run executes the same program, takes what the journal knows from there, and computes the rest again.

How an op is begun is given (:mod:`.perform` does it, a rehearsal does not): a structured op comes back here with the
regions inside of it.

Tests: ``tests/runtime/execution/test_execution_properties.py`` compares random programs with a sequential interpreter
and resumes them from every prefix of their journal.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from time import time
from typing import Any

from orchestrator.runtime import failures
from orchestrator.runtime.execution.computing import compute, run_inline
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.frame import Frame
from orchestrator.runtime.execution.group import Group
from orchestrator.runtime.execution.model_calls.budget import Ledger
from orchestrator.runtime.execution.outcome import WORTH_SUPERSEDING, Outcome, Tally
from orchestrator.runtime.journal.events import Computed, OpDone
from orchestrator.runtime.journal.values.tree import NotKeptError
from orchestrator.runtime.program.kept import is_made_again
from orchestrator.runtime.program.program import Op, Region
from orchestrator.runtime.program.specs import HINTS


class Dataflow:
    """Executes the regions of one run; ``begin`` begins an op that the journal has no result of."""

    __slots__ = ("_begin", "execution")

    def __init__(self, execution: Execution, begin: Begin) -> None:
        self.execution = execution
        self._begin = begin

    def run(
        self,
        region: Region,
        inputs: Sequence[object],
        path: str,
        ledger: Ledger,
        tally: Tally,
        *,
        after: int | None = None,
    ) -> Coroutine[Any, Any, Sequence[Any]]:
        """What a region yields; ``tally`` counts what the journal has of it.

        The first ``after`` events of the log have led to what it is given; by default all that there are now.
        """
        if region.is_inline:
            return _inline(region, inputs)
        return self.run_frame(region, inputs, path, ledger, tally, after=after)

    async def run_frame(
        self,
        region: Region,
        inputs: Sequence[object],
        path: str,
        ledger: Ledger,
        tally: Tally,
        *,
        after: int | None = None,
    ) -> Sequence[Any]:
        """:meth:`run`, for a region that may wait."""
        resumed = self.execution.resumed
        known = None if resumed is None else resumed.frames.get(path)
        if known is not None and known.yielded is not None:
            tally.records += 1
            return known.yielded
        v = [*inputs, *[None] * region.blanks]
        frame = Frame(region, v, path, ledger, known=known, after=self.execution.log.taken if after is None else after)
        ready = self._advance(frame, 0)
        if region.sequential:
            while ready:
                (op,) = ready
                if (work := self._begun(frame, op)) is not None:
                    self._take(frame, op, await work)
                ready = self._advance(frame, op.after)
        elif ready:
            async with Group() as frame.group:
                await self._follow(frame, ready)
        tally.records += frame.records
        return [v[slot] for slot in region.yields]

    async def _follow(self, frame: Frame, ready: Sequence[Op]) -> None:
        """Start ready ops, in their order and hints last; stay with the first one and whatever follows from it.

        A model call lets hints go first that are ready with it, and is ahead of a prefetch that was made for it.
        """
        assert frame.group is not None
        while ready:
            if len(ready) > 1:
                ready = sorted(ready, key=lambda op: isinstance(op.spec, HINTS))
            op, *others = ready
            for other in others:
                frame.group.spawn(self._follow(frame, [other]))
            if (work := self._begun(frame, op)) is not None:
                self._take(frame, op, await work)
            ready = self._advance(frame, op.after)

    def _advance(self, frame: Frame, index: int) -> Sequence[Op]:
        """Run a segment and every join it completes; the suspending ops that are ready now."""
        segments = frame.region.segments
        segment = segments[index]
        if not segment.joins:
            if segment.count:
                self._run_segment(frame, index)
            return segment.starts
        todo = [index]
        ready: list[Op] = []
        while todo:
            index = todo.pop()
            segment = segments[index]
            if segment.count:
                self._run_segment(frame, index)
            ready += segment.starts
            for join in segment.joins:
                frame.pending[join] -= 1
                if not frame.pending[join]:
                    todo.append(join)
        return ready

    def _run_segment(self, frame: Frame, index: int) -> None:
        segment = frame.region.segments[index]
        function = frame.region.segment_functions[index]
        assert function is not None
        compute(function, frame.v)
        execution = self.execution
        if execution.listeners.present:
            first, last = segment.first, segment.first + segment.count
            execution.show(Computed(frame.path, first, tuple(frame.v[first:last]), time()))

    def _begun(self, frame: Frame, op: Op) -> Coroutine[Any, Any, Outcome] | None:
        """What performs an op; None where its result is known, or there is none to wait for."""
        if frame.known is not None and (done := frame.known.done.get(op.id)) is not None:
            self._recall(frame, op, done)
            return None
        return self._begin(self, frame, op)

    def _recall(self, frame: Frame, op: Op, done: OpDone) -> None:
        """Take a result from the journal. Raises ORCH-R100 where it is one of other inputs."""
        if done.inputs is not None and done.inputs != frame.given(op):
            raise failures.other_inputs(frame.path + op.id, self.execution.run_id, op.where)
        frame.v[op.first : op.first + op.count] = done.values
        frame.records += 1

    def _take(self, frame: Frame, op: Op, outcome: Outcome) -> None:
        execution = self.execution
        values, usage, cost_usd, finish, inside, engine = outcome
        if op.count:
            frame.v[op.first : op.first + op.count] = values
        at = time()
        if inside is not None and inside < WORTH_SUPERSEDING and _is_found_again(op):
            frame.records += inside
            frame.after = execution.log.taken
            execution.note(OpDone(frame.path, op.id, values, at))
            return
        took_s = execution.starts.take(frame.path, op.id, at)
        done = OpDone(frame.path, op.id, values, at, usage, cost_usd, finish, frame.given(op), took_s, engine)
        try:
            execution.emit(done)
        except NotKeptError as error:
            if not is_made_again(op, frame.region.types[op.first : op.first + op.count]):
                raise failures.not_kept(f"what `{op.id}` gave", error, op.where) from error
            execution.note(done)  # it is made again
        else:
            frame.records += 1
        frame.after = execution.log.taken


async def _inline(region: Region, inputs: Sequence[object]) -> Sequence[Any]:
    return run_inline(region, inputs)


def _is_found_again(op: Op) -> bool:
    """Whether a structured op gives the same where what is inside of it does."""
    return not op.is_race and op.policy.budget is None  # or its seconds would not end


Begin = Callable[[Dataflow, Frame, Op], Coroutine[Any, Any, Outcome] | None]
"""Begins an op; gives what performs it, or None where nothing is waited for: a hint, or a result that is found."""
