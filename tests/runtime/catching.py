"""What the tests of catching failures share."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from orchestrator import attempt, parallel
from orchestrator.compiler import compile as compile_workflow
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.runner import Runner

CLUSTER = Cluster(engines=(EngineSpec(name="main", model="m", kind="scripted"),))


class Answer(BaseModel):
    score: int


def named(function: Any, catching: Any) -> Any:
    """``yes`` if the failure of ``function`` is one of ``catching``, and else the kind of failure."""
    return attempt(
        lambda: attempt(lambda: f"{function()}", lambda error: "yes", catching=catching), lambda error: error.kind
    )


def side_by_side(first: Any, second: Any, n: Any) -> str:
    """Both tools, in no order."""
    with parallel():
        return f"{first(n)}{second(n)}"


async def compile_and_run(flow: Any, inputs: dict[str, Any]) -> Any:
    async with Runner() as runtime:
        return (await runtime.run(compile_workflow(flow), inputs)).value
