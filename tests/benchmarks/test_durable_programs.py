"""The programs that are killed, undisturbed and in memory: they do what they say, and say what they do."""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.arms import durable_orchestrator as arm
from benchmarks.arms import history
from benchmarks.arms.effects import Effect, Effects, read
from benchmarks.arms.workloads import expected, payload
from benchmarks.durability import programs
from benchmarks.durability.kills import judge
from orchestrator import Workflow, loop, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import UnsettledError
from orchestrator.runtime.engines.scripted import Lines, ScriptedEngine
from orchestrator.runtime.runner import Runner


@pytest.fixture(autouse=True)
def nobody_watches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(programs.PLACE, "")
    yield
    programs.World.effects = None


async def played(
    flow: Workflow[..., Any], place: Path, engine: Lines = programs.reply, **inputs: object
) -> tuple[Any, list[Effect]]:
    programs.World.effects = Effects(place)
    os.environ[programs.PLACE] = str(place)
    async with Runner({"main": ScriptedEngine(engine)}, human=programs.Answering()) as runtime:
        result = await runtime.run(compile_workflow(flow), inputs, run_id="run")
    return result.value, list(read(place))


@pytest.mark.parametrize("name", programs.PROGRAMS)
async def test_a_program_gives_the_same_twice_and_names_each_op_once(name: str, tmp_path: Path) -> None:
    flow = programs.PROGRAMS[name]
    first, effects = await played(flow, tmp_path / "first", start=programs.start_of(name))
    again, _ = await played(flow, tmp_path / "again", start=programs.start_of(name))
    other, _ = await played(flow, tmp_path / "other", start="start-11111111")
    assert first == again != other
    begun = [effect.op for effect in effects if not effect.ended]
    assert max(Counter(begun).values()) == 1
    verdict = judge(effects, begun)
    assert (verdict.lost, verdict.in_flight, verdict.repeated.total()) == (0, 0, 0)
    done = re.compile("turn|first|spent|noted|asked|model|handled")
    seen = {op for effect in effects for op in effect.seen if done.match(op)}
    assert seen <= set(begun)


async def test_every_kind_of_op_is_among_them(tmp_path: Path) -> None:
    kinds: set[str] = set()
    for name, flow in programs.PROGRAMS.items():
        _, effects = await played(flow, tmp_path / name, start=programs.start_of(name))
        kinds.update(effect.kind for effect in effects)
    assert kinds == {"once", "keyed", "idempotent", "reads", "model"}


@pytest.mark.parametrize("happened", [True, False])
async def test_a_payment_without_outcome_is_settled_by_what_was_done(happened: bool, tmp_path: Path) -> None:
    hangs = [True]

    @tool(effects="once", timeout=0.05)
    async def pay(number: int, given: str) -> str:
        paid = await programs.pay(number, given) if happened or not hangs else ""
        if hangs:
            hangs.clear()
            await asyncio.sleep(60)
        return paid

    @workflow
    def paying(start: str) -> str:
        def turn(state: tuple[int, str]) -> tuple[int, str]:
            return programs.following(state[0]), pay(state[0], state[1])

        return loop(turn, (0, start), max=3)[1]

    place = tmp_path / "effects"
    programs.World.effects = Effects(place)
    compiled = compile_workflow(paying)
    async with Runner() as runtime:
        with pytest.raises(UnsettledError) as caught:
            await runtime.run(compiled, {"start": "start-00000000"}, run_id="run")
        path = str(caught.value).split("`")[1]
        given = programs.done_at(path, place)
        assert (given is not None) == happened
        outcome: dict[str, Any] = {"result": given} if happened else {"did_not_happen": True}
        await runtime.settle(compiled, "run", path, **outcome)
        result = await runtime.resume(compiled, "run")
    assert result.value == programs.named("pay", "2")
    begun = Counter(effect.op for effect in read(place) if not effect.ended)
    assert begun == {programs.named("pay", str(number)): 1 for number in range(3)}


async def test_the_chain_the_conversation_and_very_many_ops_give_what_is_expected(tmp_path: Path) -> None:
    chained, steps = await played(arm.crash_chain(5), tmp_path / "chain", start=payload(0))
    assert chained == payload(5)
    assert [step.op for step in steps] == [f"step{number}" for number in range(5)]
    said, _ = await played(arm.conversation(4), tmp_path / "talk", arm.answer)
    assert said == history.expected(4)
    there, effects = await played(programs.many(2 * programs.WIDTH), tmp_path / "many")
    assert there == programs.named("there", str(2 * programs.WIDTH))
    assert len(effects) == 2


@pytest.mark.parametrize(("case", "size"), [("W1", 5), ("W2", 4), ("W3", 60), ("W4", 2)])
def test_steps_whose_results_are_kept_give_what_others_give(case: str, size: int) -> None:
    run = arm.factory(case, lambda folder: f"sqlite:///{folder / 'runs.db'}")(size)
    assert run() == run() == expected(case, size)
