"""What is written of a run's events: one line of JSON each, by the keys of ops, and back.

A line is ``[kind, at, path, …]``. What a loop's turn hands on stands behind it and a tab, or what differs from the turn
before (:mod:`~orchestrator.runtime.journal.lines.live`). Its path is made of keys
(:mod:`~orchestrator.runtime.journal.lines.paths`), and its values are written by the types that the program gives
them, at once: whoever has them may change them a moment later. A line is read by the program that executes the run
now; a path that this has not got is another version's.

Lines have a version, which every row of a log begins with. Whoever changes what a line means raises it by one and adds
to ``UPGRADES`` how to read the lines of the version before; ``tests/runtime/journal/golden/`` keeps a log of each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from pydantic_core import to_json

from orchestrator.errors import Error, SourceLoc
from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.journal.artifacts.apart import Apart, value_of
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
from orchestrator.runtime.journal.lines.chats import Chats
from orchestrator.runtime.journal.lines.paths import paths_of
from orchestrator.runtime.journal.lines.stored import Types, decode, loads, types_of
from orchestrator.runtime.program.program import Op, Program
from orchestrator.runtime.program.specs import Ask, Limits, ToolCall

VERSION: Final = 5
Data = list[Any]
"""A line as JSON gives it."""
UPGRADES: Final[dict[int, Callable[[Data], Data]]] = {4: lambda data: data}
"""It has, by version, what makes a line of the next version of one."""

_WITH_SECONDS: Final = 3
"""A result without usage has so many parts at most: values, digest of the inputs, seconds since its attempt began."""
WROTE: Final = "wrote"
"""A result of an op that has changed something outside, or that a person has given."""
RESULTS: Final = frozenset({"done", WROTE})
EARLIER: Final = "earlier"
"""The path of what earlier versions of the program have spent."""

_dumps: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_quoted: Final = json.encoder.encode_basestring
"""The JSON of a text."""


class Line(NamedTuple):
    """A line, and what the log has to know of it."""

    kind: str
    path: str
    text: str
    state: str | None = None
    """What a loop's turn hands on, which ``text`` is without."""
    spent: tuple[Usage, float | None] | None = None
    """What it says was used, and what that costs where it is known."""
    at: float = 0.0


class _Gives(NamedTuple):
    """How what an op gives is written, wherever it is executed."""

    key: str
    kind: str
    types: tuple[Types, ...]


def upgraded(data: Data, version: int) -> Data:
    """A line of any version as one of this. Raises ``ValueError`` for a version that is newer."""
    if version > VERSION:
        raise ValueError(f"it was written by a newer version: {version}, and this reads {VERSION}")
    while version < VERSION:
        if version not in UPGRADES:
            raise ValueError(f"version {version} is none that was ever written")
        data = UPGRADES[version](data)
        version += 1
    return data


class Wire:
    """Writes and reads the events of one run."""

    def __init__(self, program: Program, chats: Chats, apart: Apart | None = None) -> None:
        self._program = program
        self._paths = paths_of(program)
        self._chats = chats
        self.apart = apart
        """Where large values go; None where they stay."""
        self._gives: dict[tuple[str, str], _Gives] = {}
        """By the key of a region and the id of an op."""

    def write(self, event: Event) -> Line:
        """The line of an event. Raises what :func:`~orchestrator.runtime.journal.lines.stored.encode` raises."""
        return _WRITERS[type(event)](self, event)

    def read(self, data: Data) -> Event:
        """The event of a line. Raises ``UnknownPathError`` where the program has no such op, and ``ValueError``."""
        kind, at, path, *rest = data
        if kind not in _READERS:
            raise ValueError(f"{kind!r} is no kind of event")
        return _READERS[kind](self, at, path, *rest)

    def line(self, kind: str, event: Any, *parts: str) -> Line:
        """A line about an op."""
        path = self._paths.written(event.frame, event.op)
        return _line(kind, event.at, path, *parts)

    def place(self, frame: str, op: str) -> tuple[str, _Gives]:
        """The path of the op with this id in a frame, and how what it gives is written."""
        path, region = self._paths.frame(frame)
        gives = self._gives.get((region.key, op))
        if gives is None:
            found = self._paths.op(frame, op)
            types = tuple(map(types_of, region.types[found.first : found.first + max(found.count, 1)]))
            gives = _Gives(found.key, WROTE if has_written(found) else "done", types)
            self._gives[region.key, op] = gives
        return path + gives.key, gives

    def gave(self, types: Sequence[Types], values: Sequence[object]) -> str:
        """What an op gave, as text; large values go elsewhere."""
        return self._texts(types, values, self.apart)

    def said(self, data: Any) -> str:
        """What somebody or something has said, as text; elsewhere if it is large."""
        text = _dumps(data)
        return text if self.apart is None else self.apart.written(text)

    def said_again(self, data: Any) -> Any:
        """What was said."""
        return value_of(data, "what was said of a failure", self.apart)

    def op(self, frame: str, op: str) -> Op:
        """The op with this id in a frame."""
        return self._paths.op(frame, op)

    def values(self, op: Op, frame: str, values: Sequence[object]) -> str:
        """What an op gave, as text; large values go elsewhere."""
        return self._texts(list(map(types_of, self._types(op, frame, values))), values, self.apart)

    def handed_on(self, op: Op, frame: str, values: Sequence[object]) -> str:
        """What a turn of a loop hands on, as text."""
        return self._texts(list(map(types_of, self._types(op, frame, values))), values)

    def values_again(self, op: Op, frame: str, data: Sequence[Any]) -> tuple[object, ...]:
        """What an op gave."""
        return self._again(self._types(op, frame, data), data, f"what `{frame}{op.id}` gave")

    def inputs(self, values: Sequence[object]) -> str:
        """What a workflow is given, as text."""
        return self._texts(list(map(types_of, self._program.body.types[: len(values)])), values, self.apart)

    def inputs_again(self, data: Sequence[Any]) -> tuple[object, ...]:
        """What a workflow is given."""
        return self._again(self._program.body.types[: len(data)], data)

    def yielded(self, frame: str, values: Sequence[object]) -> str:
        """What a region gave, as text."""
        region = self._paths.frame(frame)[1]
        return self._texts([types_of(region.types[slot]) for slot in region.yields], values, self.apart)

    def yielded_again(self, frame: str, data: Sequence[Any]) -> tuple[object, ...]:
        """What a region gave."""
        region = self._paths.frame(frame)[1]
        return self._again([region.types[slot] for slot in region.yields], data, f"what `{frame}` gave")

    def result(self, value: object) -> str:
        """What the workflow gave, as text."""
        return self._texts([types_of(self._program.returns)], [value], self.apart)[1:-1]

    def result_again(self, data: Any) -> object:
        """What the workflow gave."""
        return self._again([self._program.returns], [data], f"what `{self._program.name}` gave")[0]

    def path(self, frame: str) -> str:
        """The path of a frame."""
        return self._paths.frame(frame)[0]

    def frame(self, path: str) -> str:
        """The frame of a path."""
        return self._paths.frame(path, by_key=True)[0]

    def named(self, path: str) -> tuple[str, str]:
        """The frame and the id of an op's path."""
        return self._paths.read(path)

    def _types(self, op: Op, frame: str, values: Sequence[object]) -> Sequence[Any]:
        return self._paths.frame(frame)[1].types[op.first : op.first + len(values)]

    def _texts(self, types: Sequence[Types], values: Sequence[object], apart: Apart | None = None) -> str:
        """The last comes first: a conversation names the reply in front of it, which need not be written again then."""
        if not values:
            return "[]"
        if len(values) == 1:
            text = types[0].text(values[0], self._chats)
            return f"[{text if apart is None else apart.written(text)}]"
        pairs = list(zip(types, values, strict=True))
        texts = [each.text(value, self._chats) for each, value in reversed(pairs)][::-1]
        return f"[{','.join(texts if apart is None else map(apart.written, texts))}]"

    def _again(self, types: Sequence[Any], data: Sequence[Any], of: str = "an input") -> tuple[object, ...]:
        whole = [value_of(each, of, self.apart) for each in data]
        return tuple([decode(tp, each, self._chats) for tp, each in zip(types, whole, strict=True)])


def _line(kind: str, at: float, path: str, *parts: str) -> Line:
    return Line(kind, path, f'["{kind}",{",".join((repr(at), _quoted(path), *parts))}]', None, None, at)


def spent_line(path: str, usage: Usage, cost_usd: float | None, at: float) -> Line:
    """What was used inside of an op whose own lines are gone."""
    return _line("spent", at, path, _used(usage), _dumps(cost_usd))


def totals_line(at: float, active_s: float) -> Line:
    """How long a run was executed, in front of what a snapshot keeps."""
    return _line("totals", at, "", repr(active_s))


def has_written(op: Op) -> bool:
    """Whether a result of the op means that something outside has changed, or that a person has answered."""
    return isinstance(op.spec, Ask) or (isinstance(op.spec, ToolCall) and op.spec.effects in {"idempotent", "once"})


def line_of(text: str, version: int = VERSION) -> Line:
    """A line that was written in a version, as one of this."""
    data = loads(text)
    if version != VERSION:
        data = upgraded(data, version)
        text = text_of(data)
    kind, at, path, *rest = data
    spent = None
    if kind in ("spent", "reserved"):
        spent = Usage(*rest[0]), rest[1]
    elif kind in RESULTS and len(rest) > _WITH_SECONDS:
        spent = Usage(*rest[2]), rest[3]
    return Line(kind, path, text, spent=spent, at=at)


def version_line(before: str, rows: int, at: float) -> str:
    """From here on another version executes the run than that with this fingerprint, which wrote so many rows."""
    return _run("version", at, _dumps(before), repr(rows)).text


def with_version(text: str, version: str) -> str:
    """The first line of a run as one of another version."""
    kind, at, path, about, *rest = loads(text)
    return text_of([kind, at, path, about | {"version": version}, *rest])


def text_of(data: Data) -> str:
    """The text of a line that was read."""
    try:
        return to_json(data).decode()  # whatever ints there are in it
    except ValueError:  # half a surrogate pair
        return _dumps(data)


def with_path(text: str, path: str) -> str:
    """A line about the op with another path."""
    kind, at, _, *rest = loads(text)
    return text_of([kind, at, path, *rest])


def without_spending(text: str) -> str:
    """A ``done`` line whose spending is counted elsewhere."""
    return text_of(loads(text)[:5])


def _run(kind: str, at: float, *parts: str) -> Line:
    return _line(kind, at, "", *parts)


def _limits(limits: Limits | None) -> str:
    return _dumps(limits and asdict(limits))


def _used(usage: Usage | None) -> str:
    if usage is None:
        return "null"
    return _dumps([usage.input_tokens, usage.cached_tokens, usage.output_tokens, *([True] if usage.estimated else [])])


def _write_started(_wire: Wire, event: RunStarted) -> Line:
    about = {"run": event.run_id, "workflow": event.workflow, "version": event.program}
    about |= {"tenant": event.tenant} if event.tenant else {}
    return _run("run", event.at, _dumps(about), _wire.inputs(event.inputs), _limits(event.budget))


def _write_resumed(_wire: Wire, event: RunResumed) -> Line:
    return _run("resumed", event.at, _limits(event.budget), repr(event.active_s))


def _write_totals(_wire: Wire, event: Totals) -> Line:
    return _run("totals", event.at, repr(event.active_s))


def _write_version(_wire: Wire, event: VersionChanged) -> Line:
    return _run("version", event.at, _dumps(event.before), repr(event.rows))


def _write_forked(_wire: Wire, event: Forked) -> Line:
    return _run("forked", event.at, _dumps(event.run_id), _dumps(event.before))


def _write_decided(wire: Wire, event: Decided) -> Line:
    return wire.line("decided", event, _dumps(event.verdict))


def _write_result(wire: Wire, event: RunDone) -> Line:
    return _run("result", event.at, wire.result(event.value))


def _write_failure(wire: Wire, event: RunFailed) -> Line:
    where = event.where and [event.where.file, event.where.line, event.where.function]
    return _run("failure", event.at, _dumps(event.code), wire.said(event.message), _dumps(event.op), _dumps(where))


def _write_op_started(wire: Wire, event: OpStarted) -> Line:
    is_once = "." in event.op or wire.op(event.frame, event.op).is_once  # a tool's run that must begin at most once
    said = [repr(event.attempt), _dumps(is_once), repr(event.before_s)]
    return wire.line("started", event, *said[: 3 if event.before_s else 2 if is_once else 1])


def _write_done(wire: Wire, event: OpDone) -> Line:
    frame, op, values, at, usage, cost_usd, finish, inputs, took_s = event
    path, gives = wire.place(frame, op)
    given = "null" if inputs is None else _quoted(inputs)
    text = f'["{gives.kind}",{at!r},{_quoted(path)},{wire.gave(gives.types, values)},{given}'
    if usage is not None:
        text += f",{_used(usage)},{_dumps(cost_usd)},{_dumps(finish)}]"
        return Line(gives.kind, path, text, None, (usage, cost_usd), at)
    return Line(gives.kind, path, f"{text}]" if took_s is None else f"{text},{took_s!r}]", None, None, at)


def _write_turn(wire: Wire, event: TurnDone) -> Line:
    state = wire.handed_on(wire.op(event.frame, event.op), event.frame, event.values)
    return wire.line("turn", event, repr(event.attempt), repr(event.turn))._replace(state=state)


def _write_item(wire: Wire, event: ItemDone) -> Line:
    path = wire.path(event.frame)
    return _line("item", event.at, path, wire.yielded(event.frame, event.values))


def _write_cleanup(wire: Wire, event: CleanupStarted) -> Line:
    path = wire.path(event.frame)
    return _line("cleanup", event.at, path)


def _write_failed(wire: Wire, event: OpFailed) -> Line:
    tried = [_dumps(each) for each in (event.attempt, event.code)]
    then = [_dumps(each) for each in (event.retry_in_s, event.began)]
    raised = event.raised and asdict(event.raised)
    return wire.line("failed", event, *tried, wire.said(event.message), *then, wire.said(raised))


def _write_caught(wire: Wire, event: OpCaught) -> Line:
    return wire.line("caught", event, repr(event.attempt), repr(event.handler), wire.said(asdict(event.error)))


def _write_unfit(wire: Wire, event: ReplyUnfit) -> Line:
    return wire.line("unfit", event, *map(wire.said, (event.kept, event.reply, event.request)))


def _write_unsettled(wire: Wire, event: OpUnsettled) -> Line:
    return wire.line("unsettled", event, repr(event.attempt), wire.said(event.reason))


def _write_settled(wire: Wire, event: OpSettled) -> Line:
    values = wire.values(wire.op(event.frame, event.op), event.frame, event.values)
    return wire.line("settled", event, _dumps(event.verdict), _dumps(event.by), values, wire.said(event.message))


def _write_timer(wire: Wire, event: TimerSet) -> Line:
    return wire.line("timer", event, repr(event.wake_at))


def _write_asked(wire: Wire, event: Asked) -> Line:
    """With what it is called now, which whoever answers may go by without the program."""
    said = (event.frame + event.op, event.question, event.schema, event.choices, event.expires_at, event.inputs)
    return wire.line("asked", event, *map(_dumps, said))


def _write_answered(wire: Wire, event: Answered) -> Line:
    value = wire.values(wire.op(event.frame, event.op), event.frame, (event.value,))
    return wire.line("answered", event, value, _dumps(event.by))


def _write_reserved(wire: Wire, event: Reserved) -> Line:
    line = wire.line("reserved", event, _used(event.most), _dumps(event.cost_usd))
    return line._replace(spent=(event.most, event.cost_usd))


def _write_spent(wire: Wire, event: Spent) -> Line:
    return wire.line("spent", event, _used(event.usage), _dumps(event.cost_usd))._replace(
        spent=(event.usage, event.cost_usd)
    )


_WRITERS: Final[dict[type[Event], Callable[[Wire, Any], Line]]] = {
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


def _read_limits(data: Mapping[str, Any] | None) -> Limits | None:
    return None if data is None else Limits(**data)


def _read_error(data: Mapping[str, Any] | None) -> Error | None:
    return None if data is None else Error(**{**data, "bases": tuple(data["bases"])})


def _read_run(wire: Wire, at: float, _path: str, about: dict[str, str], inputs: Data, budget: Any) -> RunStarted:
    values, limits = wire.inputs_again(inputs), _read_limits(budget)
    return RunStarted(about["run"], about["workflow"], about["version"], values, at, limits, about.get("tenant"))


def _read_resumed(_wire: Wire, at: float, _path: str, budget: Any, active_s: float) -> RunResumed:
    return RunResumed(at, _read_limits(budget), active_s)


def _read_totals(_wire: Wire, at: float, _path: str, active_s: float) -> Totals:
    return Totals(at, active_s)


def _read_version(_wire: Wire, at: float, _path: str, before: str, rows: int) -> VersionChanged:
    return VersionChanged(before, rows, at)


def _read_forked(_wire: Wire, at: float, _path: str, run_id: str, before: str | None) -> Forked:
    return Forked(run_id, before, at)


def _read_decided(wire: Wire, at: float, path: str, verdict: Decision) -> Decided:
    return Decided(*wire.named(path), verdict, at)


def _read_result(wire: Wire, at: float, _path: str, value: Any) -> RunDone:
    return RunDone(wire.result_again(value), at)


def _read_failure(  # noqa: PLR0917 - a line's parts
    wire: Wire, at: float, _path: str, code: str, message: Any, op: str | None, where: Any
) -> RunFailed:
    return RunFailed(code, wire.said_again(message), op, where and SourceLoc(*where), at)


def _read_started(
    wire: Wire, at: float, path: str, attempt: int, _is_once: bool = False, before_s: float = 0.0
) -> OpStarted:
    return OpStarted(*wire.named(path), attempt, at, before_s)


def _read_done(  # noqa: PLR0917 - a line's parts
    wire: Wire,
    at: float,
    path: str,
    values: Data,
    inputs: str | None,
    usage: Any = None,
    *more: Any,
) -> OpDone:
    frame, op = wire.named(path)
    given = wire.values_again(wire.op(frame, op), frame, values)
    if not more:
        return OpDone(frame, op, given, at, inputs=inputs, took_s=usage)
    cost_usd, finish = more
    return OpDone(frame, op, given, at, Usage(*usage), cost_usd, None if finish is None else tuple(finish), inputs)


def _read_turn(  # noqa: PLR0917 - a line's parts
    wire: Wire, at: float, path: str, attempt: int, turn: int, values: Data
) -> TurnDone:
    frame, op = wire.named(path)
    return TurnDone(frame, op, attempt, turn, wire.values_again(wire.op(frame, op), frame, values), at)


def _read_item(wire: Wire, at: float, path: str, values: Data) -> ItemDone:
    frame = wire.frame(path)
    return ItemDone(frame, wire.yielded_again(frame, values), at)


def _read_cleanup(wire: Wire, at: float, path: str) -> CleanupStarted:
    return CleanupStarted(wire.frame(path), at)


def _read_failed(  # noqa: PLR0917 - a line's parts
    wire: Wire,
    at: float,
    path: str,
    attempt: int,
    code: str,
    message: Any,
    retry_in_s: float | None,
    began: bool,
    raised: Any,
) -> OpFailed:
    said, error = wire.said_again(message), _read_error(wire.said_again(raised))
    return OpFailed(*wire.named(path), attempt, code, said, retry_in_s, at, began, error)


def _read_caught(  # noqa: PLR0917 - a line's parts
    wire: Wire, at: float, path: str, attempt: int, handler: int, error: dict[str, Any]
) -> OpCaught:
    found = _read_error(wire.said_again(error))
    assert found is not None
    return OpCaught(*wire.named(path), attempt, handler, found, at)


def _read_unfit(  # noqa: PLR0917 - a line's parts
    wire: Wire, at: float, path: str, kept: Any, reply: Any, request: Any
) -> ReplyUnfit:
    texts = tuple((sample, text) for sample, text in wire.said_again(kept))
    return ReplyUnfit(*wire.named(path), texts, wire.said_again(reply), wire.said_again(request), at)


def _read_unsettled(wire: Wire, at: float, path: str, attempt: int, reason: Any) -> OpUnsettled:
    return OpUnsettled(*wire.named(path), attempt, wire.said_again(reason), at)


def _read_settled(  # noqa: PLR0917 - a line's parts
    wire: Wire, at: float, path: str, verdict: Any, by: str, values: Data, message: Any
) -> OpSettled:
    frame, op = wire.named(path)
    gave, said = wire.values_again(wire.op(frame, op), frame, values), wire.said_again(message)
    return OpSettled(frame, op, verdict, by, gave, said, at)


def _read_timer(wire: Wire, at: float, path: str, wake_at: float) -> TimerSet:
    return TimerSet(*wire.named(path), wake_at, at)


def _read_asked(  # noqa: PLR0917 - a line's parts
    wire: Wire,
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
    return Asked(*wire.named(path), question, schema, offered, expires_at, at, inputs)


def _read_answered(wire: Wire, at: float, path: str, value: Data, by: str) -> Answered:
    frame, op = wire.named(path)
    return Answered(frame, op, wire.values_again(wire.op(frame, op), frame, value)[0], by, at)


def _read_reserved(wire: Wire, at: float, path: str, most: Data, cost_usd: float | None) -> Reserved:
    return Reserved(*wire.named(path), Usage(*most), cost_usd, at)


def _read_spent(wire: Wire, at: float, path: str, usage: Data, cost_usd: float | None) -> Spent:
    if path == EARLIER:
        return Spent("", EARLIER, Usage(*usage), cost_usd, at)
    return Spent(*wire.named(path), Usage(*usage), cost_usd, at)


_READERS: Final[dict[str, Callable[..., Event]]] = {
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
