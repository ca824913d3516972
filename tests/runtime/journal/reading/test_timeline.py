"""The history of a run, for people."""

from __future__ import annotations

from orchestrator.runtime.journal.lines.line import VERSION
from orchestrator.runtime.journal.reading.described import Described, DescribedOp
from orchestrator.runtime.journal.reading.timeline import Reading, Timeline
from orchestrator.runtime.journal.stores.base import Row


def timeline(*lines: str, described: Described | None = None) -> Timeline:
    """What lines of a log say, a row each."""
    reading = Reading(described or Described())
    for number, text in enumerate((str(VERSION), *lines), 1):
        reading.row(Row(number, False, 0.0, f"{text}\n".encode()))
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
    reading = Reading(Described())
    text = f'{VERSION}\n["done",10.0,"9f",["x"],null,[100,null,20],0.5,["stop"]]\n'.encode()
    reading.row(Row(1, False, 0.0, text))
    reading.row(Row(2, True, 0.0, text))
    assert reading.timeline.steps[0].input_tokens == 100
