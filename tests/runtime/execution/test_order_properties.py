"""Random workflows: effects happen in the order of the same Python; with passes, without, from text, and resumed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.dsl.trace import Traced
from orchestrator.errors import RunError
from orchestrator.ir.text import parse, to_text
from orchestrator.ir.verify import verify
from orchestrator.passes.pipeline import run_pipeline
from orchestrator.planner.graph import read
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.events import Event
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.program.lowering import lower
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.result import RunResult
from orchestrator.runtime.services import Engines, Services
from tests.runtime.executing import execute
from tests.runtime.random_effects import World, answer, build, expected

PROFILE = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SEEDS = st.integers(0, 2**32)


def program(traced: Traced, module: Any) -> Program:
    return lower(read(module), traced.bindings, returns=traced.returns, program_hash="hash")


def run(program: Program, events: Sequence[Event] = ()) -> RunResult:
    async def main() -> RunResult:
        journal = MemoryJournal()
        for event in events:
            journal.append("run", event)
        engine = ScriptedEngine(lambda request: answer(str(request.messages[-1].content)))
        services = Services(Engines({"main": engine}))
        return await execute(program, (3,), services, journal, "run", resume=bool(events))

    return asyncio.run(main())


@PROFILE
@pytest.mark.parametrize("form", ["as traced", "with passes", "from text"])
@given(SEEDS)
def test_effects_keep_the_order_of_the_program(form: str, seed: int) -> None:
    world = World(seed)
    traced = build(seed, world).trace()
    module = traced.module
    verify(module)
    if form == "with passes":
        module, _ = run_pipeline(module)
    elif form == "from text":
        module = parse(to_text(module))
    value, direct = expected(seed, 3)
    assert run(program(traced, module)).value == value
    assert world.epochs == direct.epochs


@settings(PROFILE, max_examples=15)
@given(SEEDS, st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_a_resumed_run_goes_on_in_the_order_of_the_program(seed: int, cuts: list[float]) -> None:
    world = World(seed)
    traced = build(seed, world).trace()
    level2, _ = run_pipeline(traced.module)
    lowered = program(traced, level2)
    first = run(lowered)
    writes = [call for call in world.epochs if isinstance(call, str)]
    for cut in cuts:
        world.log.clear()
        try:
            resumed = run(lowered, first.events[: 1 + int(cut * (len(first.events) - 1))])
        except RunError as error:
            assert error.code in ("ORCH-R020", "ORCH-R006")  # a write that must not be repeated was under way
            assert not world.log
            continue
        assert resumed.value == first.value
        again = [call for call in world.epochs if isinstance(call, str)]
        assert again == writes[len(writes) - len(again) :]
