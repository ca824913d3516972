"""Spans of a run, derived from its events.

The executor knows nothing of tracing: a :class:`SpanListener` is shown the events like any observer, and only if a
tracer provider is configured. Each execution of an op with all its attempts is one span below the structured op around
it. Of the ops that run on the event loop only tools are spans, without duration, because they have no start of their
own; prompts, projections and constants are none. The run's span has the tokens and the cost of all its calls, failed
and abandoned ones included. Prompts, replies, arguments and results are left out unless ``ORCH_TELEMETRY_CONTENT=1``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import NoOpTracerProvider, ProxyTracerProvider, Span, SpanKind, Status, StatusCode, Tracer

from orchestrator.runtime.engines.base import Engine, Usage
from orchestrator.runtime.journal.events import (
    Computed,
    Feed,
    KvTurn,
    OpCaught,
    OpDone,
    OpFailed,
    OpStarted,
    OpUnsettled,
    RunDone,
    RunFailed,
    RunResumed,
    RunStarted,
    Spent,
    region_key,
)
from orchestrator.runtime.journal.records import Spending, place_of
from orchestrator.runtime.program.program import Inline, Op, Program
from orchestrator.runtime.program.specs import Generate, Structure, ToolCall
from orchestrator.runtime.telemetry import names
from orchestrator.runtime.telemetry.server import server_attributes

CONTENT_VARIABLE = "ORCH_TELEMETRY_CONTENT"
CONTENT_CHARS = 4096
CANCELLED = "cancelled"
"""``error.type`` of what was cut short by something else."""
UNSETTLED = "ORCH-R020"
"""``error.type`` of a tool that must run at most once and of which nobody knows whether it did."""

_Key = tuple[str, str]
"""A frame and an op."""


@dataclass(slots=True, eq=False)
class _Open:
    """An op that has begun and not ended."""

    span: Span
    around: _Key | None
    """The structured op that it is in; None for the workflow itself."""
    inside: dict[_Key, None] = field(default_factory=dict)
    """Those in it, by when they began."""


def recording_listener(program: Program, engines: Mapping[str, Engine], run_id: str) -> Callable[[Feed], None] | None:
    """A listener for one run on ``engines``, or None where nobody has configured a tracer provider."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, (ProxyTracerProvider, NoOpTracerProvider)):
        return None
    content = os.environ.get(CONTENT_VARIABLE) == "1"
    return SpanListener(program, provider.get_tracer("orchestrator"), engines, run_id=run_id, content=content)


class SpanListener:
    """Turns the events of one run into spans. What a run does after it was resumed is a trace of its own."""

    def __init__(
        self,
        program: Program,
        tracer: Tracer,
        engines: Mapping[str, Engine] | None = None,
        *,
        run_id: str,
        content: bool = False,
    ) -> None:
        self._program = program
        self._run_id = run_id
        self._tracer = tracer
        self._engines = engines or {}
        self._content = content
        self._root: Span | None = None
        self._spent = Spending()
        self._open: dict[_Key, _Open] = {}
        self._lost: dict[_Key, Spending] = {}
        """What attempts that gave nothing used, by op."""
        self._in_doubt: set[_Key] = set()
        """Ops whose latest attempt has no outcome."""
        self._ops: dict[str, dict[str, Op]] = {}
        self._inline: dict[str, dict[int, Inline]] = {}

    def __call__(self, event: Feed) -> None:
        """Take an event."""
        if isinstance(event, OpStarted):
            self._started(event)
        elif isinstance(event, OpDone):
            self._done(event)
        elif isinstance(event, Spent):
            self._spent.add(event.usage, event.cost_usd)
            self._lost.setdefault((event.frame, _own(event.op)), Spending()).add(event.usage, event.cost_usd)
        elif isinstance(event, Computed):
            self._segment(event)
        elif isinstance(event, KvTurn):
            self._kept(event)
        elif isinstance(event, OpFailed):
            self._failed(event)
        elif isinstance(event, OpCaught):
            self._cut_short((event.frame, event.op), event.at)
        elif isinstance(event, OpUnsettled):
            self._unsettled(event)
        elif isinstance(event, (RunStarted, RunResumed)):
            name = self._program.name
            self._root = self._start(names.SPAN_WORKFLOW, name, None, event.at)
            self._root.set_attributes({names.WORKFLOW_NAME: name, names.RUN_ID: self._run_id})
        elif isinstance(event, (RunDone, RunFailed)):
            self._ended(event)

    def _start(self, operation: str, subject: str, parent: Span | None, at: float) -> Span:
        context = None if parent is None else trace.set_span_in_context(parent)
        kind = SpanKind.CLIENT if operation == names.SPAN_CHAT else SpanKind.INTERNAL
        span = self._tracer.start_span(f"{operation} {subject}", context, kind, start_time=_ns(at))
        span.set_attribute(names.OPERATION, operation)
        return span

    def _started(self, event: OpStarted) -> None:
        key = (event.frame, event.op)
        self._in_doubt.discard(key)
        if key in self._open:
            self._open[key].span.set_attribute(names.ATTEMPTS, event.attempt)
            return
        op = self._op(event.frame, event.op)
        operation, subject, attributes = self._describe(op)
        around = self._around(event.frame)
        span = self._start(operation, subject, self._span_of(around), event.at)
        span.set_attributes({names.OP_ID: op.id, names.PLACE: place_of(op), names.FRAME: event.frame, **attributes})
        self._open[key] = _Open(span, around)
        if around is not None:
            self._open[around].inside[key] = None

    def _done(self, event: OpDone) -> None:
        if event.usage is not None:
            self._spent.add(event.usage, event.cost_usd)
        spec = self._op(event.frame, event.op).spec
        if isinstance(spec, Structure) and spec.kind == "race":
            self._cut_short((event.frame, event.op), event.at)
        if (event.frame, event.op) not in self._open:
            return
        span = self._take((event.frame, event.op))
        if event.finish is not None:
            span.set_attribute(names.FINISH_REASONS, event.finish)
        if event.engine is not None and isinstance(spec, Generate):
            where = server_attributes(replace(spec, engine=event.engine), self._engines)
            span.set_attributes({names.PLACE: f"engine:{event.engine}", **where})
        spent = self._lost.pop((event.frame, event.op), Spending())
        if event.usage is not None:
            spent.add(event.usage, event.cost_usd)
        _set_spending(span, spent)
        if self._content:
            tool = isinstance(spec, ToolCall)
            span.set_attribute(names.TOOL_RESULT if tool else names.RESULT, _shown(event.values[0]))
        span.end(_ns(event.at))

    def _kept(self, event: KvTurn) -> None:
        """What the call found of its session's KV cache, and what is to become of it."""
        entry = self._open.get((event.frame, event.op))
        if entry is None:
            return
        span = entry.span
        known = {names.KV_TOOL: event.tool, names.KV_PAUSE: event.pause_s, names.KV_TTL: event.pin_ttl_s}
        span.set_attributes({name: value for name, value in known.items() if value is not None})
        span.set_attribute(names.KV_SESSION, event.session)
        if event.recomputed_tokens is not None:
            span.set_attribute(names.KV_RECOMPUTED, event.recomputed_tokens)
        at = _ns(event.at)
        if event.had_tokens and event.recomputed_tokens is not None:
            found = 2 * event.recomputed_tokens < event.had_tokens
            span.add_event(names.EVENT_KV_FOUND if found else names.EVENT_KV_LOST, timestamp=at)
        if event.superseded:
            span.add_event(names.EVENT_KV_SUPERSEDED, {names.KV_SUPERSEDED: event.superseded}, at)
        if event.ends:
            span.add_event(names.EVENT_KV_RELEASED, timestamp=at)

    def _segment(self, event: Computed) -> None:
        inlined = self._inline_ops(region_key(event.frame))
        parent = self._span_of(self._around(event.frame))
        for slot, value in enumerate(event.values, event.first):
            op = inlined.get(slot)
            if op is not None and op.tool is not None:
                span = self._start(names.SPAN_TOOL, op.tool, parent, event.at)
                where = {names.OP_ID: op.id, names.PLACE: "inline", names.FRAME: event.frame}
                span.set_attributes({names.TOOL_NAME: op.tool, **where})
                if self._content:
                    span.set_attribute(names.TOOL_RESULT, _shown(value))
                span.end(_ns(event.at))

    def _unsettled(self, event: OpUnsettled) -> None:
        """The span stays open: a check or another attempt may settle it."""
        entry = self._open.get((event.frame, event.op))
        if entry is not None:
            entry.span.add_event("unsettled", {"attempt": event.attempt}, _ns(event.at))
            self._in_doubt.add((event.frame, event.op))

    def _failed(self, event: OpFailed) -> None:
        key = (event.frame, event.op)
        if isinstance(self._op(*key).spec, Structure):
            self._cut_short(key, event.at)
        if key not in self._open:  # it failed before it was started
            return
        if event.retry_in_s is not None:
            attributes = {names.ERROR_TYPE: event.code, "exception.message": event.message if self._content else ""}
            self._open[key].span.add_event("retry", attributes, _ns(event.at))
        else:
            self._close(key, event.code, event.at)

    def _cut_short(self, key: _Key, at: float) -> None:
        """End what was under way inside an op that has ended: the losers of a race, what a failure cancelled."""
        entry = self._open.get(key)
        for inner in () if entry is None else tuple(entry.inside):
            self._cut_short(inner, at)
            self._close(inner, CANCELLED, at)

    def _take(self, key: _Key) -> Span:
        """The span of an op that is not under way any more."""
        entry = self._open.pop(key)
        if entry.around in self._open:
            del self._open[entry.around].inside[key]
        return entry.span

    def _close(self, key: _Key, error_type: str, at: float) -> None:
        span = self._take(key)
        _set_spending(span, self._lost.pop(key, Spending()))
        self._fail(span, UNSETTLED if key in self._in_doubt else error_type, at)

    def _ended(self, event: RunDone | RunFailed) -> None:
        for key in list(self._open):
            self._close(key, CANCELLED, event.at)
        if self._root is None:
            return
        _set_spending(self._root, self._spent)
        if isinstance(event, RunFailed):
            self._fail(self._root, event.code, event.at)
        else:
            self._root.end(_ns(event.at))

    def _fail(self, span: Span, error_type: str, at: float) -> None:
        span.set_attribute(names.ERROR_TYPE, error_type)
        span.set_status(Status(StatusCode.ERROR))
        span.end(_ns(at))

    def _span_of(self, key: _Key | None) -> Span | None:
        return self._root if key is None else self._open[key].span

    def _around(self, frame: str) -> _Key | None:
        """The op under way that a frame belongs to: that op's own frame and id are how the path ends."""
        cut = frame.rfind("/", 0, len(frame) - 1) + 1
        while frame:
            for end in range(len(frame) - 1, cut, -1):
                key = (frame[:cut], frame[cut:end])
                if key in self._open:
                    return key
            if not cut:
                break
            cut = frame.rfind("/", 0, cut - 1) + 1
        return None

    def _op(self, frame: str, op_id: str) -> Op:
        key = region_key(frame)
        if key not in self._ops:
            self._ops[key] = {op.id: op for op in self._program.regions[key].ops()}
        return self._ops[key][op_id]

    def _inline_ops(self, key: str) -> dict[int, Inline]:
        if key not in self._inline:
            self._inline[key] = {op.slot: op for op in self._program.regions[key].inlined}
        return self._inline[key]

    def _describe(self, op: Op) -> tuple[str, str, dict[str, Any]]:
        """Operation, subject and attributes of a span."""
        spec = op.spec
        if isinstance(spec, Generate):
            server = server_attributes(spec, self._engines)
            asked = {names.MAX_TOKENS: spec.sampling.max_tokens, names.TEMPERATURE: spec.sampling.temperature}
            given = {name: value for name, value in asked.items() if value is not None}
            return names.SPAN_CHAT, str(server[names.REQUEST_MODEL]), {**server, **given}
        if isinstance(spec, ToolCall):
            operation = names.SPAN_RETRIEVAL if spec.retrieve else names.SPAN_TOOL
            return operation, spec.callee, {names.TOOL_NAME: spec.callee}
        kind = spec.kind if isinstance(spec, Structure) else type(spec).__name__.lower()
        return names.SPAN_OP, op.id, {names.OP_KIND: kind}


def _own(op: str) -> str:
    """The op of this run that has spent something, maybe in a run that it has begun.

    >>> _own("files.read_1"), _own("files.read_1.0c4f/each[3]/llm")
    ('files.read_1', 'files.read_1')
    """
    own, slash, _ = op.partition("/")
    return own.rpartition(".")[0] if slash else op


def _set_spending(span: Span, spent: Spending) -> None:
    """Tokens and cost; nothing where there were none, and no cost where any part of it is unknown."""
    usage = spent.usage
    if usage == Usage():
        return
    span.set_attributes({names.INPUT_TOKENS: usage.input_tokens, names.OUTPUT_TOKENS: usage.output_tokens})
    if usage.cached_tokens is not None:
        span.set_attribute(names.CACHED_TOKENS, usage.cached_tokens)
    if not spent.unpriced:
        span.set_attribute(names.COST_USD, spent.cost_usd)


def _shown(value: object) -> str:
    return str(value)[:CONTENT_CHARS]


def _ns(at: float) -> int:
    return int(at * 1e9)
