"""The state of a run as a fold over its events.

To resume a run is to execute its program again with this state at hand: whatever has a result is not executed but
looked up, so the run goes on where the journal ends. What had started and has no result is executed again, unless it
must happen at most once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from orchestrator.errors import Error, RunError
from orchestrator.runtime.budget import Need
from orchestrator.runtime.correction import Correction
from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.events import (
    Event,
    FrameOpened,
    OpCaught,
    OpFailed,
    OpsDone,
    OpSettled,
    OpStarted,
    OpUnsettled,
    ReplyUnfit,
    Reserved,
    RunDone,
    RunResumed,
    RunStarted,
    Spent,
    TimerSet,
    attempt_path,
    is_within,
    occurrence,
)
from orchestrator.runtime.failures import SETTLED_AS_FAILED
from orchestrator.runtime.program import Program
from orchestrator.runtime.records import Spending
from orchestrator.runtime.specs import Limits

Key = tuple[str, str]
"""A frame and an op."""

A_PERSON: Final = "a person"
"""Who settles what no check could."""
INTERRUPTED: Final = "the process ended while it ran"


@dataclass(frozen=True, slots=True)
class Ran:
    """How the latest attempt at an op ended, whichever attempt at the structured ops around it that belonged to."""

    frame: str
    op: str
    outcome: Literal["lost", "failed", "done"]
    reason: str = ""
    """It says what became of a lost attempt, or is the message of a failed one's error."""
    code: str = ""
    raised: Error | None = None
    """It is the exception behind a failed attempt."""


@dataclass(slots=True)
class State:
    """What is known of a run."""

    started: RunStarted | None = None
    done: RunDone | None = None
    results: dict[str, dict[int, tuple[object, ...]]] = field(default_factory=dict)
    """It has, for each frame, consecutive values by their first slot."""
    unfinished: dict[Key, float] = field(default_factory=dict)
    """Ops with an attempt that started and has not ended, and ``active_s`` at that time."""
    failures: dict[Key, int] = field(default_factory=dict)
    """Attempts that are over, by frame and op. One after which the op was given up is made again, and what it has done
    inside a structured op is kept."""
    forgiven: dict[Key, int] = field(default_factory=dict)
    """Those of them that were made before the op was given up: a resumed run has all attempts again."""
    caught: dict[str, OpCaught] = field(default_factory=dict)
    """It has, by the path of an attempt, which handler has taken the failure of its body."""
    opened: Counter[str] = field(default_factory=Counter)
    """How often each frame was opened."""
    ran: dict[str, Ran] = field(default_factory=dict)
    """It has, by occurrence, what has been started, and may have happened."""
    spending: Spending = field(default_factory=Spending)
    spent: list[tuple[str, Need]] = field(default_factory=list)
    """The same one by one, by the path of the op."""
    is_sorted: bool = True
    """Whether those are in the order of the paths."""
    reserved: dict[Key, Reserved] = field(default_factory=dict)
    """Model calls of which it is not known what they used."""
    timers: dict[Key, TimerSet] = field(default_factory=dict)
    """Sleeps that are not over."""
    op_s: dict[Key, float] = field(default_factory=dict)
    """Seconds of the attempts that have ended, by frame and op."""
    corrections: dict[str, Correction] = field(default_factory=dict)
    """It has, by the path of a model call, what is wrong with its latest reply."""
    active_s: float = 0.0
    """So long the run was executed: how much of a budget of seconds is used up."""
    budget: Limits | None = None
    """Given to the run in place of the workflow's own."""
    at: float | None = None
    """Time of the last event while the run was executed."""

    def spent_within(self, path: str) -> Need:
        """What an op and everything inside it have spent, in all their attempts."""
        if not self.is_sorted:
            self.spent.sort(key=lambda each: each[0])
            self.is_sorted = True
        found = Need(0, 0.0)
        for each, need in self.spent[bisect_left(self.spent, path, key=lambda each: each[0]) :]:
            if not each.startswith(path):
                break
            if is_within(each, path):
                found = Need(found.tokens + need.tokens, found.usd + need.usd)
        return found

    def lost_calls(self, at: float) -> Iterator[Spent]:
        """Model calls that were under way when the run was interrupted: they may have used all they had reserved."""
        for call in list(self.reserved.values()):
            yield Spent(call.frame, call.op, call.most, call.cost_usd, at)


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
    if isinstance(event, RunResumed):
        _close_attempts(state)
        state.at = event.at
    elif not (isinstance(event, OpSettled) and event.by == A_PERSON):  # who does so while the run is not executed
        state.active_s += 0.0 if state.at is None else max(event.at - state.at, 0.0)
        state.at = event.at
    fold = _FOLDS.get(type(event))
    if fold is not None:
        fold(state, event)


def _started(state: State, event: RunStarted) -> None:
    state.started, state.budget = event, event.budget


def _resumed(state: State, event: RunResumed) -> None:
    state.budget = event.budget or state.budget


def _run_done(state: State, event: RunDone) -> None:
    state.done = event


def _op_started(state: State, event: OpStarted) -> None:
    state.unfinished[event.frame, event.op] = state.active_s
    state.ran[occurrence(event.frame, event.op)] = Ran(event.frame, event.op, "lost", INTERRUPTED)


def _timer_set(state: State, event: TimerSet) -> None:
    state.timers[event.frame, event.op] = event


def _ops_done(state: State, event: OpsDone) -> None:
    state.results.setdefault(event.frame, {})[event.first] = event.values
    if event.op is not None:
        _end(state, event.frame, event.op)
        state.ran[occurrence(event.frame, event.op)] = Ran(event.frame, event.op, "done")
    if event.usage is not None:
        _spend(state, event.frame, event.op or "", event.usage, event.cost_usd)


def _op_caught(state: State, event: OpCaught) -> None:
    state.caught[attempt_path(event.frame, event.op, event.attempt)] = event


def _frame_opened(state: State, event: FrameOpened) -> None:
    state.opened[event.frame] += 1


def _op_failed(state: State, event: OpFailed) -> None:
    _end(state, event.frame, event.op)
    if event.retry_in_s is None:
        state.failures[event.frame, event.op] = state.forgiven[event.frame, event.op] = event.attempt - 1
    else:
        state.failures[event.frame, event.op] = event.attempt
    key = occurrence(event.frame, event.op)
    if event.began:
        state.ran[key] = Ran(event.frame, event.op, "failed", event.message, event.code, event.raised)
    elif event.attempt == 1 and key == event.frame + event.op:  # a later attempt says nothing of those before
        state.ran.pop(key, None)


def _reply_unfit(state: State, event: ReplyUnfit) -> None:
    state.corrections[event.frame + event.op] = Correction(dict(event.kept), (event.reply, event.request))


def _op_unsettled(state: State, event: OpUnsettled) -> None:
    _end(state, event.frame, event.op)
    state.failures[event.frame, event.op] = event.attempt
    state.ran[occurrence(event.frame, event.op)] = Ran(event.frame, event.op, "lost", event.reason)


def _op_settled(state: State, event: OpSettled) -> None:
    key = occurrence(event.frame, event.op)
    state.unfinished.pop((event.frame, event.op), None)
    if event.verdict == "happened":
        state.results.setdefault(event.frame, {})[event.first] = event.values
        state.ran[key] = Ran(event.frame, event.op, "done")
    elif event.verdict == "failed":
        state.ran[key] = Ran(event.frame, event.op, "failed", event.message or "", SETTLED_AS_FAILED)
    else:
        state.ran.pop(key, None)


def _reserved(state: State, event: Reserved) -> None:
    state.reserved[event.frame, event.op] = event


def _spent(state: State, event: Spent) -> None:
    _spend(state, event.frame, event.op, event.usage, event.cost_usd)


_FOLDS: Final[dict[type[Event], Callable[[State, Any], None]]] = {
    RunStarted: _started,
    RunResumed: _resumed,
    RunDone: _run_done,
    OpStarted: _op_started,
    TimerSet: _timer_set,
    OpsDone: _ops_done,
    OpFailed: _op_failed,
    OpCaught: _op_caught,
    FrameOpened: _frame_opened,
    ReplyUnfit: _reply_unfit,
    OpUnsettled: _op_unsettled,
    OpSettled: _op_settled,
    Reserved: _reserved,
    Spent: _spent,
}


def _close_attempts(state: State) -> None:
    """What was under way when the run was interrupted took its time until the last event."""
    for key, since_s in state.unfinished.items():
        state.op_s[key] = state.op_s.get(key, 0.0) + state.active_s - since_s
        state.unfinished[key] = state.active_s


def _end(state: State, frame: str, op: str) -> None:
    state.reserved.pop((frame, op), None)
    state.timers.pop((frame, op), None)
    since_s = state.unfinished.pop((frame, op), None)
    if since_s is not None:
        state.op_s[frame, op] = state.op_s.get((frame, op), 0.0) + state.active_s - since_s


def _spend(state: State, frame: str, op: str, usage: Usage, cost_usd: float | None) -> None:
    state.reserved.pop((frame, op), None)
    state.spending.add(usage, cost_usd)
    state.spent.append((frame + op, Need(usage.input_tokens + usage.output_tokens, cost_usd or 0.0)))
    state.is_sorted = False
