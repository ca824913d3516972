"""What bounds and scores a reply, on a real vLLM; and tools, which it is asked for in steps."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import Reply, Scored, llm, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.sampling import matches
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.base import Engine
from orchestrator.runtime.runner import Runner
from tests.conftest import MODEL

pytestmark = [pytest.mark.vllm, pytest.mark.ray, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def ran(engine: Engine, flow: Any) -> Any:
    cluster = Cluster(engines=(EngineSpec(name="vllm", kind="vllm", model=str(MODEL)),))
    return (await Runner({"vllm": engine}).run(compile_workflow(flow, cluster), {"question": "How many?"})).value


async def test_a_reply_is_one_of_the_choices(vllm_engine: Engine) -> None:
    @workflow
    def flow(question: str) -> str:
        return llm(question, choice=["maybe so", "never"], max_tokens=20)

    assert await ran(vllm_engine, flow) in ("maybe so", "never")


async def test_a_reply_matches_and_a_grammar_is_kept_to(vllm_engine: Engine) -> None:
    pattern = r"[A-Z]{3}-[0-9]{2}"

    @workflow
    def flow(question: str) -> list[str]:
        return [
            llm(question, regex=pattern, max_tokens=30),
            llm(question, grammar='root ::= "yes " ("yes"|"no") "!"', max_tokens=30),
        ]

    matched, written = await ran(vllm_engine, flow)
    assert matches(pattern, matched)
    assert written in ("yes yes!", "yes no!")


async def test_options_and_probabilities(vllm_engine: Engine) -> None:
    @workflow
    def flow(question: str) -> Any:
        scored: Scored[str] = llm(
            question,
            logprobs=3,
            max_tokens=5,
            top_k=20,
            min_p=0.01,
            repetition_penalty=1.1,
            ignore_eos=True,
            min_tokens=2,
        )
        return scored.logprobs

    found = await ran(vllm_engine, flow)
    assert len(found.tokens) == 5
    assert found.total == pytest.approx(sum(each.logprob for each in found.tokens))
    assert all(each.logprob <= 0 and len(each.alternatives) + 1 >= 3 for each in found.tokens)


async def test_tools_are_steps(vllm_engine: Engine) -> None:
    @tool(effects="pure")
    def add(left: int, right: int = 2) -> int:
        return left + right

    @workflow
    def flow(question: str) -> Reply:
        return llm(question, tools=[add], tool_choice="add", temperature=0, max_tokens=200)

    reply = await ran(vllm_engine, flow)
    assert reply.problem or [call.name for call in reply.calls] == ["add"]
