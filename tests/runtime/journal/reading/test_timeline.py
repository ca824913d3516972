"""The history of a run, for people."""

from __future__ import annotations

import pytest

from orchestrator import llm, tool, workflow
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.coordinator.forking import fork
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.lines.line import VERSION
from orchestrator.runtime.journal.reading.described import Described, DescribedOp
from orchestrator.runtime.journal.reading.timeline import Reading, Timeline
from orchestrator.runtime.journal.reading.timeline import timeline as read_timeline
from orchestrator.runtime.journal.stores.base import Row
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.runner import Runner


def timeline(*lines: str, described: Described | None = None) -> Timeline:
    """What lines of a log say, a row each."""
    reading, described = Reading(), described or Described()
    for number, text in enumerate((str(VERSION), *lines), 1):
        reading.row(Row(number, False, 0.0, f"{text}\n".encode()), described)
    return reading.timeline


def test_a_step_has_its_attempts_its_tokens_and_what_it_waited_for() -> None:
    known = Described({"9f": DescribedOp("reply", "generate", "engine:main", "flow.py:3", 2.0, 0.01)})
    (step,) = timeline(
        '["started",10.0,"9f",1]',
        '["failed",11.0,"9f",1,"ORCH-R001","gone",2.0,true,null]',
        '["started",13.0,"9f",2]',
        '["done",15.0,"9f",["x"],null,[100,null,20],0.5,["stop"]]',
        described=known,
    ).steps
    assert (step.name, step.place, step.predicted_s, step.status) == ("reply", "engine:main", 2.0, "done")
    assert (step.attempts, step.seconds, step.waited_s) == (2, 5.0, {"a retry": 2.0})
    assert (step.input_tokens, step.output_tokens, step.cost_usd) == (100, 20, 0.5)


def test_a_result_that_says_how_long_it_took_is_an_attempt_of_its_own() -> None:
    steps = timeline(
        '["started",10.0,"9f",1]',
        '["failed",11.0,"9f",1,"ORCH-R001","gone",2.0,true,null]',
        '["wrote",15.0,"9f",["x"],"1c",1.5]',
        '["done",15.5,"5a",["x"],"1c",0.25]',
    ).steps
    assert [(step.attempts, step.seconds, step.status) for step in steps] == [(2, 5.0, "done"), (1, 0.25, "done")]


def test_time_in_which_nobody_executed_a_run_is_waiting_of_what_was_under_way() -> None:
    found = timeline('["started",10.0,"9f",1]', '["resumed",70.0,"",null,0.0]', '["started",70.0,"9f",1]')
    assert (found.resumed, found.down_s) == (1, 60.0)
    assert found.steps[0].waited_s == {"a process": 60.0}


def test_what_ran_when_its_run_ended_is_stopped_until_somebody_goes_on_with_it() -> None:
    ended = ('["started",10.0,"9f",1]', '["failure",11.0,"","ORCH-R035","interrupted",null,null]')
    assert [step.status for step in timeline(*ended).steps] == ["stopped"]
    found = timeline(*ended, '["resumed",71.0,"",null,1.0]', '["started",71.0,"9f",1]')
    assert [(step.status, step.waited_s) for step in found.steps] == [("running", {"a process": 60.0})]


def test_a_question_that_is_open_waits_for_a_person() -> None:
    (step,) = timeline('["asked",10.0,"9f","verdict","Pay?",{},["yes"],null,"5a"]').steps
    assert (step.status, step.waits_for, step.said) == ("waiting", "a person", "Pay?")


def test_lines_that_cannot_be_read_cost_only_themselves() -> None:
    found = timeline('["started",10.0', '["started"]', '["failed",1.0,"x"]', '["started",10.0,"9f",1]', "[" * 100_000)
    assert [step.path for step in found.steps] == ["x", "9f"]
    assert len(found.problems) == 4


def test_messages_are_no_problem_wherever_they_are() -> None:
    found = timeline('m[1,0,"a text"]', f"M20261130-{'0' * 64}", '["started",10.0,"9f",1]')
    assert (len(found.steps), found.problems) == (1, [])


def test_a_snapshot_says_nothing_twice() -> None:
    reading = Reading()
    text = f'{VERSION}\n["done",10.0,"9f",["x"],null,[100,null,20],0.5,["stop"]]\n'.encode()
    reading.row(Row(1, False, 0.0, text), Described())
    reading.row(Row(2, True, 0.0, text), Described())
    assert reading.timeline.steps[0].input_tokens == 100


@tool(effects="reads")
async def fail(text: str) -> str:
    raise ValueError(text)


def versions() -> tuple[Compiled, Compiled]:
    """Two versions of a workflow, of which the second has another name for one op, and has not got two others."""

    @workflow
    def flow() -> str:
        facts = llm("Facts?", name="facts")
        return fail(llm(f"{facts} Really?", temperature=0.5, name="doubts"))

    first = compile_workflow(flow)

    @workflow
    def flow() -> str:
        return llm(f"{llm('Facts?', name='facts_now')}!", name="told")

    return first, compile_workflow(flow)


async def test_ops_have_the_names_of_the_latest_version_that_has_them() -> None:
    store, (first, second) = MemoryStore(), versions()
    async with Runner({"default": ScriptedEngine(lambda request: "yes")}, store=store) as runner:
        with pytest.raises(RunError):
            await runner.run(first, {}, run_id="r")
        before = await read_timeline(store, "r")
        assert [step.name for step in before.steps] == ["facts", "doubts", "fail_1"]
        await runner.resume(second, "r")
    assert [step.name for step in (await read_timeline(store, "r")).steps] == ["facts_now", "doubts", "fail_1", "told"]


@pytest.mark.parametrize("before", ["doubts", "facts", "facts_now", "told"])
async def test_a_run_is_forked_at_an_op_of_any_of_its_versions(before: str) -> None:
    store, (first, second) = MemoryStore(), versions()
    async with Runner({"default": ScriptedEngine(lambda request: "yes")}, store=store) as runner:
        with pytest.raises(RunError):
            await runner.run(first, {}, run_id="r")
        await runner.resume(second, "r")
        await fork(store, second.program, "r", "f", before=before)
        assert (await runner.resume(second, "f")).value == "yes"
    assert "told" in [step.name for step in (await read_timeline(store, "f")).steps]
