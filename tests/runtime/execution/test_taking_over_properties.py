"""Random runs go on with another version of their workflow, from any prefix of their logs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import RunError
from orchestrator.runtime.coordinator.owner import Owner
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.lifecycle import result_of
from orchestrator.runtime.execution.taking_over import TakingOver
from orchestrator.runtime.journal.events import Event, OpDone, OpStarted, RunStarted
from orchestrator.runtime.journal.recorder import Recorder
from orchestrator.runtime.journal.replay import replay
from orchestrator.runtime.journal.stores.base import NewRun, Row
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import ToolCall
from orchestrator.runtime.services import Engines, Services
from tests.runtime.journal.test_recorder import lines_of, read
from tests.runtime.random_programs import Builder, Generator, Node, Shape

PROFILE = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


class Distinct(Builder):
    """Its tools are known by what they do."""

    def tool(self, node: Node) -> ToolCall:
        return replace(super().tool(node), code=node.id)


async def recorded(program: Program) -> tuple[object, list[bytes]]:
    """What a run of an earlier version gave, and the lines of its log."""
    store = MemoryStore()
    owner = Owner(store)
    started = RunStarted("run", program.name, "earlier", (7,), 0.0)
    log = await owner.begin(program, started, None)
    assert isinstance(log, Recorder)
    result = await result_of(Execution(program, Services(Engines({})), log, "run", started=started), (7,))
    await owner.close()
    return result.value, lines_of([row async for row in store.history("run")])


async def gone_on(program: Program, lines: Sequence[bytes]) -> tuple[object, list[Event]]:
    """What a later version makes of a log of an earlier one, and its events."""
    store = MemoryStore()
    await store.create(NewRun("run", program.name, "earlier", "", None), b"".join(lines))
    owner = Owner(store)
    taken = await owner.take(program, "run")
    assert taken is not None
    assert taken.history is not None
    state = replay(program, taken.events)
    taking_over = TakingOver(program, taken.history, state, "run", {})
    execution = Execution(program, Services(Engines({})), taken.log, "run", state=state, taking_over=taking_over)
    try:
        return (await result_of(execution, ())).value, execution.events
    finally:
        await owner.close()


@PROFILE
@given(st.integers(0, 2**32))
def test_a_version_that_does_the_same_comes_to_the_same_result_and_starts_nothing_once_more(seed: int) -> None:
    """Or it waits for somebody: one of several writes of one tool that go on at once may be any of them."""
    body = Generator(Random(seed), Shape(once=True, races=False, flaky=False)).program()
    expected, lines = asyncio.run(recorded(Distinct(Random(seed)).build(body)))
    for cut in range(2, len(lines)):
        program = Distinct(Random(seed)).build(body)
        before = read(program, [Row(1, False, 0.0, b"".join(lines[:cut]))])
        once = [each for each in before if isinstance(each, OpStarted) and each.op.startswith("once")]
        begun = {(each.frame, each.op) for each in once}
        lost = begun - {(each.frame, each.op) for each in before if isinstance(each, OpDone)}
        try:
            value, events = asyncio.run(gone_on(program, lines[:cut]))
        except RunError as error:
            assert error.code == "ORCH-R104" or (error.code == "ORCH-R020" and lost)
        else:
            assert value == expected
            assert not lost
            assert not begun & {(each.frame, each.op) for each in events if isinstance(each, OpStarted)}
