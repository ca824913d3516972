"""The state of a run as a fold over its events.

To resume a run is to execute its program again with this state at hand: whatever has a result is not executed but
looked up, so the run goes on where the journal ends. What had started and has no result is executed again, unless it
must happen at most once.

What is done supersedes everything below it: an op's result all that happened inside of it, and a loop's turn all turns
before. So the state is as large as what is still going on, however long the run has been.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from orchestrator.errors import Error
from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.execution.model_calls.budget import Need
from orchestrator.runtime.execution.model_calls.correction import Correction
from orchestrator.runtime.failures import SETTLED_AS_FAILED, other_version
from orchestrator.runtime.journal.events import (
    Answered,
    Asked,
    CleanupStarted,
    Decided,
    Event,
    Forked,
    ItemDone,
    OpCaught,
    OpDone,
    OpFailed,
    OpSettled,
    OpStarted,
    OpUnsettled,
    ReplyUnfit,
    Reserved,
    RunDone,
    RunFailed,
    RunResumed,
    RunStarted,
    Spent,
    TimerSet,
    Totals,
    TurnDone,
    VersionChanged,
    is_within,
    occurrence,
    region_key,
)
from orchestrator.runtime.journal.records import Spending
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import Limits

Key = tuple[str, str]
"""A frame and an op."""

A_PERSON: Final = "a person"
"""Who settles what no check could."""
INTERRUPTED: Final = "the process ended while it ran"
_PART: Final = re.compile(r"([^.#\[]+)(?:#(\d+))?[^\[]*(?:\[(\d+)\])?/")
"""The last part of a frame: the op, its attempt, and the number of the turn or item."""


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
class Known:
    """What is known of one execution of a region."""

    done: dict[str, OpDone] = field(default_factory=dict)
    """It has, by op, what has a result."""
    yielded: tuple[object, ...] | None = None
    """What the region gave, where it is done."""
    turns: dict[str, tuple[int, int, tuple[object, ...]]] = field(default_factory=dict)
    """It has, by loop, the attempt, how many turns of it are done, and what they hand on."""
    touched: set[str] = field(default_factory=set)
    """Ops that the log says anything of."""
    inside: dict[str, list[str]] = field(default_factory=dict)
    """It has, by op, the frames that are directly inside of it."""


def part_of(frame: str) -> tuple[str, str, int, int | None]:
    """The frame around a frame, the op there that executes it, that op's attempt, and the turn or item.

    >>> part_of("each[7]/turns#2[3]/")
    ('each[7]/', 'turns', 2, 3)
    """
    cut = frame.rfind("/", 0, -1) + 1
    found = _PART.fullmatch(frame, cut)
    if found is None:  # no name that an op can have
        return frame[:cut], frame[cut:-1], 1, None
    op, attempt, number = found.groups()
    return frame[:cut], op, int(attempt or 1), None if number is None else int(number)


@dataclass(slots=True)
class State:
    """What is known of a run."""

    kept_once: frozenset[Key] = frozenset()
    """See :attr:`orchestrator.runtime.program.program.Program.kept_once`."""
    started: RunStarted | None = None
    done: RunDone | None = None
    frames: dict[str, Known] = field(default_factory=dict)
    """What was executed, by its path."""
    unfinished: dict[Key, float] = field(default_factory=dict)
    """Ops with an attempt that started and has not ended, and when it did."""
    failures: dict[Key, int] = field(default_factory=dict)
    """Attempts that have failed, by frame and op."""
    forgiven: dict[Key, int] = field(default_factory=dict)
    """Those of them that were made before the op was given up: a resumed run has all attempts again."""
    caught: dict[Key, OpCaught] = field(default_factory=dict)
    """It has which handler has taken the failure of an attempt's body."""
    opened: Counter[str] = field(default_factory=Counter)
    """How often each cleanup was started."""
    ran: dict[str, Ran] = field(default_factory=dict)
    """It has, by occurrence, what has been started, and may have happened."""
    timers: dict[Key, TimerSet] = field(default_factory=dict)
    """Sleeps that are not over."""
    asked: dict[Key, Asked] = field(default_factory=dict)
    """Questions that are open."""
    answered: dict[Key, Answered] = field(default_factory=dict)
    """Answers that nobody has taken yet."""
    spending: Spending = field(default_factory=Spending)
    spent: list[tuple[str, Need]] = field(default_factory=list)
    """The same one by one, by the path of the op."""
    is_sorted: bool = True
    """Whether those are in the order of the paths."""
    reserved: dict[Key, Reserved] = field(default_factory=dict)
    """Model calls of which it is not known what they used."""
    op_s: dict[Key, float] = field(default_factory=dict)
    """Seconds of the attempts that have ended, by frame and op."""
    corrections: dict[Key, Correction] = field(default_factory=dict)
    """It has what is wrong with the latest reply of a model call."""
    budget: Limits | None = None
    """Given to the run in place of the workflow's own."""
    at: float | None = None
    """Time of the last event while the run was executed."""
    decided: dict[Key, Decided] = field(default_factory=dict)
    """What is to be done about what an earlier version has written."""
    began: float = 0.0
    """When the run was taken up last."""
    since: tuple[float, float] = (0.0, 0.0)
    """A time from which on the run was executed, and how long it had been before."""

    @property
    def active_s(self) -> float:
        """So long the run was executed: how much of a budget of seconds is used up."""
        began, before_s = self.since
        return before_s if self.at is None else before_s + max(self.at - began, 0.0)

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

    def known(self, frame: str) -> Known:
        """What is known of a frame; it is noted in the frame around."""
        found = self.frames.get(frame)
        if found is None:
            found = self.frames[frame] = Known()
            if frame:
                around, op, _, _ = part_of(frame)
                self.known(around).inside.setdefault(op, []).append(frame)
        return found


def replay(program: Program, events: Iterable[Event]) -> State:
    """Fold ``events``. Raises ``RunError`` ORCH-R021 if they belong to another program."""
    state = State(program.kept_once)
    for event in events:
        apply(state, event)
    if state.started is not None and state.done is None and state.started.program != program.fingerprint:
        raise other_version(program.name, state.started.run_id, state.started.program, program.fingerprint)
    return state


def apply(state: State, event: Event) -> None:
    """One step of the fold."""
    if isinstance(event, RunResumed):
        _close_attempts(state)
        state.at = event.at
    elif not (isinstance(event, OpSettled) and event.by == A_PERSON):  # who does so while the run is not executed
        state.at = event.at if state.at is None else max(state.at, event.at)
    _FOLDS[type(event)](state, event)


def _started(state: State, event: RunStarted) -> None:
    state.started, state.budget = event, event.budget
    state.since, state.began = (event.at, 0.0), event.at


def _resumed(state: State, event: RunResumed) -> None:
    state.budget = event.budget or state.budget
    state.since, state.began = (event.at, event.active_s), event.at


def _totals(state: State, event: Totals) -> None:
    state.since, state.began = (event.at, event.active_s), event.began or state.began


def _run_done(state: State, event: RunDone) -> None:
    state.done = event


def _run_failed(_state: State, _event: RunFailed) -> None:
    """A run that failed may be resumed, as if it had been interrupted."""


def _touch(state: State, frame: str, op: str) -> Known:
    known = state.known(frame)
    known.touched.add(op)
    return known


def _op_started(state: State, event: OpStarted) -> None:
    _touch(state, event.frame, event.op)
    state.unfinished[event.frame, event.op] = event.at
    if event.before_s:  # what says more of that may not count any more
        state.op_s[event.frame, event.op] = event.before_s
    state.ran[occurrence(event.frame, event.op)] = Ran(event.frame, event.op, "lost", INTERRUPTED)


def _op_done(state: State, event: OpDone) -> None:
    known = _touch(state, event.frame, event.op)
    known.done[event.op] = event
    _end(state, event)
    if event.usage is not None:
        _spend(state, event.frame, event.op, event.usage, event.cost_usd)
    _supersede(state, known, event.op)
    known.turns.pop(event.op, None)
    for each in (state.failures, state.forgiven, state.caught, state.op_s, state.corrections, state.timers):
        each.pop((event.frame, event.op), None)
    for other in (state.asked, state.answered):
        other.pop((event.frame, event.op), None)
    state.ran[occurrence(event.frame, event.op)] = Ran(event.frame, event.op, "done")


def _turn_done(state: State, event: TurnDone) -> None:
    known = _touch(state, event.frame, event.op)
    _supersede(state, known, event.op)
    known.turns[event.op] = event.attempt, event.turn + 1, event.values


def _item_done(state: State, event: ItemDone) -> None:
    known = state.known(event.frame)
    _clear(state, event.frame, known)
    known.yielded = event.values


def _op_caught(state: State, event: OpCaught) -> None:
    _touch(state, event.frame, event.op)
    state.caught[event.frame, event.op] = event


def _cleanup_started(state: State, event: CleanupStarted) -> None:
    state.known(event.frame)
    state.opened[event.frame] += 1


def _op_failed(state: State, event: OpFailed) -> None:
    _touch(state, event.frame, event.op)
    _end(state, event)
    for each in (state.asked, state.answered):
        each.pop((event.frame, event.op), None)
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
    _touch(state, event.frame, event.op)
    state.corrections[event.frame, event.op] = Correction(dict(event.kept), (event.reply, event.request))


def _op_unsettled(state: State, event: OpUnsettled) -> None:
    _touch(state, event.frame, event.op)
    _end(state, event)
    state.failures[event.frame, event.op] = event.attempt
    state.ran[occurrence(event.frame, event.op)] = Ran(event.frame, event.op, "lost", event.reason)


def _op_settled(state: State, event: OpSettled) -> None:
    known = _touch(state, event.frame, event.op)
    key = occurrence(event.frame, event.op)
    state.unfinished.pop((event.frame, event.op), None)
    if event.verdict == "happened":
        known.done[event.op] = OpDone(event.frame, event.op, event.values, event.at)
        state.ran[key] = Ran(event.frame, event.op, "done")
    elif event.verdict == "failed":
        state.ran[key] = Ran(event.frame, event.op, "failed", event.message or "", SETTLED_AS_FAILED)
    else:
        state.ran.pop(key, None)


def _timer_set(state: State, event: TimerSet) -> None:
    _touch(state, event.frame, event.op)
    state.timers[event.frame, event.op] = event


def _asked(state: State, event: Asked) -> None:
    _touch(state, event.frame, event.op)
    state.asked[event.frame, event.op] = event


def _answered(state: State, event: Answered) -> None:
    _touch(state, event.frame, event.op)
    state.asked.pop((event.frame, event.op), None)
    state.answered[event.frame, event.op] = event


def _version_changed(_state: State, _event: VersionChanged) -> None:
    """Whoever takes the run over knows where the earlier versions are."""


def _forked(_state: State, _event: Forked) -> None:
    """What the other run had done is that of an earlier version."""


def _decided(state: State, event: Decided) -> None:
    _touch(state, event.frame, event.op)
    state.decided[event.frame, event.op] = event


def _reserved(state: State, event: Reserved) -> None:
    _touch(state, event.frame, event.op)
    state.reserved[event.frame, event.op] = event


def _spent(state: State, event: Spent) -> None:
    _spend(state, event.frame, event.op, event.usage, event.cost_usd)


_FOLDS: Final[dict[type[Event], Callable[[State, Any], None]]] = {
    RunStarted: _started,
    RunResumed: _resumed,
    Totals: _totals,
    VersionChanged: _version_changed,
    Decided: _decided,
    Forked: _forked,
    RunDone: _run_done,
    RunFailed: _run_failed,
    OpStarted: _op_started,
    OpDone: _op_done,
    TurnDone: _turn_done,
    ItemDone: _item_done,
    OpFailed: _op_failed,
    OpCaught: _op_caught,
    CleanupStarted: _cleanup_started,
    ReplyUnfit: _reply_unfit,
    OpUnsettled: _op_unsettled,
    OpSettled: _op_settled,
    TimerSet: _timer_set,
    Asked: _asked,
    Answered: _answered,
    Reserved: _reserved,
    Spent: _spent,
}


def _supersede(state: State, known: Known, op: str) -> None:
    """Forget everything inside an op."""
    for frame in known.inside.pop(op, ()):
        _clear(state, frame, state.frames.pop(frame))


def _clear(state: State, frame: str, known: Known) -> None:
    """Forget everything inside a frame, but not of what nobody knows whether it happened, nor what may be asked for
    again when something around it is tried again."""
    region = region_key(frame)
    for op in known.touched:
        _supersede(state, known, op)
        for each in (state.unfinished, state.failures, state.forgiven, state.caught, state.timers):
            each.pop((frame, op), None)
        for other in (state.reserved, state.op_s, state.corrections, state.asked, state.answered):
            other.pop((frame, op), None)
        key = occurrence(frame, op)
        ran = state.ran.get(key)
        if ran is not None and ran.outcome != "lost" and (region, op) not in state.kept_once:
            del state.ran[key]
    for op in list(known.inside):
        _supersede(state, known, op)
    state.opened.pop(frame, None)
    known.done, known.touched, known.turns = {}, set(), {}


def _close_attempts(state: State) -> None:
    """What was under way when the run was interrupted took its time until the last event."""
    for key, since in state.unfinished.items():
        if state.at is not None:
            state.op_s[key] = state.op_s.get(key, 0.0) + max(state.at - max(since, state.began), 0.0)
    state.unfinished.clear()


def _end(state: State, event: OpDone | OpFailed | OpUnsettled) -> None:
    key = (event.frame, event.op)
    state.reserved.pop(key, None)
    since = state.unfinished.pop(key, None)
    if since is not None:
        state.op_s[key] = state.op_s.get(key, 0.0) + max(event.at - since, 0.0)


def _spend(state: State, frame: str, op: str, usage: Usage, cost_usd: float | None) -> None:
    state.reserved.pop((frame, op), None)
    state.spending.add(usage, cost_usd)
    state.spent.append((frame + op, Need(usage.input_tokens + usage.output_tokens, cost_usd or 0.0)))
    state.is_sorted = False
