"""Spans follow the structure of the run and the names of the GenAI conventions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orchestrator.errors import Error, RunError
from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.engines.sim import SimEngine
from orchestrator.runtime.journal.events import (
    Computed,
    Feed,
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
)
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.program.builder import RegionBuilder
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import Generate, Structure, ToolCall
from orchestrator.runtime.services import Engines, Services
from orchestrator.runtime.telemetry.server import server_attributes
from orchestrator.runtime.telemetry.spans import SpanListener, recording_listener
from tests.runtime.executing import execute


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
    engines = Engines({"small": ScriptedEngine(["reply"])})
    tracer = provider.get_tracer("test")
    listener: Callable[..., None] = SpanListener(target, tracer, engines.by_name, run_id="run", content=content)
    services = Services(engines)
    with suppress(RunError):
        await execute(target, (texts,), services, MemoryJournal(), "run", listeners=[listener])
    return {span.name: span for span in exporter.get_finished_spans()}


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


async def test_names_nesting_and_usage() -> None:
    spans = await spans_of(["a", "b"])
    assert set(spans) == {"invoke_workflow demo", "op each", "execute_tool work", "chat scripted"}
    root, each = spans["invoke_workflow demo"], spans["op each"]
    assert root.parent is None
    assert each.parent is not None and root.context is not None and each.context is not None
    assert each.parent.span_id == root.context.span_id
    tool_parent = spans["execute_tool work"].parent
    assert tool_parent is not None and tool_parent.span_id == each.context.span_id
    chat = attributes(spans["chat scripted"])
    assert chat["gen_ai.operation.name"] == "chat"
    assert chat["gen_ai.request.model"] == "scripted"
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
    assert recording_listener(program(), {}, "run") is None


def spans_from(target: Program, *events: Feed) -> dict[str, ReadableSpan]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    listener = SpanListener(target, provider.get_tracer("test"), run_id="run")
    for event in (RunStarted("run", "demo", "hash", (), 0.0), *events):
        listener(event)
    return {span.name: span for span in exporter.get_finished_spans()}


def test_the_run_has_the_totals_of_all_calls_and_a_call_those_of_its_attempts() -> None:
    spans = spans_from(
        program(),
        OpStarted("", "llm", 1, 1.0),
        Spent("", "llm", Usage(10, None, 1), 0.25, 2.0),
        OpFailed("", "llm", 1, "ORCH-R003", "does not fit", 0.0, 2.0),
        OpStarted("", "llm", 2, 2.0),
        OpDone("", "llm", ("x",), 3.0, Usage(10, 4, 5), 0.5),
        RunDone("x", 4.0),
    )
    for name in ("chat small", "invoke_workflow demo"):
        found = attributes(spans[name])
        assert found["gen_ai.usage.input_tokens"] == 20
        assert found["gen_ai.usage.output_tokens"] == 6
        assert found["gen_ai.usage.cache_read.input_tokens"] == 4
        assert found["orch.cost_usd"] == 0.75
    assert [event.name for event in spans["chat small"].events] == ["retry"]


def test_a_tool_has_what_its_runs_spend_whatever_its_name() -> None:
    body = RegionBuilder("", [])
    (found,) = body.suspend("files.read", ToolCall(work, "files.read", "pure", True, "async"), [], types=[str])
    spans = spans_from(
        Program("demo", "hash", (), body.finish([found]), str),
        OpStarted("", "files.read", 1, 1.0),
        Spent("", "files.read.0c4f/each[3]/llm.ask", Usage(7, None, 2), 0.5, 2.0),
        OpDone("", "files.read", ("x",), 3.0),
        RunDone("x", 9.0),
    )
    assert attributes(spans["execute_tool files.read"])["gen_ai.usage.output_tokens"] == 2


def test_a_cost_that_is_unknown_in_part_is_none() -> None:
    done = OpDone("", "llm", ("x",), 3.0, Usage(10, None, 5), None)
    spans = spans_from(program(), OpStarted("", "llm", 1, 1.0), done, RunDone("x", 4.0))
    assert "orch.cost_usd" not in attributes(spans["invoke_workflow demo"])
    assert attributes(spans["invoke_workflow demo"])["gen_ai.usage.input_tokens"] == 10


def test_a_cancelled_run_ends_every_span_with_what_was_spent() -> None:
    spans = spans_from(
        program(),
        OpStarted("", "each", 1, 1.0),
        OpStarted("each[0]/", "work", 1, 1.0),
        OpStarted("", "llm", 1, 1.0),
        Spent("", "llm", Usage(7, None, 2), None, 2.0),
        RunFailed("ORCH-R024", "the run was cancelled", None, None, 3.0),
    )
    assert len(spans) == 4
    assert attributes(spans["execute_tool work"])["error.type"] == "cancelled"
    assert attributes(spans["chat small"])["gen_ai.usage.output_tokens"] == 2
    root = attributes(spans["invoke_workflow demo"])
    assert (root["error.type"], root["gen_ai.usage.input_tokens"]) == ("ORCH-R024", 7)


def test_the_loser_of_a_race_ends_with_the_race_and_not_with_the_run() -> None:
    body = RegionBuilder("", 0)
    arms: list[tuple[str, Any, list[Any]]] = []
    for name in ("fast", "slow"):
        arm = RegionBuilder(f"race.{name}/", 0, body)
        call = ToolCall(work, name, "pure", True, "async")
        arms.append((name, arm.finish(arm.suspend(name, call, [], types=[str])), []))
    (first,) = body.suspend("race", Structure("race", 0), [], types=[str], bodies=arms)
    spans = spans_from(
        Program("demo", "hash", (), body.finish([first]), str),
        OpStarted("", "race", 1, 1.0),
        OpStarted("race.fast/", "fast", 1, 1.0),
        OpStarted("race.slow/", "slow", 1, 1.0),
        OpDone("race.fast/", "fast", ("x",), 2.0),
        OpDone("", "race", ("x",), 2.0),
        RunDone("x", 9.0),
    )
    assert spans["execute_tool slow"].end_time == 2_000_000_000
    assert attributes(spans["execute_tool slow"])["error.type"] == "cancelled"
    assert "error.type" not in attributes(spans["execute_tool fast"])


def test_what_ran_beside_a_failure_ends_when_that_is_caught() -> None:
    body = RegionBuilder("", 0)
    tried = RegionBuilder("attempt.try/", 0, body)
    calls = [ToolCall(work, name, "pure", True, "async") for name in ("bad", "beside")]
    values = [tried.suspend(call.callee, call, [], types=[str])[0] for call in calls]
    caught = RegionBuilder("attempt.except/", [Error], body)
    bodies: list[tuple[str, Any, list[Any]]] = [
        ("try", tried.finish(values[:1]), []),
        ("except", caught.finish(caught.suspend("handle", calls[0], [], types=[str])), []),
    ]
    spec = Structure("attempt", catches=((),))
    (value,) = body.suspend("attempt", spec, [], types=[str], bodies=bodies)
    error = Error("ORCH-R001", "no", "builtins.KeyError")
    spans = spans_from(
        Program("demo", "hash", (), body.finish([value]), str),
        OpStarted("", "attempt", 1, 1.0),
        OpStarted("attempt.try/", "bad", 1, 1.0),
        OpStarted("attempt.try/", "beside", 1, 1.0),
        OpFailed("attempt.try/", "bad", 1, "ORCH-R001", "no", None, 2.0, raised=error),
        OpCaught("", "attempt", 1, 0, error, 3.0),
        OpDone("", "attempt", ("x",), 5.0),
        RunDone("x", 9.0),
    )
    assert spans["execute_tool beside"].end_time == 3_000_000_000
    assert attributes(spans["execute_tool beside"])["error.type"] == "cancelled"
    assert attributes(spans["execute_tool bad"])["error.type"] == "ORCH-R001"
    assert "error.type" not in attributes(spans["op attempt"])


def test_so_does_what_is_inside_of_it() -> None:
    body = RegionBuilder("", 0)
    slow = RegionBuilder("race.slow/", 0, body)
    each = RegionBuilder("race.slow/each/", 1, slow)
    each_body = each.finish(each.suspend("step", ToolCall(work, "step", "pure", True, "async"), [], types=[str]))
    arm = slow.finish(slow.suspend("each", Structure("map", 9), [], types=[list], bodies=[("", each_body, [])]))
    (first,) = body.suspend("race", Structure("race", 0), [], types=[str], bodies=[("slow", arm, [])])
    items = [f"race.slow/each[{item}]/" for item in range(3)]
    spans = spans_from(
        Program("demo", "hash", (), body.finish([first]), str),
        OpStarted("", "race", 1, 1.0),
        OpStarted("race.slow/", "each", 1, 1.0),
        *(OpStarted(item, "step", 1, 1.0) for item in items),
        OpDone(items[0], "step", ("x",), 2.0),
        OpFailed("", "race", 1, "ORCH-R004", "", 0.5, 3.0),
        OpStarted("", "race", 2, 4.0),
        OpStarted("race#2.slow/", "each", 1, 4.0),
        OpDone("", "race", ("x",), 5.0),
        RunDone("x", 9.0),
    )
    assert spans["execute_tool step"].end_time == 3_000_000_000
    assert spans["op each"].end_time == 5_000_000_000
    assert spans["op each"].parent is not None and spans["op race"].context is not None
    assert spans["op each"].parent.span_id == spans["op race"].context.span_id


def test_what_nobody_knows_is_no_mere_cancellation_unless_a_later_attempt_succeeds() -> None:
    events = [OpStarted("each[0]/", "work", 1, 1.0), OpUnsettled("each[0]/", "work", 1, "it took too long", 2.0)]
    span = spans_from(program(), *events, RunDone("x", 3.0))["execute_tool work"]
    assert attributes(span)["error.type"] == "ORCH-R020"
    assert [event.name for event in span.events] == ["unsettled"]
    again = [OpStarted("each[0]/", "work", 2, 3.0), OpDone("each[0]/", "work", ("x",), 4.0)]
    spans = spans_from(program(), *events, *again, RunDone("x", 5.0))
    assert "error.type" not in attributes(spans["execute_tool work"])


def test_an_inline_tool_is_a_span_and_bookkeeping_is_none() -> None:
    body = RegionBuilder("", 1)
    double = body.inline("double_1", lambda x: f"{x} * 2", body.args, tool="double")
    prompt = body.inline("prompt_1", lambda x: f"str({x})", [double])
    spans = spans_from(
        Program("demo", "hash", ("x",), body.finish([prompt]), str), Computed("", 1, (4, "4"), 1.0), RunDone("4", 2.0)
    )
    assert set(spans) == {"execute_tool double", "invoke_workflow demo"}


@pytest.mark.parametrize(
    ("url", "provider", "address", "port"),
    [
        ("https://api.openai.com/v1", "openai", "api.openai.com", 443),
        ("https://me.openai.azure.com/openai", "azure.ai.openai", "me.openai.azure.com", 443),
        ("http://10.0.0.5:8000/v1", "openai", "10.0.0.5", 8000),
        ("https://api.mistral.ai", "mistral_ai", "api.mistral.ai", 443),
        ("http://[::1]:1234/v1", "openai", "::1", 1234),
        ("https://notapi.openai.com.evil.example", "openai", "notapi.openai.com.evil.example", 443),
    ],
)
def test_model_provider_and_address_are_those_of_the_endpoint(url: str, provider: str, address: str, port: int) -> None:
    engine = OpenAIEngine("main", "gpt-large", OpenAIOptions(base_url=url))
    found = server_attributes(Generate("default", "main"), {"main": engine})
    assert found == {
        "gen_ai.request.model": "gpt-large",
        "gen_ai.provider.name": provider,
        "server.address": address,
        "server.port": port,
    }


def test_a_simulated_engine_says_so_and_without_a_plan_the_model_decides() -> None:
    engines = Engines({"a": ScriptedEngine([], model="m1"), "b": SimEngine("b", "m2")}).by_name
    found = server_attributes(Generate("m2", None), engines)
    assert (found["gen_ai.request.model"], found["gen_ai.provider.name"]) == ("m2", "simulated")
    assert server_attributes(Generate("m3", None), engines) == {"gen_ai.request.model": "m3"}


def test_a_resumed_run_has_a_root_with_the_totals_of_its_part() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    listener = SpanListener(program(), provider.get_tracer("test"), run_id="r")
    for event in (
        RunResumed(0.0),
        OpStarted("", "llm", 1, 1.0),
        OpDone("", "llm", ("x",), 3.0, Usage(10, 4, 5), 0.5),
        RunDone("x", 4.0),
    ):
        listener(event)
    spans = {span.name: span for span in exporter.get_finished_spans()}
    root, chat = spans["invoke_workflow demo"], spans["chat small"]
    assert chat.parent is not None and root.context is not None
    assert chat.parent.span_id == root.context.span_id
    assert attributes(root)["gen_ai.usage.output_tokens"] == 5
    assert attributes(root)["orch.run.id"] == "r"
