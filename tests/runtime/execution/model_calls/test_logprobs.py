"""How likely a reply was: asked for, read, passed on as a value, and missed where an engine does not say it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from orchestrator import Logprobs, Scored, chat, llm, map_, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.logprobs import LEAST, TokenLogprob
from orchestrator.errors import OrchError, PlanError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from orchestrator.runtime.result import RunResult
from orchestrator.runtime.runner import Runner
from orchestrator.testing import fake
from tests.dsl.diagnosing import diagnose
from tests.runtime.engines.answering import JSON, Endpoint, chunk, said, serving, usage
from tests.runtime.journal.text import Codec


def test_a_fake_is_sure() -> None:
    @workflow
    def flow(question: str) -> float:
        scored: Scored[int] = llm(question, returns=int, logprobs=1)
        turn = chat().say(f"{scored.reply}", logprobs=0)
        turn.chat.say("more")
        return scored.logprobs.total + turn.logprobs.tokens[0].logprob

    with fake(["7", "ok", "more"]):
        assert flow("q") == 0.0


def test_what_does_not_go_together_is_refused() -> None:
    def flow(question: str) -> str:
        llm(question, logprobs=21)  # D041
        llm(question, logprobs=True)  # D041
        llm(question, samples=3, at_least=2, logprobs=1)  # D041
        llm(question, top_logprobs=1)  # type: ignore[call-overload]  # D041
        return question

    assert [error.message for error in diagnose(flow)] == [
        "logprobs=21",
        "logprobs=True",
        "at_least= and logprobs= in one call",
        "llm or say has no option `top_logprobs`",
    ]


@workflow
def scored(question: str) -> Logprobs:
    return llm(question, logprobs=2).logprobs


async def ran(endpoint: Endpoint, flow: Any) -> tuple[RunResult, Codec]:
    options = OpenAIOptions(base_url=endpoint.url, key_env="NO_SUCH_KEY", kv_hints=False)
    compiled = compile_workflow(flow, Cluster())
    async with Runner({"remote": OpenAIEngine("remote", "m", options)}) as runtime:
        return await runtime.run(compiled, {"question": "hi"}), Codec(compiled.program)


def told(text: str, *tokens: Any, index: int = 0) -> dict[str, Any]:
    """A piece of a reply with its probabilities."""
    event = chunk(text, None, index)
    content = [
        {"token": token, "logprob": logprob, "top_logprobs": [{"token": t, "logprob": p} for t, p in top.items()]}
        for token, logprob, top in tokens
    ]
    event["choices"][0]["logprobs"] = {"content": content, "refusal": None}
    return event


async def test_an_endpoint_is_asked_and_read_in_pieces() -> None:
    pieces = [told("Ye", ("Ye", -0.5, {"Ye": -0.5, "No": -1.0})), told("s", ("s", -math.inf, {"s": -math.inf}))]
    with serving([*pieces, chunk(None, "stop"), usage()]) as endpoint:
        result, codec = await ran(endpoint, scored)
    first = TokenLogprob("Ye", -0.5, {"Ye": -0.5, "No": -1.0})
    assert result.value == Logprobs([first, TokenLogprob("s", LEAST, {"s": LEAST})], -0.5 + LEAST)
    assert (endpoint.asked[0]["logprobs"], endpoint.asked[0]["top_logprobs"]) == (True, 2)
    lines = [codec.dumps(event) for event in result.events]
    assert all(json.loads(line) for line in lines)
    assert [codec.loads(line) for line in lines] == list(result.events)


async def test_each_sample_has_its_own() -> None:
    @workflow
    def flow(question: str) -> list[float]:
        several = llm(question, samples=2, logprobs=1, temperature=0.7)
        return map_(lambda each: each.total, several.logprobs)

    pieces = [told("a", ("a", -1.0, {}), index=0), told("b", ("b", -2.0, {}), index=1)]
    ends = [chunk(None, "stop", index) for index in (0, 1)]
    with serving([*pieces, *ends, usage()]) as endpoint:
        assert (await ran(endpoint, flow))[0].value == [-1.0, -2.0]


@pytest.mark.parametrize("given", [None, {}, {"content": None}, {"tokens": ["a"]}], ids=str)
async def test_an_endpoint_that_does_not_say_it_fails_the_call(given: Any) -> None:
    event = chunk("Yes")
    event["choices"][0]["logprobs"] = given
    with serving([event, chunk(None, "stop"), usage()]) as endpoint, pytest.raises(OrchError) as caught:
        await ran(endpoint, scored)
    assert caught.value.code == "ORCH-E029"


async def test_an_endpoint_that_rejects_it_is_named_with_the_option() -> None:
    refusal = (400, JSON, said("logprobs is not supported with this model"))
    with serving(refusal) as endpoint, pytest.raises(OrchError) as caught:
        await ran(endpoint, scored)
    assert (caught.value.diagnostics[0].fix or "").startswith("leave `logprobs=` out")


def test_the_simulator_refuses_it_when_the_workflow_is_planned() -> None:
    with pytest.raises(PlanError) as caught:
        compile_workflow(scored, Cluster(engines=(EngineSpec(name="main", kind="sim", model="m"),)))
    assert caught.value.code == "ORCH-P014"
