"""react from end to end: what the model is told of its mistakes and of its tools', and what ends a run all the same."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from orchestrator import Reply, Retry, ToolCall, react, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.declared.policy import Budget
from orchestrator.errors import OrchError, RunError
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.events import OpDone, OpFailed, OpStarted
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.runner import Runner
from orchestrator.testing import fake
from tests.agents.reacting import (
    CLUSTER,
    DONE,
    add,
    call,
    page,
    told,
    told_of_steps,
)


def test_a_tool_that_raises_is_an_observation() -> None:
    assert told([page, add], call("page", url="x"), call("add", left=1)) == [
        "page failed: builtins.LookupError: no page x",
        "3",
    ]


@pytest.mark.parametrize("effects", ["pure", "idempotent", "once"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_whatever_the_tool_and_whatever_it_raises(effects: Any, asynchronous: bool) -> None:
    class OddError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    def blocking(n: int) -> int:
        raise [ValueError("small"), SystemExit(3), StopIteration("end"), OddError(), KeyError()][n]

    async def waiting(n: int) -> int:
        await asyncio.sleep(0)
        return blocking(n)

    fail = tool(waiting if asynchronous else blocking, name="fail", effects=effects)
    observed = told([fail], *[call("fail", n=n) for n in range(5)])
    assert all(text.startswith("fail failed: ") for text in observed)
    assert "ValueError: small" in observed[0]
    assert "SystemExit" in observed[1]
    assert "StopIteration" in observed[2]
    assert "OddError" in observed[3]


def test_a_result_of_another_type_and_a_timeout_are_observations() -> None:
    @tool(effects="idempotent")
    def wrong(n: int) -> int:
        return "n"  # type: ignore[return-value]

    @tool(effects="idempotent", timeout=0.01)
    async def slow(n: int) -> int:
        await asyncio.sleep(30)
        return n

    observed = told([wrong, slow], call("wrong", n=1), call("slow", n=1))
    assert observed[0].startswith("wrong failed: validation: ")
    assert observed[1].endswith("took longer than its timeout of 0.01 s")
    assert observed[1].startswith("slow failed: timeout: ")


def test_a_tool_is_retried_as_it_declares_before_the_model_is_told() -> None:
    tries: list[int] = []

    @tool(effects="idempotent", retry=Retry(attempts=3, backoff_s=0))
    def flaky(n: int) -> int:
        tries.append(n)
        if len(tries) < 3 or n == 9:
            raise OSError("busy")
        return n

    assert told([flaky], call("flaky", n=1), call("flaky", n=9)) == ["1", "flaky failed: builtins.OSError: busy"]
    assert tries == [1, 1, 1, 9, 9, 9]


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("I think I should add them.", "Invalid JSON"),
        ('{"thought": "t", "action": {"tool": "ad', "Invalid JSON"),
        ("", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ('{"thought": "t"}', "action: Field required"),
        ('{"thought": "t", "action": {"tool": "finish"}}', "action.finish.answer: Field required"),
    ],
)
def test_a_reply_that_is_no_step_is_an_observation(reply: str, problem: str) -> None:
    first, second = told_of_steps([add], reply, call("add", left=40))
    assert first.startswith("This is no legal step: ")
    assert problem in first
    assert second == "42"


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (call("nope", left=1), "There is no tool 'nope'; the tools are: add"),
        (call("add", left="one"), "This is no legal call of add: left: Input should be a valid integer"),
        (call("add"), "This is no legal call of add: left: Field required"),
        (call("add", left=1, more=2), "This is no legal call of add: more: Extra inputs are not permitted"),
    ],
)
def test_a_call_that_is_none_is_an_observation(reply: str, problem: str) -> None:
    for observed in (told([add], reply, call("add", left=40)), told_of_steps([add], reply, call("add", left=40))):
        assert observed[0].startswith(problem)
        assert observed[1] == "42"


def test_arguments_that_are_no_json_are_an_observation() -> None:
    def agent(question: str) -> str:
        return react(question, [add])

    with fake([ToolCall("add", '{"left": 1'), Reply(), ToolCall("add", ""), "done"]) as engine:
        assert workflow(agent)("q") == "done"
    said = [message for message in engine.requests[-1].messages if message.role in ("tool", "user")][1:]
    assert [message.role for message in said] == ["tool", "user", "tool"]
    assert said[0].content.startswith("This is no legal call of add: Invalid JSON")
    assert said[1].content == "The reply is empty: answer, or call a tool."
    assert "left: Field required" in said[2].content


def test_several_calls_of_one_turn_are_answered_by_their_ids() -> None:
    calls = [ToolCall("add", '{"left": 1}', "a"), ToolCall("nope", "{}", "b"), ToolCall("add", '{"left": 2}')]

    def agent(question: str) -> str:
        return react(question, [add])

    with fake([Reply("let me see", calls), "done"]) as engine:
        assert workflow(agent)("q") == "done"
    turn, *answers = engine.requests[-1].messages[-4:]
    assert (turn.content, [call.id for call in turn.calls]) == ("let me see", ["a", "b", "call_2_2"])
    assert [(each.role, each.call_id) for each in answers] == [("tool", "a"), ("tool", "b"), ("tool", "call_2_2")]
    assert [each.content for each in answers][::2] == ["3", "4"]


def test_calls_with_effects_are_made_in_the_order_of_the_model() -> None:
    made: list[int] = []

    @tool(effects="idempotent")
    async def write(number: int) -> int:
        await asyncio.sleep(0.01 * (5 - number))
        made.append(number)
        return number

    def agent(question: str) -> str:
        return react(question, [write])

    with fake([Reply("", [ToolCall("write", json.dumps({"number": n})) for n in range(5)]), "done"]):
        workflow(agent)("q")
    assert made == [0, 1, 2, 3, 4]


def test_a_step_may_stand_in_a_fence_or_behind_reasoning() -> None:
    fenced = f"<think>Hm {{}}.</think>\n```json\n{call('add', left=1)}\n```"
    assert told_of_steps([add], fenced) == ["3"]


def test_mistakes_use_up_the_steps() -> None:
    def agent(question: str) -> str:
        return react(question, [add], max_steps=3)

    with fake([Reply(), ToolCall("nope"), ToolCall("add"), "It is 3."]) as engine:
        assert workflow(agent)("q") == "It is 3."
    assert len(engine.requests) == 4
    assert engine.requests[-1].messages[-1].content.startswith("No steps are left")
    assert engine.requests[-1].sampling.tool_choice == "none"
    assert engine.requests[-1].messages[-2].role == "tool"


async def test_a_once_tool_is_called_once_for_each_step_also_after_a_crash() -> None:
    sent: list[str] = []

    @tool
    def send(to: str) -> str:
        sent.append(to)
        if to == "nobody":
            raise ValueError("no such person")
        return f"sent to {to}"

    @workflow
    def agent(question: str) -> str:
        return react(question, [send, page])

    replies = [call("send", to="nobody"), call("send", to="Ada"), call("page", url="x"), DONE]
    compiled = compile_workflow(agent, CLUSTER)
    journal = MemoryJournal()
    async with Runner({"main": ScriptedEngine(replies)}, journal=journal) as runtime:
        whole = await runtime.run(compiled, {"question": "q"}, run_id="whole")
    assert whole.value == "done"
    assert sent == ["nobody", "Ada"]

    events = await journal.load("whole")
    for length in range(1, len(events)):
        sent.clear()
        prefix = MemoryJournal()
        for event in events[:length]:
            prefix.append("again", event)
        said = sum(isinstance(e, OpDone) and e.op == "llm_1" for e in events[:length])
        async with Runner({"main": ScriptedEngine(replies[said:])}, journal=prefix) as runtime:
            try:
                result = await runtime.resume(compiled, "again")
            except RunError as error:
                assert error.code == "ORCH-R020"
                assert sent == []
                continue
        assert result.value == "done"
        begun = {(e.frame, e.op) for e in events[:length] if isinstance(e, OpStarted) and e.op == "send_1"}
        assert len(begun) + len(sent) == 2


async def test_what_no_tool_did_ends_the_run() -> None:
    @tool(timeout=0.01)
    async def pay(amount: int) -> str:
        await asyncio.sleep(30)
        return "paid"

    @workflow
    def agent(question: str) -> str:
        return react(question, [pay])

    with pytest.raises(RunError), fake([call("pay", amount=1), DONE]):
        agent("q")

    @workflow(budget=Budget(tokens=40))
    def poor(question: str) -> str:
        return react(question, [add])

    with pytest.raises(OrchError) as caught, fake([call("add", left=1), DONE]):
        poor("q")
    assert caught.value.code == "ORCH-R010"


async def test_a_caught_failure_is_not_what_a_later_one_is_blamed_on() -> None:
    @workflow
    def agent(question: str) -> str:
        return react(question, [page])

    journal = MemoryJournal()
    async with Runner({"main": ScriptedEngine([call("page", url="x"), OSError("gone")])}, journal=journal) as runtime:
        with pytest.raises(OrchError):
            await runtime.run(compile_workflow(agent, CLUSTER), {"question": "q"}, run_id="r")
    events = await journal.load("r")
    assert any(isinstance(event, OpFailed) and event.op == "page_1" for event in events)
    assert events[-1].op.endswith("llm_1")  # type: ignore[union-attr]


async def test_what_a_step_writes_depends_on_what_is_new_in_it_and_not_on_how_many_tools_there_are() -> None:
    """One of 150 tools is called by a switch of 150 arms, and the conversation is longer with every step."""

    def numbered(number: int) -> Any:
        def look(text: str) -> str:
            return f"{number} {text}"

        look.__name__ = f"look_{number}"
        look.__doc__ = f"Look {number}."
        return tool(look, effects="idempotent")

    tools = [numbered(number) for number in range(150)]

    async def written(many: int, steps: int) -> tuple[int, int, int]:
        """Events, lines and bytes of a run in which a step has about 680 characters of new text."""

        @workflow
        def asking(text: str) -> str:
            return react(text, tools[:many], max_steps=60)

        replies = [
            json.dumps({"action": {"tool": f"look_{step % many}", "args": {"text": f"{step:03}" * 100}}})
            for step in range(steps)
        ]
        engine = ScriptedEngine([*replies, '{"action": {"tool": "finish", "answer": "done"}}'])
        store = MemoryStore()
        async with Runner({"default": engine}, store=store) as runtime:
            result = await runtime.run(compile_workflow(asking), {"text": "q"}, run_id="r")
        assert result.value == "done"
        rows = b"".join([row.data async for row in store.history("r")])
        return len(result.events), rows.count(b"\n["), len(rows)

    events, lines, size = await written(150, 20)
    assert events <= 12 * 21
    assert lines <= 6 * 21
    assert size <= 21 * 3 * 680
    assert (await written(150, 40))[2] <= 2.1 * size
    assert (await written(3, 20))[2] >= 0.95 * size
