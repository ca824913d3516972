"""Structured ops that never wait, as functions that generated code calls like any other.

They hold the event loop until they return, so only short ones are called so: those of at most :data:`MOST_STEPS` steps.
Longer ones are generators here, which :mod:`orchestrator.runtime.execution.control` runs slice by slice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

from orchestrator.errors import RunError
from orchestrator.runtime.program.cases import Select
from orchestrator.runtime.program.program import Region

MOST_STEPS: Final = 4096
"""Inline ops at most that a structured op executes on the event loop in one go: some milliseconds."""
SLICE_S: Final = 5e-3
"""How long work that only computes goes on before others on the event loop may."""


def steps_of(region: Region) -> int:
    """How many inline ops one execution of an inline region takes at most."""
    inner = (each for each in region.env.values() if isinstance(each, (InlineMap, InlineLoop, InlineChoice)))
    return len(region.inlined) + 1 + sum(each.steps for each in inner)


def turns(  # noqa: PLR0917 - what a loop consists of
    stop: Callable[..., Sequence[Any]],
    body: Callable[..., Sequence[Any]],
    state: Sequence[Any],
    for_stop: Sequence[Any],
    for_body: Sequence[Any],
    bound: int,
    must_end: bool,
) -> Iterator[list[Any] | None]:
    """A loop: None at the end of each slice, then its final state."""
    slice_ends = perf_counter() + SLICE_S
    for turn in range(bound + must_end):
        if stop(*state, *for_stop)[0]:
            break
        if turn == bound:
            raise does_not_end(bound)
        state = body(*state, *for_body)
        if perf_counter() > slice_ends:
            yield None
            slice_ends = perf_counter() + SLICE_S
    yield list(state)


def items_in_turn(
    body: Callable[..., Sequence[Any]], lists: Sequence[Sequence[Any]], captured: Sequence[Any]
) -> Iterator[list[Any] | None]:
    """A map: None at the end of each slice, then what each item yields."""
    yielded: list[Any] = []
    slice_ends = perf_counter() + SLICE_S
    for items in zip(*lists, strict=True):
        yielded.append(body(*items, *captured))
        if perf_counter() > slice_ends:
            yield None
            slice_ends = perf_counter() + SLICE_S
    yield yielded


def does_not_end(bound: int) -> RunError:
    """ORCH-R055."""
    return RunError(
        "ORCH-R055",
        f"a loop is not over after {bound} turns",
        why="the plan and its cost were made for at most that many",
        fix="raise @workflow(max_iterations=...), or end the loop earlier",
    )


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
            fix="raise limit= of the map_, or @workflow(max_items=...), or cut the list first: items[:n]",
        )
    return length


@dataclass(eq=False)
class InlineMap:
    """Called with the lists and then the captured values; ``single`` returns one list instead of a tuple of them."""

    body: Region
    lists: int
    limit: int
    single: bool

    @property
    def steps(self) -> int:
        """At most."""
        return self.limit * steps_of(self.body)

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
    must_end: bool = False

    @property
    def steps(self) -> int:
        """At most."""
        return self.bound * (steps_of(self.cond) + steps_of(self.body))

    def __call__(self, *inputs: Any) -> Any:
        split = self.cond.n_inputs
        state, for_cond, for_body = inputs[: self.state], inputs[self.state : split], inputs[split:]
        stop, body = self.cond.whole, self.body.whole
        for turn in range(self.bound + self.must_end):
            if stop(*state, *for_cond)[0]:
                break
            if turn == self.bound:
                raise does_not_end(self.bound)
            state = body(*state, *for_body)
        return state[0] if self.single else state


@dataclass(eq=False)
class InlineChoice:
    """A branch or switch: called with what decides, and then with what each of its regions captures."""

    select: Select
    regions: Sequence[Region]
    single: bool

    @property
    def steps(self) -> int:
        """At most."""
        return max(steps_of(region) for region in self.regions)

    def __call__(self, subject: Any, *captured: Any) -> Any:
        number = self.select(subject)
        first = sum(region.n_inputs for region in self.regions[:number])
        region = self.regions[number]
        yielded = region.whole(*captured[first : first + region.n_inputs])
        return yielded[0] if self.single else yielded
