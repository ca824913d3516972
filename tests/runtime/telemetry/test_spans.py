"""Spans follow the structure of the run and the names of the GenAI conventions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orchestrator.errors import RunError
from orchestrator.runtime.builder import RegionBuilder
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.executor import execute
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.program import Generate, Program, Structure, ToolCall
from orchestrator.runtime.services import Engines, Services
from orchestrator.runtime.telemetry.spans import SpanListener, recording_listener


async def work(text: str) -> str:
    if text == "bad":
        raise ConnectionError("secret")
    return text


def program() -> Program:
    """A map whose body calls a tool, and a model call on its result."""
    body = RegionBuilder("", 1)
    inner = RegionBuilder("each/", 1, body)
    region = inner.finish(inner.suspend("work", ToolCall(work, "work", "pure", True, "async"), inner.args, types=[str]))
    (texts,) = body.suspend("each", Structure("map", 9), body.args, types=[list[str]], bodies=[("", region, [])])
    prompt = body.inline("prompt", lambda items: f"' '.join({items})", [texts], type=str)
    (reply,) = body.suspend("llm", Generate("small", None), [prompt], types=[str])
    return Program("demo", "hash", ("xs",), body.finish([reply]), str)


async def spans_of(texts: list[str], *, content: bool = False) -> dict[str, ReadableSpan]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    target = program()
    listener: Callable[..., None] = SpanListener(target, provider.get_tracer("test"), content=content)
    services = Services(Engines({"small": ScriptedEngine(["reply"])}))
    with suppress(RunError):
        await execute(target, (texts,), services, MemoryJournal(), "run", listeners=[listener])
    return {span.name: span for span in exporter.get_finished_spans()}


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


async def test_names_nesting_and_usage() -> None:
    spans = await spans_of(["a", "b"])
    assert set(spans) == {"invoke_workflow demo", "op each", "execute_tool work", "op prompt", "chat small"}
    root, each = spans["invoke_workflow demo"], spans["op each"]
    assert root.parent is None
    assert each.parent is not None and root.context is not None and each.context is not None
    assert each.parent.span_id == root.context.span_id
    tool_parent = spans["execute_tool work"].parent
    assert tool_parent is not None and tool_parent.span_id == each.context.span_id
    chat = attributes(spans["chat small"])
    assert chat["gen_ai.operation.name"] == "chat"
    assert chat["gen_ai.request.model"] == "small"
    assert chat["gen_ai.usage.output_tokens"] == 1
    assert attributes(spans["execute_tool work"])["gen_ai.tool.name"] == "work"


async def test_a_failure_ends_every_span_with_its_type_and_without_its_text() -> None:
    spans = await spans_of(["bad"])
    assert attributes(spans["execute_tool work"])["error.type"] == "ORCH-R001"
    assert attributes(spans["invoke_workflow demo"])["error.type"] == "ORCH-R001"
    assert not any("secret" in str(attributes(span)) for span in spans.values())


async def test_content_is_captured_only_when_asked_for() -> None:
    assert "gen_ai.tool.call.result" not in attributes((await spans_of(["a"]))["execute_tool work"])
    spans = await spans_of(["a"], content=True)
    assert attributes(spans["execute_tool work"])["gen_ai.tool.call.result"] == "a"


def test_nothing_listens_where_no_provider_is_configured() -> None:
    assert recording_listener(program()) is None
