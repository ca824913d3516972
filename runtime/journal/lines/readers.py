"""The event that a line of each kind says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from orchestrator.errors import Error, SourceLoc
from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.journal.events import (
    Answered,
    Asked,
    CleanupStarted,
    Decided,
    Decision,
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
)
from orchestrator.runtime.journal.lines.line import EARLIER, WROTE, Data
from orchestrator.runtime.journal.lines.texts import Texts
from orchestrator.runtime.program.specs import Limits


def _read_limits(data: Mapping[str, Any] | None) -> Limits | None:
    return None if data is None else Limits(**data)


def _read_error(data: Mapping[str, Any] | None) -> Error | None:
    return None if data is None else Error(**{**data, "bases": tuple(data["bases"])})


def _read_run(texts: Texts, at: float, _path: str, about: dict[str, str], inputs: Data, budget: Any) -> RunStarted:
    values, limits = texts.inputs_again(inputs), _read_limits(budget)
    return RunStarted(about["run"], about["workflow"], about["version"], values, at, limits, about.get("tenant"))


def _read_resumed(_texts: Texts, at: float, _path: str, budget: Any, active_s: float) -> RunResumed:
    return RunResumed(at, _read_limits(budget), active_s)


def _read_totals(_texts: Texts, at: float, _path: str, active_s: float, began: float = 0.0) -> Totals:
    return Totals(at, active_s, began)


def _read_version(_texts: Texts, at: float, _path: str, before: str, rows: int) -> VersionChanged:
    return VersionChanged(before, rows, at)


def _read_forked(_texts: Texts, at: float, _path: str, run_id: str, before: str | None) -> Forked:
    return Forked(run_id, before, at)


def _read_decided(texts: Texts, at: float, path: str, verdict: Decision) -> Decided:
    return Decided(*texts.named(path), verdict, at)


def _read_result(texts: Texts, at: float, _path: str, value: Any) -> RunDone:
    return RunDone(texts.result_again(value), at)


def _read_failure(  # noqa: PLR0917 - a line's parts
    texts: Texts, at: float, _path: str, code: str, message: Any, op: str | None, where: Any
) -> RunFailed:
    return RunFailed(code, texts.said_again(message), op, where and SourceLoc(*where), at)


def _read_started(
    texts: Texts, at: float, path: str, attempt: int, _is_once: bool = False, before_s: float = 0.0
) -> OpStarted:
    return OpStarted(*texts.named(path), attempt, at, before_s)


def _read_done(  # noqa: PLR0917 - a line's parts
    texts: Texts,
    at: float,
    path: str,
    values: Data,
    inputs: str | None,
    usage: Any = None,
    *more: Any,
) -> OpDone:
    frame, op = texts.named(path)
    given = texts.values_again(texts.op(frame, op), frame, values)
    if not more:
        return OpDone(frame, op, given, at, inputs=inputs, took_s=usage)
    cost_usd, finish, *engine = more
    why = None if finish is None else tuple(finish)
    return OpDone(frame, op, given, at, Usage(*usage), cost_usd, why, inputs, engine=engine[0] if engine else None)


def _read_turn(  # noqa: PLR0917 - a line's parts
    texts: Texts, at: float, path: str, attempt: int, turn: int, values: Data
) -> TurnDone:
    frame, op = texts.named(path)
    return TurnDone(frame, op, attempt, turn, texts.values_again(texts.op(frame, op), frame, values), at)


def _read_item(texts: Texts, at: float, path: str, values: Data) -> ItemDone:
    frame = texts.frame(path)
    return ItemDone(frame, texts.yielded_again(frame, values), at)


def _read_cleanup(texts: Texts, at: float, path: str) -> CleanupStarted:
    return CleanupStarted(texts.frame(path), at)


def _read_failed(  # noqa: PLR0917 - a line's parts
    texts: Texts,
    at: float,
    path: str,
    attempt: int,
    code: str,
    message: Any,
    retry_in_s: float | None,
    began: bool,
    raised: Any,
) -> OpFailed:
    said, error = texts.said_again(message), _read_error(texts.said_again(raised))
    return OpFailed(*texts.named(path), attempt, code, said, retry_in_s, at, began, error)


def _read_caught(  # noqa: PLR0917 - a line's parts
    texts: Texts, at: float, path: str, attempt: int, handler: int, error: dict[str, Any]
) -> OpCaught:
    found = _read_error(texts.said_again(error))
    assert found is not None
    return OpCaught(*texts.named(path), attempt, handler, found, at)


def _read_unfit(  # noqa: PLR0917 - a line's parts
    texts: Texts, at: float, path: str, kept: Any, reply: Any, request: Any
) -> ReplyUnfit:
    fit = tuple((sample, text) for sample, text in texts.said_again(kept))
    return ReplyUnfit(*texts.named(path), fit, texts.said_again(reply), texts.said_again(request), at)


def _read_unsettled(texts: Texts, at: float, path: str, attempt: int, reason: Any) -> OpUnsettled:
    return OpUnsettled(*texts.named(path), attempt, texts.said_again(reason), at)


def _read_settled(  # noqa: PLR0917 - a line's parts
    texts: Texts, at: float, path: str, verdict: Any, by: str, values: Data, message: Any
) -> OpSettled:
    frame, op = texts.named(path)
    gave, said = texts.values_again(texts.op(frame, op), frame, values), texts.said_again(message)
    return OpSettled(frame, op, verdict, by, gave, said, at)


def _read_timer(texts: Texts, at: float, path: str, wake_at: float) -> TimerSet:
    return TimerSet(*texts.named(path), wake_at, at)


def _read_asked(  # noqa: PLR0917 - a line's parts
    texts: Texts,
    at: float,
    path: str,
    _called: str,
    question: str,
    schema: dict[str, Any],
    choices: list[str] | None,
    expires_at: float | None,
    inputs: str,
) -> Asked:
    offered = None if choices is None else tuple(choices)
    return Asked(*texts.named(path), question, schema, offered, expires_at, at, inputs)


def _read_answered(texts: Texts, at: float, path: str, value: Data, by: str) -> Answered:
    frame, op = texts.named(path)
    return Answered(frame, op, texts.values_again(texts.op(frame, op), frame, value)[0], by, at)


def _read_reserved(texts: Texts, at: float, path: str, most: Data, cost_usd: float | None) -> Reserved:
    return Reserved(*texts.named(path), Usage(*most), cost_usd, at)


def _read_spent(texts: Texts, at: float, path: str, usage: Data, cost_usd: float | None) -> Spent:
    if path == EARLIER:
        return Spent("", EARLIER, Usage(*usage), cost_usd, at)
    return Spent(*texts.named(path), Usage(*usage), cost_usd, at)


READERS: Final[dict[str, Callable[..., Event]]] = {
    "run": _read_run,
    "resumed": _read_resumed,
    "totals": _read_totals,
    "result": _read_result,
    "failure": _read_failure,
    "started": _read_started,
    "done": _read_done,
    WROTE: _read_done,
    "version": _read_version,
    "decided": _read_decided,
    "forked": _read_forked,
    "turn": _read_turn,
    "item": _read_item,
    "cleanup": _read_cleanup,
    "failed": _read_failed,
    "caught": _read_caught,
    "unfit": _read_unfit,
    "unsettled": _read_unsettled,
    "settled": _read_settled,
    "timer": _read_timer,
    "asked": _read_asked,
    "answered": _read_answered,
    "reserved": _read_reserved,
    "spent": _read_spent,
}
