from __future__ import annotations

from orchestrator.planner.graph import read
from orchestrator.planner.tools.crowd import Crowd, crowds
from tests.planner.level2 import Builder, parsed, workflow


def crowds_of(body: Builder, result: str) -> dict[str, Crowd]:
    with parsed(body.closed([result])) as module:
        return crowds(read(module).body)


def test_what_waits_for_the_same_value_runs_at_once() -> None:
    body, (question,) = workflow(question="str")
    first = body.call("a", "tool", [question], "str")
    body.call("b", "tool", [question], "str")
    last = body.call("c", "tool", [first], "str")
    found = crowds_of(body, last)
    assert found == {"a": Crowd(2, 0), "b": Crowd(2, 0), "c": Crowd(1, 0)}


def test_a_model_call_beside_a_tool_waits_on_the_event_loop() -> None:
    body, (question,) = workflow(question="str")
    result = body.call("a", "tool", [question], "str")
    body.ask_model("llm_1", body.prompt("p", ["Q: ", ""], [question]))
    body.call("watch", "tool", [question], "str", effects="reads")
    assert crowds_of(body, result) == {"a": Crowd(1, 2)}


def test_what_takes_no_time_and_what_stays_on_the_event_loop_counts_for_nothing() -> None:
    body, (question,) = workflow(question="str")
    body.call("cheap", "tool", [question], "str", place="inline")
    body.call("later", "tool", [question], "str", opts={"is_async": True})
    body.call("same", "tool", [question], "bool", callee="builtin.not")
    result = body.call("field", "field", [question], "str")
    result = body.call("a", "tool", [result], "str")
    assert crowds_of(body, result)["a"].computing == 1
    assert set(crowds_of(body, result)) == {"a"}
