"""What happens in a run, as a sequence of small immutable records: the journal's content and the observers' feed.

The state of a run is a fold over these events (:mod:`orchestrator.runtime.journal.replay`); nothing else is kept.
A *frame* is one execution of a region: ``""`` is the workflow's body, ``"turns[3]/"`` the fourth iteration of the loop
``turns``, ``"each[7]/branch_1.then/"`` an arm inside the eighth item of a map, ``"turns#2[0]/"`` a second attempt of
the whole loop. A *slot* numbers a value in its frame.

Events are named tuples, because a run makes several for each op; ``encode`` and ``decode`` are their JSON form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final, Literal, NamedTuple, get_args

from orchestrator.errors import Error, SourceLoc
from orchestrator.runtime.engines.base import FinishReason, Usage
from orchestrator.runtime.specs import Limits

EVENT_VERSION: Final = 3
"""Raised by one whenever a reader of the previous version would misread an encoded event."""


Verdict = Literal["happened", "failed", "did not happen"]


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


class FrameOpened(NamedTuple):
    """A region that waits for something starts: a loop's iteration, a map's item, an arm."""

    frame: str
    at: float


class RunResumed(NamedTuple):
    """The run goes on after an interruption; the time before this was nobody's."""

    at: float
    budget: Limits | None = None
    """It takes the place of the budget that the run had before."""


class OpStarted(NamedTuple):
    """An op that runs outside the coordinator is about to start; durable before it does.

    One that must run at most once is about to when its turn has come, others as soon as they wait for it.
    """

    frame: str
    op: str
    attempt: int
    at: float


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
    first: int
    values: tuple[object, ...]
    """The op's results, if it happened."""
    message: str | None
    """What it failed with, if it did."""
    at: float


class TimerSet(NamedTuple):
    """An op sleeps until ``wake_at``, a Unix time in seconds; durable before it waits, and set once, however often the
    run is resumed."""

    frame: str
    op: str
    wake_at: float
    at: float


class OpsDone(NamedTuple):
    """The results of consecutive slots: of one op that was started, or of a whole segment of inline ops."""

    frame: str
    first: int
    values: tuple[object, ...]
    at: float
    op: str | None = None
    """The op that was started; None for a segment."""
    usage: Usage | None = None
    cost_usd: float | None = None
    finish: tuple[FinishReason, ...] | None = None
    """Why each sample of a model call ended."""


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


Event = (
    RunStarted | RunResumed | FrameOpened | OpStarted | OpFailed | OpCaught | ReplyUnfit | OpUnsettled | OpSettled
    | TimerSet | OpsDone | Reserved | Spent | RunDone | RunFailed
)  # fmt: skip
"""What is journaled."""
Shown = Token | ToolItem | MapProgress | KvTurn
"""What only observers see."""
Feed = Event | Shown
"""What observers see."""

_KINDS: Final[dict[str, type[Event]]] = {cls.__name__: cls for cls in get_args(Event)}
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


Dump = Callable[[str, int, object], object]
"""JSON form of a value, from (static region, slot, value); slot -1 is the workflow's result."""


def encode(event: Event, dump: Dump) -> dict[str, object]:
    """A JSON-able form of ``event``, with the version of the format."""
    data: dict[str, object] = {"v": EVENT_VERSION, "kind": type(event).__name__, **event._asdict()}
    if isinstance(event, (RunStarted, RunResumed)):
        data["budget"] = event.budget and asdict(event.budget)
    if isinstance(event, RunStarted):
        data["inputs"] = [dump("", slot, value) for slot, value in enumerate(event.inputs)]
    elif isinstance(event, (OpsDone, OpSettled)):
        key = region_key(event.frame)
        data["values"] = [dump(key, event.first + n, value) for n, value in enumerate(event.values)]
        if isinstance(event, OpsDone):
            data["usage"] = event.usage and _tokens(event.usage)
    elif isinstance(event, OpFailed):
        data["raised"] = event.raised and asdict(event.raised)
    elif isinstance(event, OpCaught):
        data["error"] = asdict(event.error)
    elif isinstance(event, Reserved):
        data["most"] = _tokens(event.most)
    elif isinstance(event, Spent):
        data["usage"] = _tokens(event.usage)
    elif isinstance(event, RunDone):
        data["value"] = dump("", -1, event.value)
    elif isinstance(event, RunFailed):
        data["where"] = event.where and [event.where.file, event.where.line, event.where.function]
    return data


def _tokens(usage: Usage) -> list[int | None]:
    return [usage.input_tokens, usage.cached_tokens, usage.output_tokens, *([True] if usage.estimated else [])]


def _error(data: Mapping[str, Any]) -> Error:
    return Error(**{**data, "bases": tuple(data["bases"])})


def decode(data: Mapping[str, Any], load: Dump) -> Event:
    """The event that :func:`encode` wrote. Raises ``ValueError`` for another version or kind."""
    fields = dict(data)
    version, kind = fields.pop("v", None), fields.pop("kind", "")
    if version != EVENT_VERSION or kind not in _KINDS:
        raise ValueError(f"event of version {version} and kind {kind!r}; this reads version {EVENT_VERSION}")
    cls = _KINDS[kind]
    if budget := fields.get("budget"):
        fields["budget"] = Limits(**budget)
    if cls is RunStarted:
        fields["inputs"] = tuple(load("", slot, value) for slot, value in enumerate(fields["inputs"]))
    elif cls in (OpsDone, OpSettled):
        key, first = region_key(fields["frame"]), fields["first"]
        fields["values"] = tuple(load(key, first + n, value) for n, value in enumerate(fields["values"]))
        if cls is OpsDone:
            fields["usage"] = fields["usage"] and Usage(*fields["usage"])
            fields["finish"] = fields["finish"] and tuple(fields["finish"])
    elif cls in (OpFailed, OpCaught):
        name = "error" if cls is OpCaught else "raised"
        fields[name] = fields.get(name) and _error(fields[name])
    elif cls in (Reserved, Spent):
        name = "most" if cls is Reserved else "usage"
        fields[name] = Usage(*fields[name])
    elif cls is ReplyUnfit:
        fields["kept"] = tuple((sample, text) for sample, text in fields["kept"])
    elif cls is RunDone:
        fields["value"] = load("", -1, fields["value"])
    elif cls is RunFailed:
        fields["where"] = fields["where"] and SourceLoc(*fields["where"])
    return cls(**fields)
