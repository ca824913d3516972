"""What an engine does not take is refused when a workflow is planned for it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import llm, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import PlanError
from orchestrator.planner.cluster import Cluster, EngineSpec


def of(kind: str) -> Cluster:
    return Cluster(engines=(EngineSpec(name="main", kind=kind, model="m"),))


@pytest.mark.parametrize(
    ("kind", "given", "names"),
    [
        ("vllm", {"service_tier": "flex", "extra_body": {"a": 1}, "top_k": 3}, ["extra_body", "service_tier"]),
        ("sim", {"regex": "a+"}, ["regex"]),
        ("sim", {"grammar": 'root ::= "a"'}, ["grammar"]),
    ],
)
def test_each_option_is_named_with_the_op_the_engine_and_a_fix(kind: str, given: Any, names: list[str]) -> None:
    @workflow
    def flow(question: str) -> str:
        return llm(question, name="ask", **given)

    with pytest.raises(PlanError) as caught:
        compile_workflow(flow, of(kind))
    found = caught.value.diagnostics
    assert [each.code for each in found] == ["ORCH-P014"] * len(names)
    for each, name in zip(found, names, strict=True):
        assert each.message == f"the engine `main`, which `ask` calls, does not take `{name}=`"
        assert each.where is not None and each.where.file == __file__
        assert (each.fix or "").startswith(f"leave `{name}=` out, or serve the model behind an endpoint")


def test_what_an_endpoint_takes_it_says_itself() -> None:
    @workflow
    def flow(question: str) -> str:
        return llm(question, regex="a+", service_tier="flex", extra_body={"x": 1})

    assert compile_workflow(flow, of("openai")).plan.by_id["llm_1"].place == "engine:main"
