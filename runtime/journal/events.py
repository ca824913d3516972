"""What happens in a run, as a sequence of small immutable records: the journal's content and the observers' feed.

The state of a run is a fold over these events (:mod:`orchestrator.runtime.journal.replay`); nothing else is kept. What
is done supersedes everything below it, so the state is what is still going on.

A *frame* is one execution of a region: ``""`` is the workflow's body, ``"turns[3]/"`` the fourth iteration of the loop
``turns``, ``"each[7]/branch_1.then/"`` an arm inside the eighth item of a map, ``"turns#2[0]/"`` a second attempt of
the whole loop.

Events are named tuples, because a run makes several for each op. What is written of them is
:mod:`orchestrator.runtime.journal.lines.wire`'s; what cheap pure code computes is not, it is computed again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from orchestrator.errors import Error, SourceLoc
from orchestrator.runtime.engines.base import FinishReason, Usage
from orchestrator.runtime.program.specs import Limits

Verdict = Literal["happened", "failed", "did not happen"]
Decision = Literal["keep", "again"]


class RunStarted(NamedTuple):
    """The first event of a run."""

    run_id: str
    workflow: str
    program: str
    """Fingerprint of the program, to which the run stays pinned."""
    inputs: tuple[object, ...]
    """The workflow's arguments, in order."""
    at: float
    """Unix time in seconds, as in every event."""
    budget: Limits | None = None
    """Given to the run in place of the workflow's own."""
    tenant: str | None = None
    """On whose behalf it is."""


class TurnDone(NamedTuple):
    """A turn of a loop is done. Nothing of it is needed any more, nor of the turns before."""

    frame: str
    op: str
    attempt: int
    turn: int
    """It counts from 0."""
    values: tuple[object, ...]
    """What the next turn begins with."""
    at: float


class ItemDone(NamedTuple):
    """The region of one item of a map is done. Nothing of what happened inside is needed any more."""

    frame: str
    values: tuple[object, ...]
    at: float


class CleanupStarted(NamedTuple):
    """What an attempt does in the end, because it failed or was cancelled, starts in a frame of its own."""

    frame: str
    at: float


class RunResumed(NamedTuple):
    """The run goes on after an interruption; the time before this was nobody's."""

    at: float
    budget: Limits | None = None
    """It takes the place of the budget that the run had before."""
    active_s: float = 0.0
    """So long the run was executed before this."""


class OpStarted(NamedTuple):
    """An op that runs outside the coordinator is about to start; durable before it does where whoever resumes the run
    has to know (:mod:`orchestrator.runtime.execution.starts`).

    One that must run at most once is about to when its turn has come, others as soon as they wait for it.
    """

    frame: str
    op: str
    attempt: int
    at: float
    before_s: float = 0.0
    """So much of the op's own budget of seconds was used up by then, where it has one."""


class OpFailed(NamedTuple):
    """An attempt failed. It will be repeated after ``retry_in_s``, or not at all if that is None."""

    frame: str
    op: str
    attempt: int
    code: str
    message: str
    retry_in_s: float | None
    at: float
    began: bool = True
    """False: it ended while it still waited for its turn, so nothing has happened."""
    raised: Error | None = None
    """The exception behind it, as handlers see it; None where the code says as much."""


class OpCaught(NamedTuple):
    """The body of an attempt has failed, and a handler has taken it: the body is not executed again."""

    frame: str
    op: str
    attempt: int
    handler: int
    """Which of its handlers, from 0."""
    error: Error
    at: float


class ReplyUnfit(NamedTuple):
    """A model's reply does not fit; the next attempt, maybe of a resumed run, shows the model what is wrong."""

    frame: str
    op: str
    kept: tuple[tuple[int, str], ...]
    """The samples that fit, which are not asked for again: their numbers and texts."""
    reply: str
    """What does not fit."""
    request: str
    """What is said of it."""
    at: float


class OpUnsettled(NamedTuple):
    """An attempt at a tool that must run at most once ended without an outcome: nobody knows whether it happened."""

    frame: str
    op: str
    attempt: int
    reason: str
    at: float


class OpSettled(NamedTuple):
    """What has become of an attempt without an outcome, as the tool's own check or a person says."""

    frame: str
    op: str
    verdict: Verdict
    by: str
    """``check`` or ``a person``."""
    values: tuple[object, ...]
    """The op's results, if it happened."""
    message: str | None
    """What it failed with, if it did."""
    at: float


class OpDone(NamedTuple):
    """The results of an op that was started."""

    frame: str
    op: str
    values: tuple[object, ...]
    at: float
    usage: Usage | None = None
    cost_usd: float | None = None
    finish: tuple[FinishReason, ...] | None = None
    """Why each sample of a model call ended."""
    inputs: str | None = None
    """The digest of what it was given, which a run that goes on compares; None where nobody has to."""
    took_s: float | None = None
    """Seconds since the attempt that gave them began, where no event in the log says when that was."""
    engine: str | None = None
    """Which engine took a model call, where the plan has several for its op."""


class VersionChanged(NamedTuple):
    """From here on the run is executed by another version of its workflow."""

    before: str
    """Fingerprint of the program that it was executed by."""
    rows: int
    """So many rows of its log are of earlier versions."""
    at: float


class Forked(NamedTuple):
    """The run begins with what another one had done."""

    run_id: str
    """That of the other one."""
    before: str | None
    """The op that it was left at, by its path there; None for all that it had done."""
    at: float


class Decided(NamedTuple):
    """Somebody has said what is to be done about an op that has written something under an earlier version and would do
    otherwise now: ``keep`` what it gave, or do it ``again``."""

    frame: str
    op: str
    verdict: Decision
    at: float


class TimerSet(NamedTuple):
    """A sleep has begun, and is over at ``wake_at``, in whichever process."""

    frame: str
    op: str
    wake_at: float
    """Unix time in seconds."""
    at: float


class Asked(NamedTuple):
    """A question is open; durable before anybody waits for its answer."""

    frame: str
    op: str
    question: str
    schema: Mapping[str, Any]
    """The JSON schema of an answer."""
    choices: tuple[str, ...] | None
    """An answer is one of them, where they are given."""
    expires_at: float | None
    """Unix time in seconds after which nobody waits for it any more."""
    at: float
    inputs: str
    """The digest of what is asked, by which another version of the workflow finds the answer."""


class Answered(NamedTuple):
    """A question has its answer, which fits."""

    frame: str
    op: str
    value: object
    by: str
    """Who says so."""
    at: float


class Reserved(NamedTuple):
    """What a model call that is about to start may use at most; counts until it is known what it used."""

    frame: str
    op: str
    most: Usage
    cost_usd: float | None
    at: float


class Spent(NamedTuple):
    """What a model call used that gave no result, as it was abandoned, or its reply does not fit; or what any call used
    in a run that a tool has begun. Then its ``op`` is the tool's, a point, and the path in that run."""

    frame: str
    op: str
    usage: Usage
    cost_usd: float | None
    at: float


class Computed(NamedTuple):
    """What a segment of inline ops has computed. For observers only; never journaled, as it is computed again."""

    frame: str
    first: int
    """The slot of the first value."""
    values: tuple[object, ...]
    at: float


class Token(NamedTuple):
    """A piece of a reply. For observers only; never journaled."""

    frame: str
    op: str
    sample: int
    text: str
    attempt: int = 1
    """A later attempt begins the reply anew."""


class ToolItem(NamedTuple):
    """What a tool that is a generator has yielded. For observers only; never journaled."""

    frame: str
    op: str
    number: int
    """It counts from 1; a later attempt begins anew."""
    value: object


class MapProgress(NamedTuple):
    """How many items of a map are done. For observers only; never journaled."""

    frame: str
    op: str
    done: int
    items: int
    at: float


class KvTurn(NamedTuple):
    """What a model call meant for the KV cache of its session. For observers only; never journaled."""

    frame: str
    op: str
    session: str
    tool: str | None
    """The tools that run before the session's next turn."""
    pause_s: float | None
    """The median of what the pause was forecast to take."""
    pin_ttl_s: float | None
    """The compiler's bound on how long it is worth keeping."""
    had_tokens: int
    """So many had the conversation that it goes on with, when the engine had last finished a turn of that."""
    recomputed_tokens: int | None
    """So many of those are what the engine had to compute again; None where it does not say."""
    ends: bool
    """Whether the session is over."""
    superseded: int
    """Sessions that it takes the place of."""
    at: float


class RunDone(NamedTuple):
    """The run succeeded."""

    value: object
    at: float


class RunFailed(NamedTuple):
    """The run ended without a result."""

    code: str
    message: str
    op: str | None
    where: SourceLoc | None
    at: float


class Totals(NamedTuple):
    """What the part of a log that a snapshot has taken the place of says of time."""

    at: float
    """Its last event."""
    active_s: float
    """So long the run was executed until then."""
    began: float = 0.0
    """When it was taken up last: nothing that was started before was going on since."""


Event = (
    RunStarted | RunResumed | TurnDone | ItemDone | CleanupStarted | OpStarted | OpFailed | OpCaught | ReplyUnfit |
    OpUnsettled | OpSettled | OpDone | TimerSet | Asked | Answered | Reserved | Spent | Totals | VersionChanged |
    Decided | Forked | RunDone | RunFailed
)  # fmt: skip
"""What is journaled."""
Shown = Computed | Token | ToolItem | MapProgress | KvTurn
"""What only observers see."""
Feed = Event | Shown
"""What observers see."""

_INDEX: Final = re.compile(r"#\d+(?=[\[./])|\[\d+\](?=/)")
_ATTEMPT: Final = re.compile(r"#\d+(?=[\[./])")


def region_key(frame: str) -> str:
    """The static region a frame executes: ``"turns[3]/"`` is an execution of ``"turns/"``."""
    return _INDEX.sub("", frame)


def is_within(inner: str, path: str) -> bool:
    """Whether a frame, or an op, belongs to an execution of the op with this path, or is it.

    >>> is_within("race_1.slow/each[3]/", "race_1"), is_within("race_10.slow/", "race_1")
    (True, False)
    """
    return inner.startswith(path) and inner[len(path) : len(path) + 1] in ("", ".", "[", "#")


def attempt_path(frame: str, op: str, attempt: int) -> str:
    """An attempt at a structured op: ``"turns"``, and ``"turns#2"`` for the second."""
    return frame + op if attempt == 1 else f"{frame}{op}#{attempt}"


def occurrence(frame: str, op: str) -> str:
    """An op as the same in every attempt at the structured ops around it: ``"turns#2[0]/"`` is ``"turns[0]/"``."""
    return (_ATTEMPT.sub("", frame) if "#" in frame else frame) + op
