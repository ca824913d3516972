"""Whole programs in a Ray worker: the same results, and a journal that outlives the worker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from pydantic import BaseModel

from orchestrator import Error, attempt, chat, llm, loop, map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import BudgetError, RunError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.base import GenerateRequest
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.events import OpDone, RunDone, RunFailed, RunStarted, Token
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.observe import Subscription
from orchestrator.runtime.program.specs import Limits
from orchestrator.runtime.ray.region_actor import RegionActor
from orchestrator.runtime.ray.session import RaySession
from orchestrator.runtime.runner import Runner
from tests.awaiting import until

pytestmark = [pytest.mark.ray, pytest.mark.asyncio(loop_scope="session")]


class Step(BaseModel):
    number: int
    pid: int


@tool(effects="idempotent")
async def work(number: int) -> Step:
    await asyncio.sleep(0.001)
    return Step(number=number + 1, pid=os.getpid())


@workflow
def counting(start: int) -> list[Step]:
    """Three agents of three turns each."""

    def agent(number: int) -> Step:
        return loop(lambda step: work(step.number), work(number), max=2)

    return map_(agent, [start, start + 10, start + 20])


async def test_a_program_runs_in_one_other_process(ray_session: RaySession) -> None:
    async with RegionActor(num_cpus=0) as actor:
        result = await actor.run(compile_workflow(counting), {"start": 0})
    assert [step.number for step in result.value] == [3, 13, 23]
    (pid,) = {step.pid for step in result.value}
    assert pid != os.getpid()


async def test_the_drivers_journal_holds_what_a_local_run_would_journal(ray_session: RaySession) -> None:
    compiled = compile_workflow(counting)
    async with RegionActor(num_cpus=0) as actor, Runner() as runtime:
        await actor.run(compiled, {"start": 0}, run_id="there")
        await runtime.run(compiled, {"start": 0}, run_id="here")
        there, here = await actor.journal.load("there"), await runtime.journal.load("here")
    kinds = [sorted(f"{type(event).__name__} {getattr(event, 'frame', '')}" for event in log) for log in (there, here)]
    assert kinds[0] == kinds[1]
    assert isinstance(there[-1], RunDone)


@tool(effects="once")
def noted(number: int, file: str) -> int:
    with Path(file).open("a") as notes:
        notes.write(f"{number}\n")
    return number + 1


@tool(effects="idempotent")
def dies_once(number: int, marker: str) -> int:
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number + 1


@workflow
def fragile(file: str, marker: str) -> int:
    return noted(dies_once(noted(0, file), marker), file)


async def test_a_run_outlives_its_worker_and_repeats_nothing(ray_session: RaySession, tmp_path: Path) -> None:
    compiled = compile_workflow(fragile)
    inputs = {"file": str(tmp_path / "notes"), "marker": str(tmp_path / "marker")}
    first = RegionActor(num_cpus=0)
    with pytest.raises(RunError) as died:
        await first.run(compiled, inputs, run_id="run")
    assert died.value.code == "ORCH-R025"
    second = RegionActor(num_cpus=0, journal=first.journal)
    assert (await second.resume(compiled, "run")).value == 3
    assert (tmp_path / "notes").read_text() == "0\n2\n"
    await second.close()


@workflow
def careful(file: str, marker: str) -> str:
    def handled(error: Error) -> str:
        return f"{error.message} {dies_once(noted(7, file), marker)}"

    return attempt(lambda: refused_once(noted(0, file)), handled, catching=LookupError)  # type: ignore[return-value]


@tool(effects="idempotent")
def refused_once(number: int) -> str:
    raise KeyError("no")


async def test_a_failure_that_was_caught_in_a_worker_that_died_is_not_tried_again(
    ray_session: RaySession, tmp_path: Path
) -> None:
    compiled = compile_workflow(careful)
    inputs = {"file": str(tmp_path / "notes"), "marker": str(tmp_path / "marker")}
    first = RegionActor(num_cpus=0)
    with pytest.raises(RunError) as died:
        await first.run(compiled, inputs, run_id="run")
    assert died.value.code == "ORCH-R025"
    async with RegionActor(num_cpus=0, journal=first.journal) as second:
        assert (await second.resume(compiled, "run")).value == "'no' 9"
    assert (tmp_path / "notes").read_text() == "0\n7\n"


async def test_a_run_can_go_on_in_process(ray_session: RaySession, tmp_path: Path) -> None:
    compiled = compile_workflow(fragile)
    inputs = {"file": str(tmp_path / "notes"), "marker": str(tmp_path / "marker")}
    actor = RegionActor(num_cpus=0)
    with pytest.raises(RunError):
        await actor.run(compiled, inputs, run_id="run")
    async with Runner(journal=actor.journal) as runtime:
        assert (await runtime.resume(compiled, "run")).value == 3


async def test_an_unknown_run_cannot_be_resumed(ray_session: RaySession) -> None:
    async with RegionActor(num_cpus=0) as actor:
        with pytest.raises(RunError) as unknown:
            await actor.resume(compile_workflow(counting), "never")
    assert unknown.value.code == "ORCH-R023"


@tool
def refuses(number: int) -> int:
    raise LookupError(f"no row {number}")


@workflow
def failing(number: int) -> int:
    return refuses(number)


async def test_an_error_names_the_users_line(ray_session: RaySession) -> None:
    async with RegionActor(num_cpus=0) as actor:
        with pytest.raises(RunError, match="no row 7") as failed:
            await actor.run(compile_workflow(failing), {"number": 7})
    where = failed.value.diagnostics[0].where
    assert where is not None
    assert where.file == __file__


@tool(effects="idempotent")
async def waits(marker: str) -> int:
    Path(marker).touch()
    try:
        await asyncio.sleep(60)
    finally:
        Path(marker).rename(f"{marker}.cancelled")
    return 0


@workflow
def waiting(marker: str) -> int:
    return waits(marker)


async def test_cancelling_reaches_the_worker(ray_session: RaySession, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    async with RegionActor(num_cpus=0) as actor:
        run = asyncio.create_task(actor.run(compile_workflow(waiting), {"marker": str(marker)}))
        await until(marker.exists)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await until((tmp_path / "marker.cancelled").exists)


@workflow
def asking(question: str) -> str:
    return llm(question)


async def test_engines_answer_there_and_observers_see_it_here(ray_session: RaySession) -> None:
    compiled = compile_workflow(asking, Cluster(engines=(EngineSpec(name="main", kind="scripted", model="m"),)))
    feed = Subscription()
    async with RegionActor({"main": ScriptedEngine(["forty two"], name="main", model="m")}, num_cpus=0) as actor:
        result = await actor.run(compiled, {"question": "How many?"}, observers=[feed])
    assert result.value == "forty two"
    assert result.simulated
    assert result.usage.output_tokens > 0
    seen = feed.drain()
    assert "".join(each.text for each in seen if isinstance(each, Token)) == "forty two"
    assert any(isinstance(each, OpDone) for each in seen)


@tool(effects="idempotent")
def asks_in_a_thread(question: str) -> str:
    return asking(question)


@tool(effects="idempotent")
async def asks_on_the_loop(question: str) -> str:
    return await asking.arun(question)


@workflow
def asking_within(question: str) -> str:
    return f"{asks_in_a_thread(question)}, {asks_on_the_loop(question)}"


async def test_tools_call_workflows_there_on_the_engines_of_their_run(ray_session: RaySession) -> None:
    compiled = compile_workflow(asking_within, Cluster(engines=(EngineSpec(name="main", kind="scripted", model="m"),)))
    engine = ScriptedEngine(["forty two", "43"], name="main", model="m")
    async with RegionActor({"main": engine}, num_cpus=0) as actor:
        result = await actor.run(compiled, {"question": "How many?"})
        assert sorted(result.value.split(", ")) == ["43", "forty two"]
        assert result.usage.output_tokens > 0
        with pytest.raises(BudgetError):
            await actor.run(compiled, {"question": "How many?"}, budget="1 token")


async def test_a_budget_stops_a_run_there(ray_session: RaySession) -> None:
    compiled = compile_workflow(asking, Cluster(engines=(EngineSpec(name="main", kind="scripted", model="m"),)))
    async with RegionActor({"main": ScriptedEngine(["forty two"], name="main", model="m")}, num_cpus=0) as actor:
        with pytest.raises(BudgetError):
            await actor.run(compiled, {"question": "How many? " * 50}, budget=Limits(tokens=20))


@tool(effects="idempotent")
async def look_up(what: str) -> str:
    await asyncio.sleep(0.05)
    return what


@workflow
def talking(question: str) -> str:
    reply, talk = chat("Be brief.").say(question)
    return talk.say(look_up(reply)).reply


def hinted(request: GenerateRequest) -> str:
    """What the first turn was told; the second one repeats it."""
    hint = request.kv
    assert hint is not None
    return json.dumps([hint.tenant, *hint.pause_s]) if hint.pause_s else request.messages[-1].content


class Pauses:
    """A store of pauses that holds one."""

    def __init__(self) -> None:
        self.rows = [('["talking", "look_up"]', 7.0, False)]

    def recent(self, namespace: str, most_per_key: int) -> list[tuple[str, float, bool]]:
        return list(self.rows)

    def append(self, namespace: str, key: str, value: float, *, censored: bool) -> None:
        self.rows.append((key, value, censored))


async def test_pauses_are_forecast_there_and_what_they_teach_comes_back(ray_session: RaySession) -> None:
    compiled = compile_workflow(talking, Cluster(engines=(EngineSpec(name="main", kind="scripted", model="m"),)))
    store = Pauses()
    async with RegionActor({"main": ScriptedEngine(hinted, name="main", model="m")}, pauses=store, num_cpus=0) as actor:
        first = await actor.run(compiled, {"question": "How many?"}, tenant="acme")
        second = await actor.run(compiled, {"question": "How many?"})
    (tenant, *expected_s), (nobody, *then_s) = json.loads(first.value), json.loads(second.value)
    assert (tenant, nobody) == ("acme", None)
    assert [(key, censored) for key, _, censored in store.rows] == [('["talking", "look_up"]', False)] * 3
    taught_s = store.rows[1][1]
    assert taught_s >= 0.05
    assert 7.0 in expected_s
    assert taught_s not in expected_s
    assert {7.0, taught_s} <= set(then_s)


async def test_a_run_that_is_cancelled_has_its_end_in_the_journal(ray_session: RaySession, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    async with RegionActor(num_cpus=0) as actor:
        run = asyncio.create_task(actor.run(compile_workflow(waiting), {"marker": str(marker)}, run_id="cut"))
        await until(marker.exists)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        last = (await actor.journal.load("cut"))[-1]
        assert isinstance(last, RunFailed)
        assert last.code == "ORCH-R024"


async def test_a_worker_that_died_is_replaced_for_all_that_come_next(ray_session: RaySession, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    async with RegionActor(num_cpus=0) as actor:
        first = await actor.run(compile_workflow(counting), {"start": 0})
        lost = asyncio.create_task(actor.run(compile_workflow(waiting), {"marker": str(marker)}))
        await until(marker.exists)
        os.kill(first.value[0].pid, signal.SIGKILL)
        with pytest.raises(RunError) as died:
            await lost
        assert died.value.code == "ORCH-R025"
        again = await asyncio.gather(*(actor.run(compile_workflow(counting), {"start": n}) for n in range(4)))
        assert [each.value[0].number for each in again] == [3, 4, 5, 6]
        (pid,) = {step.pid for each in again for step in each.value}
        assert pid != first.value[0].pid


async def test_a_worker_that_died_while_it_had_nothing_to_do_is_not_noticed(ray_session: RaySession) -> None:
    async with RegionActor(num_cpus=0) as actor:
        first = await actor.run(compile_workflow(counting), {"start": 0})
        os.kill(first.value[0].pid, signal.SIGKILL)
        second = await actor.run(compile_workflow(counting), {"start": 5})
        assert second.value[0].number == 8


class Faulty(Subscription):
    def push(self, entry: object) -> None:
        raise ValueError("a fault of mine")


async def test_an_observer_that_fails_fails_no_run(ray_session: RaySession) -> None:
    async with RegionActor(num_cpus=0, observers=[Faulty()]) as actor:
        result = await actor.run(compile_workflow(counting), {"start": 0})
    assert [step.number for step in result.value] == [3, 13, 23]
    assert "Faulty" in result.warnings[0]


async def test_resuming_another_program_is_refused_before_a_worker_is_asked(ray_session: RaySession) -> None:
    @workflow
    def other(start: int) -> list[Step]:
        return [work(start)]

    interrupted = MemoryJournal()
    started = compile_workflow(counting).program.fingerprint
    interrupted.append("r", RunStarted("r", "counting", started, (0,), 0.0))
    async with RegionActor(num_cpus=0, journal=interrupted) as actor:
        with pytest.raises(RunError) as caught:
            await actor.resume(compile_workflow(other), "r")
    assert caught.value.code == "ORCH-R021"
    assert caught.value.__context__ is None
