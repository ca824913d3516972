"""Engines made of replicas: admission for every engine, failover, and draining under load without a lost run."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count

import pytest

from orchestrator import chat, llm, tool, workflow
from orchestrator.compiler import compile as compiled
from orchestrator.dsl.models.messages import Message
from orchestrator.errors import EngineError, RunError
from orchestrator.planner.policies import POLICIES
from orchestrator.runtime.engines.base import GenerateRequest, complete
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.replicas import KvReplicaSet, ReplicaSet
from orchestrator.runtime.kv.routing import RoutingOptions
from orchestrator.runtime.runner import Runner
from tests.awaiting import until
from tests.runtime.kv.replica_sets import Hinted, ask, sim, slots


async def test_a_program_waits_until_another_is_finished() -> None:
    engine = ReplicaSet("one", [sim()], slots(1))
    await complete(engine, ask("a", "a/1"))
    late = asyncio.create_task(complete(engine, ask("b", "b/1")))
    await until(lambda: engine.gates[0].state.waiting == 1)
    assert not late.done()
    await complete(engine, ask("a", "a/1"))
    engine.finish("a")
    async with asyncio.timeout(20):
        await late


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("critical-path+laxity", ["near", "far", "none"]), ("round-robin+fcfs", ["none", "far", "near"])],
)
async def test_programs_wait_in_the_order_of_the_policy(policy: str, expected: list[str]) -> None:
    options = replace(slots(1), routing=RoutingOptions(POLICIES[policy]()))
    seconds = count()
    engine = ReplicaSet("one", [sim(time_scale=0)], options, clock=lambda: float(next(seconds)))
    await complete(engine, ask("first", "first/1"))
    order: list[str] = []

    async def run(name: str, **hint: float) -> None:
        await complete(engine, ask(name, f"{name}/1", **hint))
        order.append(name)
        engine.finish(name)

    hints = {"none": {"critical_path_s": 90.0}, "far": {"deadline_s": 80.0}, "near": {"deadline_s": 30.0}}
    async with asyncio.TaskGroup() as runs:
        for waiting, (program, hint) in enumerate(hints.items(), 1):
            runs.create_task(run(program, **hint))
            await until(lambda waiting=waiting: engine.gates[0].state.waiting == waiting)  # type: ignore[misc]
        engine.finish("first")
    assert order == expected


@pytest.mark.parametrize(
    ("pause_s", "kept"), [((0.1, 0.2, 0.3), True), ((50.0, 90.0, float("inf")), False), ((), True)]
)
async def test_a_slot_is_kept_for_short_pauses_only(pause_s: tuple[float, ...], kept: bool) -> None:
    seconds = count()  # each look at the clock takes one
    engine = ReplicaSet("one", [sim(time_scale=0)], slots(1), clock=lambda: float(next(seconds)))
    await complete(engine, ask("a", "a/1", pause_s=pause_s))
    assert engine.gates[0].control.holds("a") is kept


async def test_no_slot_is_kept_while_a_human_is_asked() -> None:
    engine = KvReplicaSet("one", [Hinted()], slots(8), clock=lambda: 0.0)
    for i in range(4):
        await complete(engine, ask(f"asks{i}", f"asks{i}/1", pin_ttl_s=0.0))
        await complete(engine, ask(f"tool{i}", f"tool{i}/1", pause_s=(0.0,)))
        assert engine.gates[0].control.holds(f"tool{i}")
        await engine.extend(f"tool{i}/1", KvHint(pin_ttl_s=0.0))
    assert engine.gates[0].state.active == 0


async def test_a_prefix_that_was_not_worth_keeping_is_not_lost() -> None:
    seconds = count()
    patient = replace(slots(1), patience=1000.0)
    engine = ReplicaSet("one", [sim(time_scale=0)], patient, clock=lambda: float(next(seconds)))
    control = engine.gates[0].control
    await complete(engine, ask("a", "a/tool", pause_s=(90.0,)))
    await complete(engine, ask("a", "a/asks", pin_ttl_s=0.0))
    assert list(control._programs["a"].evidence) == ["a/tool"]  # its other session keeps the slot


async def test_no_slot_is_needed_between_sessions_but_for_one_that_pauses() -> None:
    seconds = count()
    patient = replace(slots(1), patience=1000.0)
    engine = ReplicaSet("one", [sim(time_scale=0)], patient, clock=lambda: float(next(seconds)))
    await complete(engine, ask("a", "a/1", turns_left=0.0))
    assert not engine.gates[0].control.holds("a")
    await complete(engine, ask("a", "a/2", pause_s=(90.0,)))
    await complete(engine, ask("a", "a/3", release=True))
    assert engine.gates[0].control.holds("a")
    await complete(engine, ask("a", "a/2", release=True))
    assert not engine.gates[0].control.holds("a")


async def test_requests_without_program_or_session_leave_nothing() -> None:
    engine = ReplicaSet("two", [sim(time_scale=0), sim(time_scale=0)], slots(1))
    for i in range(5):
        await complete(engine, GenerateRequest(f"r{i}", "default", (Message("user", "hi"),)))
    stream = engine.generate(GenerateRequest("cut", "two", (Message("user", "hi"),)))
    await anext(stream)
    await stream.aclose()
    assert [gate.state.active for gate in engine.gates] == [0, 0]
    assert not engine.router._programs
    assert engine._returning.count == 0


async def test_a_reply_that_is_abandoned_frees_the_slot() -> None:
    engine = ReplicaSet("one", [sim()], slots(1))
    stream = engine.generate(ask("a", "a/1"))
    await anext(stream)
    await stream.aclose()
    assert engine.gates[0].state.active == 0
    assert engine.router.loads[0].running_count == 0


async def test_programs_that_wait_at_a_drained_replica_go_elsewhere() -> None:
    engine = ReplicaSet("two", [sim(), sim()], slots(1))
    first, second = await asyncio.gather(complete(engine, ask("a", "a/1")), complete(engine, ask("b", "b/1")))
    assert first.texts
    assert second.texts

    async def once(name: str) -> None:
        await complete(engine, ask(name, name + "/1"))
        served.append(engine.router.home(name + "/1"))
        engine.finish(name)

    served: list[object] = []
    waiting = [asyncio.create_task(once(f"w{i}")) for i in range(4)]
    home = engine.router.home("a/1")
    assert home is not None
    drained = home[1]
    await until(lambda: sum(load.waiting_count for load in engine.router.loads) == len(waiting))
    assert engine.router.loads[drained].waiting_count
    engine.finish("b")
    async with asyncio.timeout(20):
        await engine.drain(drained)
        await asyncio.gather(*waiting)
        await complete(engine, ask("a", "a/1"))
    assert sorted(map(str, served)) == sorted(str((f"w{i}", 1 - drained)) for i in range(4))
    assert engine.router.home("a/1") == ("a", 1 - drained)
    assert engine.router.loads[drained].running_count == engine.router.loads[drained].waiting_count == 0


async def test_a_set_needs_a_replica() -> None:
    with pytest.raises(RunError) as caught:
        ReplicaSet("none", [])
    assert caught.value.code == "ORCH-R064"


async def test_stats_are_summed_and_the_gates_learn_the_room() -> None:
    engine = ReplicaSet("two", [sim(kv_capacity_tokens=1000), sim(kv_capacity_tokens=3000)])
    await engine.start()
    await complete(engine, ask("a", "a/1"))
    found = await engine.stats()
    assert (found.running, found.waiting, found.requests, found.kv_capacity_tokens) == (0, 0, 1, 4000)
    assert found.usage.output_tokens > 0
    assert [gate.state.cap_tokens for gate in engine.gates] == [1000, 3000]


async def test_every_replica_is_closed_though_one_fails() -> None:
    closed = []

    class Stuck(ScriptedEngine):
        async def close(self) -> None:
            closed.append(self.name)
            raise ConnectionError("gone")

    good = sim()
    engine = ReplicaSet("two", [Stuck([]), good])
    with pytest.raises(ConnectionError):
        await engine.close()
    with pytest.raises(EngineError):
        await complete(good, ask("a", "a/1"))
    assert closed == ["scripted"]


@tool(effects="pure")
async def look(text: str) -> str:
    await asyncio.sleep(0.002)
    return text[-30:]


@tool(effects="pure")
def fail(text: str) -> str:
    raise ValueError(text)


@workflow
def agent(question: str) -> str:
    first = chat("You answer in few words. " * 20).say(question, temperature=0.0)
    second = first.chat.say(look(first.reply), temperature=0.0)
    third = second.chat.say(look(second.reply), temperature=0.0)
    return third.reply


@workflow
def broken(question: str) -> str:
    return fail(llm(question))


async def _answers(runtime: Runner, runs: int) -> list[object]:
    program = compiled(agent)
    results = await asyncio.gather(*(runtime.run(program, {"question": f"What is {i}?"}) for i in range(runs)))
    return [result.value for result in results]


async def test_draining_a_replica_under_load_changes_no_result() -> None:
    async with Runner({"default": sim(time_scale=0)}) as runtime:
        expected = await _answers(runtime, 24)
    engine = ReplicaSet("sim", [sim(), sim()], slots(4))
    async with asyncio.timeout(60), Runner({"default": engine}) as runtime:
        answers = asyncio.create_task(_answers(runtime, 24))
        await until(lambda: all(load.done >= 3 for load in engine.router.loads))
        await engine.drain(0)
        before = (await engine.replicas[0].stats()).requests
        assert engine.router.loads[0].running_count == 0
        assert not answers.done()
        assert await answers == expected
        assert (await engine.replicas[0].stats()).requests == before  # nothing came after
    assert engine.router.moves > 0
    assert [gate.state.active for gate in engine.gates] == [0, 0]


async def test_admission_is_there_for_every_engine_and_ends_with_the_run() -> None:
    runtime = Runner({"default": sim()})
    (engine,) = runtime.engines
    await runtime.run(compiled(agent), {"question": "Why?"})
    assert engine.gates[0].state.admitted >= 1
    assert engine.gates[0].state.active == 0
    task = asyncio.create_task(runtime.run(compiled(agent), {"question": "Why not?"}))
    while not engine.gates[0].state.active:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert engine.gates[0].state.active == 0
    with pytest.raises(RunError):
        await runtime.run(compiled(broken), {"question": "How many?"}, run_id="fails")
    assert engine.gates[0].state.active == 0
    assert not engine.router._programs
    await runtime.close()


async def test_runs_do_not_wait_for_the_slots_of_runs_that_wait_for_them() -> None:
    engine = ReplicaSet("sim", [sim(time_scale=0)], slots(4))
    runtime = Runner({"default": engine})

    @tool(effects="idempotent", typical_s=0.01)  # so short that the slot is kept
    async def ask_another(question: str) -> str:
        return str((await runtime.run(compiled(agent), {"question": question})).value)

    @workflow
    def outer(question: str) -> str:
        first = chat().say(question)
        return first.chat.say(ask_another(first.reply)).reply

    async with asyncio.timeout(20), runtime:
        runs = [runtime.run(compiled(outer), {"question": f"What is {i}?"}) for i in range(12)]
        assert len(await asyncio.gather(*runs)) == 12
    assert engine.gates[0].state.active == 0


async def test_a_run_prefetches_while_its_first_tool_runs() -> None:
    inner = Hinted()

    @tool(effects="idempotent")
    async def wait_for_it(text: str) -> str:
        async with asyncio.timeout(20):
            while not inner.hints:
                await asyncio.sleep(0)
        return text

    @workflow
    def waits_first(question: str) -> str:
        return chat("You answer in few words, and from the rows alone. " * 10).say(wait_for_it(question)).reply

    async with Runner({"default": inner}) as runtime:
        await runtime.run(compiled(waits_first), {"question": "Why?"}, run_id="run-1")
        (engine,) = runtime.engines
        assert engine.gates[0].state.active == 0
    assert [hint.partition("/")[0] for hint in inner.hints if hint.startswith("prefetch")] == ["prefetch run-1"]


async def test_stale_evidence_of_a_moved_session_is_no_loss() -> None:
    engine = ReplicaSet("two", [sim(), sim()])
    await complete(engine, ask("a", "a/1", "x " * 500))
    home = engine.router.home("a/1")
    assert home is not None
    await engine.drain(home[1])
    await complete(engine, ask("a", "a/1", "x " * 600))
    assert [gate.control.cap.decreases for gate in engine.gates] == [0, 0]
    assert [gate.state.active for gate in engine.gates] == [int(i != home[1]) for i in range(2)]


async def test_a_replica_that_joins_is_asked_and_shares_the_programs_of_the_others() -> None:
    first, second = ScriptedEngine(lambda _: "1"), ScriptedEngine(lambda _: "2")
    engine = ReplicaSet("grows", [first], slots(1))
    await complete(engine, ask("a", "a/1"))
    assert engine.add(second) == 1
    assert engine.gates[1].group is engine.gates[0].group
    await engine.drain(0)
    await complete(engine, ask("b", "b/1"))
    assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_a_replica_that_is_retired_ends_what_it_has_and_is_closed_once() -> None:
    first, second = sim(), sim()
    engine = ReplicaSet("shrinks", [first, second], slots(4))
    running = [asyncio.create_task(complete(engine, ask(name, f"{name}/1"))) for name in "abcd"]
    await until(lambda: all(load.running_count for load in engine.router.loads))
    await asyncio.gather(engine.retire(0), engine.retire(0))
    assert all(each.usage for each in await asyncio.gather(*running))
    with pytest.raises(EngineError, match="is closed"):
        await complete(first, ask("x"))
    await complete(engine, ask("e", "e/1"))
    assert (await engine.stats()).requests == (await second.stats()).requests
    with pytest.raises(RunError, match="ORCH-R063"):
        await engine.retire(1)
    await engine.release("unknown")
    await engine.close()
