"""The state of a run as a fold over its events.

To resume a run is to execute its program again with this state at hand: whatever has a result is not executed but
looked up, so the run goes on where the journal ends. What had started and has no result is executed again, unless it
must happen at most once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator.errors import RunError
from orchestrator.runtime.events import Event, OpFailed, OpsDone, OpStarted, RunDone, RunStarted, Spent
from orchestrator.runtime.program import Program
from orchestrator.runtime.records import Spending


@dataclass(slots=True)
class State:
    """What is known of a run."""

    started: RunStarted | None = None
    done: RunDone | None = None
    results: dict[str, dict[int, tuple[object, ...]]] = field(default_factory=dict)
    """By frame: consecutive values by their first slot."""
    unfinished: dict[tuple[str, str], int] = field(default_factory=dict)
    """Attempts that started and neither succeeded nor failed, by frame and op."""
    failures: dict[tuple[str, str], int] = field(default_factory=dict)
    """Failed attempts, by frame and op."""
    spending: Spending = field(default_factory=Spending)
    active_s: float = 0.0
    """From the start to the last event: how much of a budget of seconds is used up."""


def replay(program: Program, events: Iterable[Event]) -> State:
    """Fold ``events``. Raises ``RunError`` ORCH-R021 if they belong to another program."""
    state = State()
    for event in events:
        apply(state, event)
    if state.started is not None and state.started.program != program.fingerprint:
        raise RunError(
            "ORCH-R021",
            f"run {state.started.run_id} started with another version of `{program.name}`",
            why=f"it is pinned to program {state.started.program}, this is {program.fingerprint}",
            fix="resume it with the code and the cluster it started with, or start a new run",
        )
    return state


def apply(state: State, event: Event) -> None:
    """One step of the fold."""
    if state.started is not None:
        state.active_s = event.at - state.started.at
    if isinstance(event, OpsDone):
        state.results.setdefault(event.frame, {})[event.first] = event.values
        if event.op is not None:
            state.unfinished.pop((event.frame, event.op), None)
        if event.usage is not None:
            state.spending.add(event.usage, event.cost_usd)
    elif isinstance(event, OpStarted):
        state.unfinished[event.frame, event.op] = event.attempt
    elif isinstance(event, OpFailed):
        state.unfinished.pop((event.frame, event.op), None)
        state.failures[event.frame, event.op] = event.attempt
    elif isinstance(event, Spent):
        state.spending.add(event.usage, event.cost_usd)
    elif isinstance(event, RunStarted):
        state.started = event
    elif isinstance(event, RunDone):
        state.done = event
