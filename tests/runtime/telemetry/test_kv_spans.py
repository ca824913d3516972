"""A model call's span says what became of its session's KV cache."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from orchestrator import chat, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.base import Chunk, GenerateRequest
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.services import Engines, Services
from orchestrator.runtime.telemetry.spans import SpanListener
from tests.runtime.executing import execute

CLUSTER = Cluster(engines=(EngineSpec(name="main", kind="scripted", model="scripted"),))


class Caching(ScriptedEngine):
    """Finds a share of every prompt in its cache."""

    share = 0.0

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        async for chunk in super().generate(request):
            if chunk.usage is None:
                yield chunk
            else:
                cached = int(self.share * chunk.usage.input_tokens)
                yield chunk._replace(usage=replace(chunk.usage, cached_tokens=cached))


@tool(effects="idempotent", typical_s=0.5)
async def run_tests(code: str) -> str:
    return f"all of {code} passed"


@workflow
def two_turns(task: str) -> str:
    reply, talk = chat("You write code.").say(task)
    return talk.say(run_tests(reply)).reply


@workflow
def one_call(task: str) -> str:
    return chat("You write code.").say(task).reply


async def spans(flow: object, share: float) -> list[ReadableSpan]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    engine = Caching(lambda _: "code " * 40)
    engine.share = share
    program = compile_workflow(flow, cluster=CLUSTER).program  # type: ignore[arg-type]
    listener = SpanListener(program, provider.get_tracer("test"), run_id="run")
    services = Services(Engines({"main": engine}))
    await execute(program, ("a parser",), services, MemoryJournal(), "run", listeners=[listener])
    return list(exporter.get_finished_spans())


async def chats(flow: object, share: float) -> list[ReadableSpan]:
    return [span for span in await spans(flow, share) if span.name.startswith("chat")]


async def test_a_hint_has_no_span() -> None:
    found = await spans(two_turns, 0.0)
    assert {span.name.split()[0] for span in found} == {"invoke_workflow", "chat", "execute_tool"}
    assert all(span.status.status_code is not StatusCode.ERROR for span in found)
    assert not [span.name for span in found if "release" in span.name]


@pytest.mark.parametrize(("share", "event"), [(1.0, "kv.found"), (0.1, "kv.lost")])
async def test_a_later_turn_says_whether_its_prefix_was_kept(share: float, event: str) -> None:
    first, last = await chats(two_turns, share)
    before, after = dict(first.attributes or {}), dict(last.attributes or {})
    assert before["orch.kv.tool"] == "run_tests"
    assert before["orch.kv.pause_s"] == pytest.approx(0.5, rel=0.1)
    assert before["orch.kv.pin_ttl_s"] == 300.0
    assert before["orch.kv.recomputed_tokens"] == 0
    assert first.events == ()
    assert after["orch.kv.session"] == before["orch.kv.session"]
    assert "orch.kv.tool" not in after
    computed = int(after["gen_ai.usage.input_tokens"]) - int(after["gen_ai.usage.cache_read.input_tokens"])
    assert (after["orch.kv.recomputed_tokens"] == 0) == (share == 1.0)
    assert int(after["orch.kv.recomputed_tokens"]) <= computed
    assert [each.name for each in last.events] == [event, "kv.released"]


async def test_a_call_of_its_own_says_nothing_of_sessions() -> None:
    (span,) = await chats(one_call, 0.0)
    assert not [name for name in span.attributes or {} if name.startswith("orch.kv")]
    assert span.events == ()
