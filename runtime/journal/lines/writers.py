"""The line of each kind of event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

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
)
from orchestrator.runtime.journal.lines.line import Line, dumps, made, quoted, used
from orchestrator.runtime.journal.lines.texts import Texts
from orchestrator.runtime.program.specs import Limits


def _of_run(kind: str, at: float, *parts: str) -> Line:
    return made(kind, at, "", *parts)


def _limits(limits: Limits | None) -> str:
    return dumps(limits and asdict(limits))


def _write_started(texts: Texts, event: RunStarted) -> Line:
    about = {"run": event.run_id, "workflow": event.workflow, "version": event.program}
    about |= {"tenant": event.tenant} if event.tenant else {}
    return _of_run("run", event.at, dumps(about), texts.inputs(event.inputs), _limits(event.budget))


def _write_resumed(texts: Texts, event: RunResumed) -> Line:
    return _of_run("resumed", event.at, _limits(event.budget), repr(event.active_s))


def _write_totals(texts: Texts, event: Totals) -> Line:
    return _of_run("totals", event.at, repr(event.active_s), *([repr(event.began)] if event.began else []))


def _write_version(texts: Texts, event: VersionChanged) -> Line:
    return _of_run("version", event.at, dumps(event.before), repr(event.rows))


def _write_forked(texts: Texts, event: Forked) -> Line:
    return _of_run("forked", event.at, dumps(event.run_id), dumps(event.before))


def _write_decided(texts: Texts, event: Decided) -> Line:
    return texts.line("decided", event, dumps(event.verdict))


def _write_result(texts: Texts, event: RunDone) -> Line:
    return _of_run("result", event.at, texts.result(event.value))


def _write_failure(texts: Texts, event: RunFailed) -> Line:
    where = event.where and [event.where.file, event.where.line, event.where.function]
    return _of_run("failure", event.at, dumps(event.code), texts.said(event.message), dumps(event.op), dumps(where))


def _write_op_started(texts: Texts, event: OpStarted) -> Line:
    is_once = texts.begins_once(event.frame, event.op)
    said = [repr(event.attempt), dumps(is_once), repr(event.before_s)]
    return texts.line("started", event, *said[: 3 if event.before_s else 2 if is_once else 1])


def _write_done(texts: Texts, event: OpDone) -> Line:
    frame, op, values, at, usage, cost_usd, finish, inputs, took_s, engine = event
    path, gives = texts.place(frame, op)
    given = "null" if inputs is None else quoted(inputs)
    text = f'["{gives.kind}",{at!r},{quoted(path)},{texts.gave(gives.types, values)},{given}'
    if usage is not None:
        shared = "" if engine is None else f",{quoted(engine)}"
        text += f",{used(usage)},{dumps(cost_usd)},{dumps(finish)}{shared}]"
        return Line(gives.kind, path, text, None, (usage, cost_usd), at)
    return Line(gives.kind, path, f"{text}]" if took_s is None else f"{text},{took_s!r}]", None, None, at)


def _write_turn(texts: Texts, event: TurnDone) -> Line:
    state = texts.handed_on(texts.op(event.frame, event.op), event.frame, event.values)
    return texts.line("turn", event, repr(event.attempt), repr(event.turn))._replace(state=state)


def _write_item(texts: Texts, event: ItemDone) -> Line:
    path = texts.path(event.frame)
    return made("item", event.at, path, texts.yielded(event.frame, event.values))


def _write_cleanup(texts: Texts, event: CleanupStarted) -> Line:
    path = texts.path(event.frame)
    return made("cleanup", event.at, path)


def _write_failed(texts: Texts, event: OpFailed) -> Line:
    tried = [dumps(each) for each in (event.attempt, event.code)]
    then = [dumps(each) for each in (event.retry_in_s, event.began)]
    raised = event.raised and asdict(event.raised)
    return texts.line("failed", event, *tried, texts.said(event.message), *then, texts.said(raised))


def _write_caught(texts: Texts, event: OpCaught) -> Line:
    return texts.line("caught", event, repr(event.attempt), repr(event.handler), texts.said(asdict(event.error)))


def _write_unfit(texts: Texts, event: ReplyUnfit) -> Line:
    return texts.line("unfit", event, *map(texts.said, (event.kept, event.reply, event.request)))


def _write_unsettled(texts: Texts, event: OpUnsettled) -> Line:
    return texts.line("unsettled", event, repr(event.attempt), texts.said(event.reason))


def _write_settled(texts: Texts, event: OpSettled) -> Line:
    values = texts.values(texts.op(event.frame, event.op), event.frame, event.values)
    return texts.line("settled", event, dumps(event.verdict), dumps(event.by), values, texts.said(event.message))


def _write_timer(texts: Texts, event: TimerSet) -> Line:
    return texts.line("timer", event, repr(event.wake_at))


def _write_asked(texts: Texts, event: Asked) -> Line:
    """With what it is called now, which whoever answers may go by without the program."""
    said = (event.frame + event.op, event.question, event.schema, event.choices, event.expires_at, event.inputs)
    return texts.line("asked", event, *map(dumps, said))


def _write_answered(texts: Texts, event: Answered) -> Line:
    value = texts.values(texts.op(event.frame, event.op), event.frame, (event.value,))
    return texts.line("answered", event, value, dumps(event.by))


def _write_reserved(texts: Texts, event: Reserved) -> Line:
    line = texts.line("reserved", event, used(event.most), dumps(event.cost_usd))
    return line._replace(spent=(event.most, event.cost_usd))


def _write_spent(texts: Texts, event: Spent) -> Line:
    return texts.line("spent", event, used(event.usage), dumps(event.cost_usd))._replace(
        spent=(event.usage, event.cost_usd)
    )


WRITERS: Final[dict[type[Event], Callable[[Texts, Any], Line]]] = {
    RunStarted: _write_started,
    RunResumed: _write_resumed,
    Totals: _write_totals,
    VersionChanged: _write_version,
    Decided: _write_decided,
    Forked: _write_forked,
    RunDone: _write_result,
    RunFailed: _write_failure,
    OpStarted: _write_op_started,
    OpDone: _write_done,
    TurnDone: _write_turn,
    ItemDone: _write_item,
    CleanupStarted: _write_cleanup,
    OpFailed: _write_failed,
    OpCaught: _write_caught,
    ReplyUnfit: _write_unfit,
    OpUnsettled: _write_unsettled,
    OpSettled: _write_settled,
    TimerSet: _write_timer,
    Asked: _write_asked,
    Answered: _write_answered,
    Reserved: _write_reserved,
    Spent: _write_spent,
}
