"""Passes do not change what a workflow gives: random workflows whose tools change what they are given."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator import workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import OrchError
from orchestrator.ir.hash import module_hash, op_hashes
from orchestrator.ir.text import parse, to_text
from orchestrator.passes.pipeline import run_pipeline
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.graph import graph_of, read
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.program.lowering import lower
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.runner import Runner
from tests.passes.random_flows import BoomError, Direct, Traced, flow, reply

CLUSTER = Cluster(engines=(EngineSpec(name="main", kind="scripted", model="main"),))


async def outcome(program: Program, question: int) -> Any:
    engine = ScriptedEngine(lambda request: reply(request.messages[-1].content))
    async with Runner({"main": engine}) as runtime:
        try:
            return (await runtime.run_program(program, [question])).value
        except OrchError as error:
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, BoomError):
                cause = cause.__cause__
            assert cause is not None, error
            return BoomError


def directly(seed: int, question: int) -> Any:
    try:
        return flow(seed, Direct(), question)
    except BoomError:
        return BoomError


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.integers(0, 9))
async def test_same_result_with_and_without_passes(seed: int, question: int) -> None:
    @workflow
    def random(question: int) -> list[int]:
        return flow(seed, Traced(), question)  # type: ignore[no-any-return]

    traced = random.trace()
    plain = lower(read(traced.module), traced.bindings, returns=traced.returns, program_hash="plain")
    expected = directly(seed, question)
    assert await outcome(plain, question) == expected
    assert await outcome(compile_workflow(random, CLUSTER).program, question) == expected


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.integers(0, 9))
async def test_same_result_and_hash_from_text_without_locations(seed: int, question: int) -> None:
    @workflow
    def random(question: int) -> list[int]:
        return flow(seed, Traced(), question)  # type: ignore[no-any-return]

    traced = random.trace()
    module = parse(to_text(traced.module, locations=False))
    assert module_hash(module) == traced.hash
    assert op_hashes(module) == op_hashes(traced.module)
    _, root = run_pipeline(module)
    program = lower(graph_of(root), traced.bindings, returns=traced.returns, program_hash="text")
    assert await outcome(program, question) == directly(seed, question)
