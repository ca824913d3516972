"""Structured ops that never wait, as functions that generated code calls like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import RunError
from orchestrator.runtime.program import Region


def map_length(lists: Sequence[Sequence[Any]], limit: int) -> int:
    """How many items a map has; raises ``RunError`` ORCH-R005 for more than ``limit`` or for unequal lists."""
    lengths = {len(items) for items in lists}
    if len(lengths) > 1:
        shown = ", ".join(str(len(items)) for items in lists)
        raise RunError("ORCH-R005", f"a map over lists of different lengths: {shown}", fix="make them equally long")
    (length,) = lengths
    if length > limit:
        raise RunError(
            "ORCH-R005",
            f"a map over {length} items, with a limit of {limit}",
            why="the plan and its cost were made for at most that many",
            fix="raise limit=, or cut the list first: items[:n]",
        )
    return length


@dataclass(eq=False)
class InlineMap:
    """Called with the lists and then the captured values; ``single`` returns one list instead of a tuple of them."""

    body: Region
    lists: int
    limit: int
    single: bool

    def __call__(self, *inputs: Any) -> Any:
        lists, captured = inputs[: self.lists], inputs[self.lists :]
        map_length(lists, self.limit)
        whole = self.body.whole
        yielded = [whole(*items, *captured) for items in zip(*lists, strict=True)]
        if self.single:
            return [value for (value,) in yielded]
        return tuple([each[n] for each in yielded] for n in range(len(self.body.yields)))


@dataclass(eq=False)
class InlineLoop:
    """Called with the state, what the condition captures, and what the body captures; returns the final state."""

    cond: Region
    body: Region
    state: int
    bound: int
    single: bool

    def __call__(self, *inputs: Any) -> Any:
        split = self.cond.n_inputs
        state, for_cond, for_body = inputs[: self.state], inputs[self.state : split], inputs[split:]
        stop, body = self.cond.whole, self.body.whole
        for _ in range(self.bound):
            if stop(*state, *for_cond)[0]:
                break
            state = body(*state, *for_body)
        return state[0] if self.single else state


@dataclass(eq=False)
class InlineBranch:
    """Called with the condition, what ``then`` captures, and what ``otherwise`` captures."""

    then: Region
    otherwise: Region
    single: bool

    def __call__(self, cond: Any, *captured: Any) -> Any:
        split = self.then.n_inputs
        yielded = self.then.whole(*captured[:split]) if cond else self.otherwise.whole(*captured[split:])
        return yielded[0] if self.single else yielded
