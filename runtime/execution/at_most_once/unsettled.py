"""What has become of the tools of a run that must run at most once; :mod:`.once` has the rule.

They are known by *occurrence*: an op of one run, whichever attempt at the structured ops around it started it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping

from orchestrator.errors import OrchError, RunError
from orchestrator.runtime import failures
from orchestrator.runtime.journal.events import is_within, region_key
from orchestrator.runtime.journal.replay import Ran, State
from orchestrator.runtime.program.program import Program


class Occurrences:
    """What has become of the tools of one run, and of the run that it resumes, that must run at most once."""

    __slots__ = ("_checks", "doubts", "ran", "unsettled")

    def __init__(self, program: Program, state: State | None) -> None:
        self.ran: dict[str, Ran] = {} if state is None else dict(state.ran)
        """How the latest attempt at each has ended."""
        self.unsettled: dict[str, Ran] = {} if state is None else lost(program, state)
        """Those of which nobody knows whether they happened."""
        self.doubts: dict[str, str] = {}
        """It has what is unsettled in a workflow that did not end, by the occurrence of the tool that has called it."""
        self._checks: dict[str, Callable[[], Awaitable[None]]] = {}

    def lose(self, path: str, ran: Ran, check: Callable[[], Awaitable[None]]) -> None:
        """Nobody knows what has become of an attempt; ``check`` may find out, once more at the end of the run."""
        self.ran[path] = self.unsettled[path] = ran
        self._checks[path] = check

    def done(self, path: str, ran: Ran) -> None:
        """It has a result."""
        self.ran[path] = ran
        self.unsettled.pop(path, None)

    def forget(self, path: str) -> None:
        """It did not happen."""
        self.ran.pop(path, None)
        self.unsettled.pop(path, None)

    def within(self, path: str) -> Iterator[tuple[str, str]]:
        """The ops inside one with this path of which nobody knows whether they happened, and why."""
        yield from ((each, ran.reason) for each, ran in self.unsettled.items() if is_within(each, path))
        yield from ((each, why) for each, why in self.doubts.items() if is_within(each, path))

    async def check(self) -> None:
        """The run goes on without what this part of it has lost; the checks may still tell what has become of it."""
        await asyncio.gather(*(self._checks[path]() for path in self.unsettled.keys() & self._checks))

    def said(self) -> Iterator[str]:
        """A sentence on each that is unsettled."""
        for path, ran in self.unsettled.items():
            yield f"nobody knows whether `{path}` happened: {ran.reason} (ORCH-R020)"


def once_ran(program: Program, state: State) -> dict[str, Ran]:
    """How the ops that must run at most once have ended, by occurrence."""
    ids = {(key, op.id) for key, region in program.regions.items() for op in region.ops() if op.is_once}
    return {path: ran for path, ran in state.ran.items() if (region_key(ran.frame), ran.op) in ids}


def lost(program: Program, state: State) -> dict[str, Ran]:
    """Those of them of which nobody knows whether they happened."""
    return {path: ran for path, ran in once_ran(program, state).items() if ran.outcome == "lost"}


def name_in(failure: OrchError, program: Program, unsettled: Mapping[str, Ran]) -> None:
    """Have the failure of a run name everything that is unsettled."""
    if not unsettled:
        return
    named = " ".join(each.message for each in failure.diagnostics)
    ops = {op.id: op for region in program.regions.values() for op in region.ops()}
    for path, ran in unsettled.items():
        if f"`{ran.frame}{ran.op}`" not in named and f"`{path}`" not in named:
            failure.diagnostics += failures.unsettled(path, ran.reason, ops[ran.op].where).diagnostics
            if isinstance(failure, RunError):
                failure.undecided = (*failure.undecided, path)
