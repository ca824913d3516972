"""What a call asks for reaches the endpoint, and what bounds a reply is kept or said to be missing."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import llm, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import OrchError
from orchestrator.planner.cluster import Cluster
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from orchestrator.runtime.result import RunResult
from orchestrator.runtime.runner import Runner
from tests.runtime.engines.answering import JSON, Answer, Endpoint, chunk, said, serving, usage


async def ran(endpoint: Endpoint, flow: Any, **engine: Any) -> RunResult:
    options = OpenAIOptions(base_url=endpoint.url, key_env="NO_SUCH_KEY", kv_hints=False, **engine)
    runtime = Runner({"remote": OpenAIEngine("remote", "m", options)})
    try:
        return await runtime.run(compile_workflow(flow, Cluster()), {"question": "hi"})
    finally:
        await runtime.close()


def replying(text: str) -> list[Any]:
    return [chunk(text, "stop"), usage()]


async def test_options_are_fields_of_the_request_and_the_extra_body_comes_last() -> None:
    @workflow
    def flow(question: str) -> str:
        return llm(question, top_k=5, logit_bias={7: -1}, verbosity="low", extra_body={"min_p": 0.5, "own": None})

    with serving(replying("yes")) as endpoint:
        await ran(endpoint, flow, extra_body={"top_k": 20, "min_p": 0.1, "theirs": 1})
    (body,) = endpoint.asked
    wanted = {"top_k": 5, "logit_bias": {"7": -1.0}, "verbosity": "low", "min_p": 0.5, "own": None, "theirs": 1}
    assert {name: body.get(name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"choice": ["yes", "no"]}, {"choice": ["yes", "no"]}),
        ({"regex": "yes|no"}, {"regex": "yes|no"}),
    ],
    ids=["choice", "regex"],
)
async def test_an_endpoint_is_asked_as_vllm_is_and_else_the_prompt_says_it_and_the_run_too(
    given: Any, asked: Any
) -> None:
    @workflow
    def flow(question: str) -> str:
        return llm(question, **given)

    with serving(replying("yes")) as endpoint:
        result = await ran(endpoint, flow)
    assert (result.value, result.warnings) == ("yes", ())
    assert endpoint.asked[0]["structured_outputs"] == asked

    def knows_it_not(body: dict[str, Any]) -> Answer:
        wrong = "structured_outputs: Extra inputs are not permitted"
        return (400, JSON, said(wrong)) if "structured_outputs" in body else replying("yes")

    with serving(knows_it_not) as endpoint:
        result = await ran(endpoint, flow)
    assert result.value == "yes"
    assert "yes" in endpoint.asked[1]["messages"][-1]["content"]
    (warning,) = result.warnings
    assert f"it does not bound a reply by {next(iter(given))}=" in warning


@pytest.mark.parametrize("given", [{"choice": ["yes", "no"]}, {"regex": "yes|no"}], ids=["choice", "regex"])
async def test_a_reply_that_an_endpoint_did_not_bound_does_not_pass(given: Any) -> None:
    @workflow
    def flow(question: str) -> str:
        return llm(question, retry=2, **given)

    replies = iter(["certainly", "no"])
    with serving(lambda _: replying(next(replies))) as endpoint:
        result = await ran(endpoint, flow)
    assert result.value == "no"
    assert "That reply does not fit" in endpoint.asked[1]["messages"][-1]["content"]
    with serving(replying("certainly")) as endpoint, pytest.raises(OrchError) as caught:
        await ran(endpoint, flow)
    assert caught.value.code == "ORCH-R003"


async def test_a_grammar_goes_to_a_vllm_only() -> None:
    @workflow
    def flow(question: str) -> str:
        return llm(question, grammar='root ::= "yes"')

    with serving(replying("yes")) as endpoint:
        with pytest.raises(OrchError) as caught:
            await ran(endpoint, flow)
        assert (caught.value.code, endpoint.asked) == ("ORCH-E029", [])
        assert "extra_body" in (caught.value.diagnostics[0].fix or "")
        endpoint.pages["/metrics"] = 'vllm:num_requests_running{engine="0"} 0.0\n'
        assert (await ran(endpoint, flow)).value == "yes"
        assert endpoint.asked[0]["structured_outputs"] == {"grammar": 'root ::= "yes"'}


async def test_the_option_that_an_endpoint_rejects_is_named() -> None:
    @workflow
    def flow(question: str) -> str:
        return llm(question, min_p=0.1)

    refusal = (400, JSON, said("Unrecognized request argument supplied: min_p"))
    with serving(refusal) as endpoint, pytest.raises(OrchError) as caught:
        await ran(endpoint, flow)
    assert caught.value.code == "ORCH-E014"
    assert (caught.value.diagnostics[0].fix or "").startswith("leave `min_p=` out")
