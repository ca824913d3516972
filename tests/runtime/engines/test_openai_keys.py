"""The keys of an endpoint go to the endpoint: no store of runs, span, log, event, result or error has them."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orchestrator import llm, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.observe import Subscription
from orchestrator.runtime.runner import Runner
from tests.runtime.engines.answering import JSON, Answer, chunk, said, serving, usage

KEYS = ("hush-of-the-environment", "hush of the URL", "hush-of-the-query", "hush-of-the-body")
ECHO = " ".join((*KEYS, "hush%20of%20the%20URL"))


@workflow
def flow(question: str) -> list[str]:
    first = llm(f"{question}", max_tokens=10, retry=2)
    try:
        return [first, llm(f"{first}?", max_tokens=10)]
    except Exception as error:  # noqa: BLE001 - as people write it
        return [first, f"{error} {error!r}"]


@workflow
def failing(question: str) -> str:
    return llm(f"{question}")


async def test_no_key_of_an_endpoint_is_kept_or_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("ORCH_TELEMETRY_CONTENT", "1")
    monkeypatch.setenv("MY_KEY", KEYS[0])
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: provider)
    answers: list[Answer] = [
        (503, {**JSON, "retry-after": "0"}, said(f"busy {ECHO}")),
        [chunk("fine", "stop"), usage()],
        (401, JSON, said(f"wrong keys: {ECHO}")),
        (400, JSON, said(f"wrong body: {ECHO}")),
    ]
    left = iter(answers)
    store = await open_store(f"sqlite:///{tmp_path / 'runs.db'}")
    seen = Subscription()
    with serving(lambda _: next(left)) as endpoint:
        url = endpoint.url.replace("//", "//me:hush%20of%20the%20URL@") + f"?sig={KEYS[2]}"
        options = OpenAIOptions(
            base_url=url, key_env="MY_KEY", kv_hints=False, extra_body={"top_k": 3, "api_key": KEYS[3]}
        )
        async with Runner({"default": OpenAIEngine("default", "m", options)}, store=store) as runtime:
            result = await runtime.run(compile_workflow(flow), {"question": "why?"}, observers=[seen])
            with pytest.raises(RunError) as caught:
                await runtime.run(compile_workflow(failing), {"question": "why?"}, observers=[seen])
            events = repr(seen.drain())
    await store.close()
    assert result.value[0] == "fine"
    assert [each for each in endpoint.asked if each.get("api_key") == KEYS[3]] == endpoint.asked
    assert len(endpoint.asked) == 4
    files = b"".join(each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()).decode("utf-8", "replace")
    spans = "".join(span.to_json() for span in exporter.get_finished_spans())
    error = "".join(traceback.format_exception(caught.value))
    assert "wrong keys: ***" in files
    for told in (files, spans, caplog.text, repr(result), events, error):
        assert len(told) > 100
        assert "hush" not in told
