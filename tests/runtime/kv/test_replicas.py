"""Engines made of replicas: admission for every engine, failover, and draining under load without a lost run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from itertools import count
from math import inf

import pytest

from orchestrator import chat, llm, tool, workflow
from orchestrator.compiler import compile as compiled
from orchestrator.errors import EngineError, RunError
from orchestrator.runtime.engines import errors
from orchestrator.runtime.engines.base import (
    Chunk,
    GenerateRequest,
    KvControl,
    Message,
    Usage,
    complete,
)
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.engines.sim import SimEngine, SimOptions
from orchestrator.runtime.kv.admission import AdmissionOptions, CapOptions
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.replicas import KvReplicaSet, ReplicaOptions, ReplicaSet, replicated
from orchestrator.runtime.run import Runtime


def slots(programs: int) -> ReplicaOptions:
    return ReplicaOptions(AdmissionOptions(CapOptions(programs=programs, fixed=True)))


def sim(**options: object) -> SimEngine:
    return SimEngine(options=SimOptions(**{"time_scale": 0.01, "reply_tokens": 30, **options}))  # type: ignore[arg-type]


def ask(program: str, session: str = "", text: str = "hello " * 40, **hint: object) -> GenerateRequest:
    known = KvHint(program=program, program_arrival_s=0.0, **hint)  # type: ignore[arg-type]
    return GenerateRequest(f"{program}/{session}", "default", (Message("user", text),), session=session, kv=known)


class Flaky(ScriptedEngine):
    """Fails before its reply, or in the middle of it."""

    def __init__(self, error: EngineError | None = None, *, after: int = 0) -> None:
        super().__init__(lambda _: "one two three four five six " * 10, name="flaky")
        self.error = error
        self.after = after

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        sent = 0
        async for chunk in super().generate(request):
            if self.error is not None and sent >= self.after:
                raise self.error
            sent += 1
            yield chunk


def dead() -> EngineError:
    return errors.engine_died("flaky", "out of memory", None)


async def test_a_program_waits_until_another_is_finished() -> None:
    engine = ReplicaSet("one", [sim()], slots(1))
    await complete(engine, ask("a", "a/1"))
    late = asyncio.create_task(complete(engine, ask("b", "b/1")))
    await asyncio.sleep(0.02)
    assert not late.done()
    await complete(engine, ask("a", "a/1"))
    engine.finish("a")
    async with asyncio.timeout(20):
        await late


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


async def test_a_call_that_a_dead_replica_did_not_answer_goes_to_another() -> None:
    flaky, good = Flaky(dead()), Flaky()
    engine = ReplicaSet("two", [flaky, good], slots(2))
    for i in range(4):
        reply = await complete(engine, ask(f"p{i}", f"p{i}/1"))
        assert reply.texts[0].startswith("one two")
        assert engine.router.home(f"p{i}/1") == (f"p{i}", 1)
        engine.finish(f"p{i}")
    assert len(good.requests) == 4
    assert len(flaky.requests) == 1  # left alone after the first failure
    assert engine.gates[0].state.active == 0


async def test_a_reply_that_broke_off_is_not_begun_again_silently() -> None:
    engine = ReplicaSet("two", [Flaky(dead(), after=2), Flaky(dead(), after=2)], slots(2))
    stream = engine.generate(ask("a", "a/1"))
    assert [(await anext(stream)).sample for _ in range(2)] == [0, 0]
    with pytest.raises(EngineError) as caught:
        await anext(stream)
    assert caught.value.code == "ORCH-E013"
    assert [gate.state.active for gate in engine.gates] == [0, 0]


def timed_out() -> EngineError:
    return errors.timed_out("flaky", 1.0)


FAILURES = [timed_out(), errors.overloaded("flaky", "oops"), errors.stream_broken("flaky", "nothing")]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: error.code)
async def test_a_call_that_a_failing_replica_did_not_answer_goes_to_another(error: EngineError) -> None:
    flaky, good = Flaky(), Flaky()
    engine = ReplicaSet("two", [flaky, good], slots(2))
    engine.router.drain(1)
    await complete(engine, ask("idle", "idle/1"))
    await complete(engine, ask("a", "a/1"))
    engine.router.undrain(1)
    flaky.error = error
    reply = await complete(engine, ask("a", "a/1"))
    assert reply.texts[0].startswith("one two")
    assert engine.router.home("a/1") == ("a", 1)
    assert engine.gates[0].control.holds("idle")  # the replica may be well
    assert [gate.state.active for gate in engine.gates] == [1, 1]


async def test_a_replica_is_left_alone_when_two_calls_in_a_row_get_nothing() -> None:
    flaky, good = Flaky(), Flaky()
    engine = ReplicaSet("two", [flaky, good], slots(20))
    engine.router.drain(1)
    for i in range(6):
        await complete(engine, ask(f"p{i}", f"p{i}/1"))
    engine.router.undrain(1)
    for i, error in enumerate([timed_out(), None, timed_out(), timed_out()]):
        flaky.error = error
        await complete(engine, ask(f"p{i}", f"p{i}/1"))
    asked = len(flaky.requests)
    assert asked == 10
    await complete(engine, ask("p4", "p4/1"))
    assert len(flaky.requests) == asked


async def test_the_retry_of_a_reply_that_broke_off_goes_to_another() -> None:
    broken = errors.stream_broken("flaky", "half a reply")
    engine = ReplicaSet("two", [Flaky(broken, after=2), good := Flaky()], slots(2))
    engine.router.drain(1)
    with pytest.raises(EngineError) as caught:
        await complete(engine, ask("a", "a/1"))
    assert caught.value.code == "ORCH-E019"
    with pytest.raises(EngineError):
        await complete(engine, ask("a", "a/1"))  # there is no other
    engine.router.undrain(1)
    assert (await complete(engine, ask("a", "a/1"))).texts
    assert len(good.requests) == 1


async def test_what_an_engine_forgot_when_it_died_is_no_loss() -> None:
    flaky = Flaky()
    engine = ReplicaSet("one", [flaky])
    await complete(engine, ask("a", "a/1"))
    await complete(engine, ask("b", "b/1"))
    flaky.error = dead()
    with pytest.raises(EngineError):
        await complete(engine, ask("b", "b/1"))
    assert not engine.gates[0].control.holds("a")  # nor what its session left there


async def test_an_idle_programs_slot_on_a_dead_replica_is_free() -> None:
    engine = ReplicaSet("two", [flaky := Flaky(), Flaky()], slots(1))
    engine.router.drain(1)
    await complete(engine, ask("idle", "idle/1"))
    engine.router.undrain(1)
    flaky.error = dead()
    engine.router._programs["other"] = {"other/1": 0}
    engine.gates[0].pause("idle", keep=False)
    await complete(engine, ask("idle", "idle/1"))
    assert engine.gates[0].state.active == 0
    assert engine.router.home("idle/1") == ("idle", 1)


async def test_other_errors_are_the_callers() -> None:
    engine = ReplicaSet("two", [Flaky(errors.rejected("flaky", "no")), Flaky(errors.rejected("flaky", "no"))])
    with pytest.raises(EngineError) as caught:
        await complete(engine, ask("a", "a/1"))
    assert caught.value.code == "ORCH-E014"


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
    await asyncio.sleep(0.02)
    home = engine.router.home("a/1")
    assert home is not None
    drained = home[1]
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


class Hinted(SimEngine):
    """Takes hints besides turns."""

    def __init__(self) -> None:
        super().__init__(options=SimOptions(time_scale=0))
        self.hints: list[str] = []

    async def prefetch(self, request: GenerateRequest) -> Usage:
        self.hints.append(f"prefetch {request.session}")
        return Usage(7)

    async def extend(self, session: str, hint: KvHint) -> None:
        self.hints.append(f"extend {session}")

    async def release(self, session: str) -> None:
        self.hints.append(f"release {session}")


class Deaf(Hinted):
    """Takes no hint."""

    async def release(self, session: str) -> None:
        raise ConnectionError("gone")


async def test_hints_besides_turns_go_to_the_sessions_replica() -> None:
    first, second = Hinted(), Hinted()
    engine = replicated("two", [first, second], slots(1))
    assert isinstance(engine, KvControl)
    await complete(engine, ask("a", "a/1"))
    home = engine.router.home("a/1")
    assert home is not None
    assert await engine.prefetch(ask("a", "a/2")) == Usage(7)
    await engine.extend("a/1", KvHint(pause_s=(1e6,)))
    await engine.extend("nobody", KvHint())
    assert (first, second)[home[1]].hints == ["prefetch a/2", "extend a/1"]
    assert not engine.gates[home[1]].control.holds("a")
    assert not isinstance(replicated("mixed", [first, sim()]), KvControl)


async def test_a_program_prefetches_before_its_first_turn_where_there_is_room() -> None:
    inner = Hinted()
    engine = replicated("one", [inner], slots(1))
    assert isinstance(engine, KvReplicaSet)
    assert await engine.prefetch(ask("a", "a/0", pause_s=(0.1,))) == Usage(7)
    assert engine.gates[0].control.holds("a")
    assert await engine.prefetch(ask("b", "b/0")) == Usage()  # its first turn would have to wait
    assert inner.hints == ["prefetch a/0"]
    await complete(engine, ask("a", "a/1"))
    engine.finish("a")
    late = asyncio.create_task(complete(engine, ask("b", "b/1")))
    assert (await late).finish_reasons
    assert engine.gates[0].state.waiting == 0


async def test_no_slot_is_held_over_a_long_pause_for_a_prefetch() -> None:
    engine = replicated("one", [Hinted()], slots(1))
    assert isinstance(engine, KvReplicaSet)
    assert await engine.prefetch(ask("a", "a/0", pause_s=(1e6,))) == Usage(7)
    assert engine.gates[0].state.active == 0


async def test_a_prefetch_that_is_cut_short_holds_no_slot() -> None:
    class Slow(Hinted):
        async def prefetch(self, request: GenerateRequest) -> Usage:
            await super().prefetch(request)
            await asyncio.sleep(60)
            raise AssertionError

    inner = Slow()
    engine = replicated("one", [inner], slots(1))
    assert isinstance(engine, KvReplicaSet)
    prefetch = asyncio.create_task(engine.prefetch(ask("a", "a/0")))
    while not inner.hints:
        await asyncio.sleep(0)
    assert engine.gates[0].state.active == 1
    prefetch.cancel()
    await asyncio.gather(prefetch, return_exceptions=True)
    assert engine.gates[0].state.active == 0


@pytest.mark.parametrize("fails", [False, True])
async def test_a_prefetch_changes_nothing_about_a_pause(fails: bool) -> None:
    class Refuses(Hinted):
        async def prefetch(self, request: GenerateRequest) -> Usage:
            if fails:
                raise ConnectionError
            return await super().prefetch(request)

    now_s = 0.0
    engine = KvReplicaSet("one", [Refuses()], replace(slots(1), patience=inf), clock=lambda: now_s)
    engine.router.loads[0].turn_s = 1.0
    await complete(engine, ask("a", "a/1"))
    engine.gates[0].pause("a", within_s=500.0)
    now_s = 100.0
    engine.gates[0].control.expire(now_s)
    await asyncio.gather(engine.prefetch(ask("a", "a/2")), return_exceptions=True)
    engine.gates[0].control.expire(499.0)
    assert engine.gates[0].control.holds("a")


async def test_draining_waits_for_prefetches() -> None:
    go_on = asyncio.Event()

    class Slow(Hinted):
        async def prefetch(self, request: GenerateRequest) -> Usage:
            await go_on.wait()
            return await super().prefetch(request)

    engine = KvReplicaSet("two", [Slow(), Slow()], slots(4))
    prefetch = asyncio.create_task(engine.prefetch(ask("a", "a/0")))
    await asyncio.sleep(0)
    home = engine.router.home("a/0")
    assert home is not None
    drained = asyncio.create_task(engine.drain(home[1]))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not drained.done()
    go_on.set()
    async with asyncio.timeout(10):
        await drained
    assert await prefetch == Usage(7)


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


async def _answers(runtime: Runtime, runs: int) -> list[object]:
    program = compiled(agent)
    results = await asyncio.gather(*(runtime.run(program, {"question": f"What is {i}?"}) for i in range(runs)))
    return [result.value for result in results]


async def test_draining_a_replica_under_load_changes_no_result() -> None:
    async with Runtime({"default": sim(time_scale=0)}) as runtime:
        expected = await _answers(runtime, 24)
    engine = ReplicaSet("sim", [sim(), sim()], slots(4))
    async with asyncio.timeout(60), Runtime({"default": engine}) as runtime:
        answers = asyncio.create_task(_answers(runtime, 24))
        while not all(load.done >= 3 for load in engine.router.loads):
            await asyncio.sleep(0.001)
        await engine.drain(0)
        before = (await engine.replicas[0].stats()).requests
        assert engine.router.loads[0].running_count == 0
        assert not answers.done()
        assert await answers == expected
        assert (await engine.replicas[0].stats()).requests == before  # nothing came after
    assert engine.router.moves > 0
    assert [gate.state.active for gate in engine.gates] == [0, 0]


async def test_admission_is_there_for_every_engine_and_ends_with_the_run() -> None:
    runtime = Runtime({"default": sim()})
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

    async with Runtime({"default": inner}) as runtime:
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


async def moved(engine: ReplicaSet) -> int:
    """Where a session was that has gone on elsewhere."""
    await complete(engine, ask("a", "a/1"))
    home = engine.router.home("a/1")
    assert home is not None
    await engine.drain(home[1])
    await complete(engine, ask("a", "a/1"))
    await asyncio.sleep(0)
    return home[1]


async def test_a_session_that_moves_leaves_nothing_where_it_was() -> None:
    both = Hinted(), Hinted()
    engine = replicated("two", both, slots(4))
    before = await moved(engine)
    assert [each.hints for each in both] == [["release a/1"] if i == before else [] for i in range(2)]
    assert engine.gates[before].state.active == 0
    assert not engine._telling


async def test_a_replica_that_cannot_be_told_of_a_move_harms_nobody() -> None:
    engine = replicated("two", [Deaf(), Deaf()], slots(4))
    await moved(engine)
    assert not engine._telling


async def test_a_session_is_released_where_it_was_though_its_program_is_over() -> None:
    both = Hinted(), Hinted()
    engine = replicated("two", both, slots(4))
    await complete(engine, ask("a", "a/1"))
    home = engine.router.home("a/1")
    assert home is not None
    engine.finish("a")
    await engine.release("a/1")
    assert [each.hints for each in both] == [["release a/1"] if i == home[1] else [] for i in range(2)]


async def test_every_replica_hears_of_a_session_that_is_nowhere() -> None:
    engine = replicated("two", [Deaf(), last := Hinted()])
    with pytest.raises(ConnectionError):
        await engine.release("who")
    assert last.hints == ["release who"]
