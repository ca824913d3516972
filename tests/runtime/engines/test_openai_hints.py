"""Sessions and hints reach a server that understands them, and no other."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.dsl.models.messages import Message
from orchestrator.runtime.engines.base import DEFAULT_MODEL, GenerateRequest
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from orchestrator.runtime.kv.hints import KvHint

HINT = KvHint(program="run-1", turns_left=2.0, tool="run_sql", pause_s=(0.5, float("inf")), features=("table=big",))


def body(session: str | None, hint: KvHint | None, **options: Any) -> dict[str, Any]:
    engine = OpenAIEngine("main", "tiny", OpenAIOptions(**options))
    return engine._body(GenerateRequest("r", DEFAULT_MODEL, (Message("user", "hi"),), session=session, kv=hint))


def test_servers_are_told_nothing_by_default() -> None:
    assert body("s1", HINT) == body(None, None)
    assert body(None, None, kv_hints=True) == body(None, None)


def test_hints_are_flat_arguments_and_the_session_a_header() -> None:
    sent = body("run-1/größe", HINT, kv_hints=True)
    assert sent["extra_headers"] == {"X-Session-ID": "run-1/gr%C3%B6%C3%9Fe"}  # headers are ASCII
    arguments = sent["extra_body"]["vllm_xargs"]
    assert arguments.pop("orch_session") == "run-1/größe"
    assert KvHint.from_args(arguments) == HINT


@pytest.mark.parametrize("session", [None, "s1"])
def test_what_the_user_sends_besides_stays(session: str | None) -> None:
    theirs = {"min_p": 0.1, "vllm_xargs": {"theirs": 1}}
    sent = body(session, HINT, kv_hints=True, extra_body=theirs)
    assert sent["extra_body"]["min_p"] == 0.1
    assert sent["extra_body"]["vllm_xargs"]["theirs"] == 1
    assert sent["extra_body"]["vllm_xargs"]["orch_tool"] == "run_sql"
    assert ("extra_headers" in sent) == (session is not None)
    assert theirs == {"min_p": 0.1, "vllm_xargs": {"theirs": 1}}
