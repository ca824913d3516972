"""A plan of a file, on the cluster that it is to run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import llm, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.compiler import compile_as
from orchestrator.planner.binding import at_home
from orchestrator.planner.cluster import Cluster
from orchestrator.planner.cluster_file import read_cluster
from orchestrator.planner.plan import Plan
from orchestrator.planner.planning import Asked

ENDPOINT = """
[[engine]]
name = "api"
kind = "openai"
model = "gpt"
options = { base_url = "https://mine.example/v1", api_key = "sk-secret" }
"""
TWO_ON_ONE = """
[[device]]
name = "gpu"
type = "h100-sxm"

[[engine]]
name = "first"
kind = "vllm"
model = "Qwen/Qwen3-8B"
device = "gpu"
options = { gpu_memory_utilization = 0.4 }

[[engine]]
name = "second"
kind = "vllm"
model = "Qwen/Qwen3-8B"
device = "gpu"
options = { gpu_memory_utilization = 0.4 }
"""


@workflow
def flow(question: str) -> str:
    """One call."""
    return llm(f"A {question}", max_tokens=5)


@workflow
def both(question: str) -> str:
    """A call of each engine."""
    return llm(f"B {llm(f'A {question}', model='first', max_tokens=5)}", model="second", max_tokens=5)


def cluster(folder: Path, text: str) -> Cluster:
    path = folder / "c.toml"
    path.write_text(text)
    return read_cluster(path)


def credential(plan: Plan) -> object:
    return plan.cluster.engines[0].options["api_key"]


def test_a_plan_gets_the_credential_of_its_own_cluster_file(tmp_path: Path) -> None:
    mine = cluster(tmp_path, ENDPOINT)
    read = Plan.from_json(compile_workflow(flow, mine).plan.to_json())
    assert credential(read) == "***"
    assert credential(at_home(read, mine, "c.toml")) == "sk-secret"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("https://mine.example/v1", "https://evil.example/v1"),
        ('"api_key": "***"', '"api_key": "***", "endpoints": ["https://evil.example/v1"]'),
    ],
)
def test_no_plan_gets_a_credential_for_another_address(tmp_path: Path, old: str, new: str) -> None:
    mine = cluster(tmp_path, ENDPOINT)
    text = compile_workflow(flow, mine).plan.to_json()
    assert old in text
    assert credential(at_home(Plan.from_json(text.replace(old, new)), mine, "c.toml")) == "***"


def test_engines_that_share_a_device_need_one(tmp_path: Path) -> None:
    mine = cluster(tmp_path, TWO_ON_ONE)
    plan = compile_workflow(both, mine).plan
    assert at_home(plan, mine, "c.toml") == plan


def test_a_plan_without_engines_is_run_without_engines() -> None:
    plan = Plan.from_json(compile_workflow(flow, Cluster()).plan.to_json())
    again = compile_as(flow, Asked(plan.cluster, kept=plan)).plan
    assert [op.place for op in again.ops] == [op.place for op in plan.ops]
