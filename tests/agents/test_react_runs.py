"""react from end to end: what the model is told of its mistakes and of its tools', and what ends a run all the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from datetime import date
from functools import partial
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from orchestrator import Hidden, Reply, Retry, ToolCall, react, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.policy import Budget
from orchestrator.errors import OrchError, RunError, TraceError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.events import OpFailed, OpsDone, OpStarted
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.run import Runtime
from orchestrator.testing import fake
from tests.dsl.recording import record


class Place(BaseModel):
    city: str
    zone: int = 1


class Unstorable:
    pass


CLUSTER = Cluster(engines=(EngineSpec(name="main", kind="scripted", model="m"),))


def call(name: str, **args: Any) -> str:
    return json.dumps({"thought": "t", "action": {"tool": name, "args": args}})


DONE = json.dumps({"thought": "t", "action": {"tool": "finish", "answer": "done"}})


def native(step: str) -> ToolCall | str:
    """What an engine that calls tools says in the place of a step."""
    action = json.loads(step)["action"]
    return action["answer"] if "answer" in action else ToolCall(action["tool"], json.dumps(action["args"]))


def told(tools: list[Any], *replies: str, deps: Any = None) -> list[str]:
    """What the model is told after each of its replies, whether it calls tools itself or writes steps."""

    def agent(question: str) -> str:
        return react(question, tools, deps=deps)

    with fake([native(reply) for reply in (*replies, DONE)]) as engine:
        assert workflow(agent)("q") == "done"
    return [message.content for message in engine.requests[-1].messages if message.role == "tool"]


def told_of_steps(tools: list[Any], *replies: str) -> list[str]:
    """What a model is told that is asked for steps."""

    @workflow
    def agent(question: str) -> str:
        return react(question, tools)

    engine = ScriptedEngine([*replies, DONE], takes_tools=False)

    async def run() -> Any:
        async with Runtime({"main": engine}) as runtime:
            return (await runtime.run(compile_workflow(agent, CLUSTER), {"question": "q"})).value

    assert asyncio.run(run()) == "done"
    assert not any(message.calls or message.role == "tool" for message in engine.requests[-1].messages)
    return [message.content for message in engine.requests[-1].messages if message.role == "user"][1:]


@tool(effects="idempotent")
def page(url: str) -> str:
    """Read a page."""
    raise LookupError(f"no page {url}")


@tool(effects="pure")
def add(left: int, right: int = 2) -> int:
    return left + right


@tool(effects="idempotent")
async def weather(place: Place, days: int | None = None, *, cc: list[str] | None = None) -> dict[str, float]:
    assert isinstance(place, Place)
    return {place.city: float(place.zone), "days": float(days or 0), "cc": float(len(cc or ()))}


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


def test_a_hidden_dependency_is_given_and_never_seen() -> None:
    class Database:
        rows: ClassVar = {"a": 1}

    @tool(effects="pure")
    def look(key: str, db: Hidden[Database], tenant: str = "none") -> str:
        """Look it up."""
        return f"{db.rows[key]} for {tenant}"

    def agent(question: str, tenant: str) -> str:
        return react(question, [look], deps={"db": Database(), "tenant": tenant})

    with fake([ToolCall("look", '{"key": "a"}'), ToolCall("look", '{"key": "a", "tenant": "evil"}'), "done"]) as engine:
        assert workflow(agent)("q", "acme") == "done"
    last = engine.requests[-1]
    (offered,) = last.sampling.tools
    assert set(offered["parameters"]["properties"]) == {"key"}
    assert offered["signature"] == "look(key: str) -> str: Look it up."
    said = [message.content for message in last.messages if message.role == "tool"]
    assert said[0] == "1 for acme"
    assert said[1].startswith("This is no legal call of look: tenant: Extra inputs are not permitted")

    def lacking(question: str) -> str:
        return react(question, [look])

    def superfluous(question: str) -> str:
        return react(question, [look], deps={"db": Database(), "dn": 1})

    for flow, message in ((lacking, "nobody gives `db` of tool `look`"), (superfluous, "react: no tool takes `dn`")):
        with pytest.raises(TraceError) as caught:
            record(workflow(flow))
        assert caught.value.diagnostics[0].message == message


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


def test_arguments_may_be_left_out_and_have_any_name_and_type() -> None:
    @tool(effects="pure")
    def configure(model_config: str, _x: int, copy: bool = True, model_name: str = "m", schema: str = "s") -> str:
        return f"{model_config}{_x}{copy}{model_name}{schema}"

    @tool(effects="pure")
    def opened(path: str, kept: Unstorable | None = None, seen: list[str] = ["a"]) -> str:  # noqa: B006
        return f"{path} {kept} {seen}"

    assert told(
        [configure, opened, weather],
        call("configure", model_config="c", _x=1, schema="z"),
        call("opened", path="p"),
        call("weather", place={"city": "Oslo"}),
        call("weather", place={"city": "Oslo", "zone": 2}, days=3, cc=["a", "b"]),
    ) == ["c1Truemz", "p None ['a']", '{"Oslo":1.0,"days":0.0,"cc":0.0}', '{"Oslo":2.0,"days":3.0,"cc":2.0}']


def test_an_idempotency_key_is_the_runtimes_and_not_the_models() -> None:
    keys: list[str] = []

    @tool(effects="once", key="key", retry=Retry(attempts=2, backoff_s=0))
    def charge(cents: int, key: str) -> str:
        keys.append(key)
        if len(keys) == 1:
            raise OSError("busy")
        return f"charged {cents}"

    assert told([charge], call("charge", cents=5), call("charge", cents=5)) == ["charged 5", "charged 5"]
    assert keys[0] == keys[1] != keys[2]
    first = told([charge], call("charge", cents=5, key="k"))[0]
    assert "Extra inputs are not permitted" in first


def test_the_advice_for_what_a_model_cannot_give_works() -> None:
    def query(db: Unstorable, text: str) -> str:
        """Ask the database."""
        return f"{type(db).__name__} {text}"

    def agent(question: str) -> str:
        return react(question, [query])

    with pytest.raises(TraceError) as caught:
        record(workflow(agent))
    assert caught.value.diagnostics[0].fix == 'give it: deps={"db": …}'
    assert told([query], call("query", text="x"), deps={"db": Unstorable()}) == ["Unstorable x"]
    assert told([partial(query, db=Unstorable())], call("query", text="x")) == ["Unstorable x"]


def test_names_that_clash_and_the_advice_for_them() -> None:
    def finish(text: str) -> str:
        return text

    def other(text: str) -> str:
        return f"{text}!"

    def agent(question: str) -> str:
        return react(question, [finish, tool(other, name="add"), add])

    with pytest.raises(TraceError) as caught:
        record(workflow(agent))
    assert [(each.code, each.message) for each in caught.value.diagnostics] == [
        ("ORCH-D031", "react cannot have a tool called `finish`"),
        ("ORCH-D031", "react has 2 tools called `add`"),
    ]
    assert caught.value.diagnostics[0].fix == 'give it another name: tool(finish, name="finish_2")'
    tools = [tool(finish, name="finish_2"), tool(other, name="add_2"), add]
    assert told(tools, call("finish_2", text="a"), call("add_2", text="b"), call("add", left=1)) == ["a", "b!", "3"]


@pytest.mark.parametrize("wrong", ["search", {"a": add}, add, None, [3], ["add"]])
def test_what_is_no_list_of_tools(wrong: Any) -> None:
    def agent(question: str) -> str:
        return react(question, wrong)

    def symbolic(question: str) -> str:
        return react(question, question)  # type: ignore[arg-type]

    for flow in (agent, symbolic):
        with pytest.raises(TraceError) as caught:
            record(workflow(flow))
        (diagnostic,) = caught.value.diagnostics
        assert diagnostic.code == "ORCH-D041"
        assert diagnostic.where is not None
        assert diagnostic.where.file == __file__


@pytest.mark.parametrize("wrong", [0, -1, None, 2.5, "3", True, 2**40])
def test_what_is_no_number_of_steps(wrong: Any) -> None:
    def agent(question: str) -> str:
        return react(question, [add], max_steps=wrong)

    with pytest.raises(TraceError) as caught:
        record(workflow(agent))
    assert caught.value.diagnostics[0].fix == "max_steps is a Python int of 1 or more"


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
    async with Runtime({"main": ScriptedEngine(replies)}, journal=journal) as runtime:
        whole = await runtime.run(compiled, {"question": "q"}, run_id="whole")
    assert whole.value == "done"
    assert sent == ["nobody", "Ada"]

    events = await journal.load("whole")
    for length in range(1, len(events)):
        sent.clear()
        prefix = MemoryJournal()
        for event in events[:length]:
            prefix.append("again", event)
        said = sum(isinstance(e, OpsDone) and e.op == "llm_1" for e in events[:length])
        async with Runtime({"main": ScriptedEngine(replies[said:])}, journal=prefix) as runtime:
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
    async with Runtime({"main": ScriptedEngine([call("page", url="x"), OSError("gone")])}, journal=journal) as runtime:
        with pytest.raises(OrchError):
            await runtime.run(compile_workflow(agent, CLUSTER), {"question": "q"}, run_id="r")
    events = await journal.load("r")
    assert any(isinstance(event, OpFailed) and event.op == "page_1" for event in events)
    assert events[-1].op.endswith("llm_1")  # type: ignore[union-attr]


def looking_up(tp: Any) -> Any:
    """A tool for values of a type; all of them come of the same code."""

    def look_up(key: tp) -> str:
        return f"{type(key).__name__} {key}"

    return tool(look_up, effects="pure")


def test_tools_of_the_same_code_have_their_own_types() -> None:
    assert told([looking_up(int)], call("look_up", key=7)) == ["int 7"]
    assert told([looking_up(str)], call("look_up", key="7")) == ["str 7"]
    assert told([looking_up(date)], call("look_up", key="2024-05-06")) == ["date 2024-05-06"]


def test_each_attempt_of_a_tool_gets_all_items() -> None:
    seen: list[list[int]] = []

    @tool(effects="idempotent", retry=2)
    def add_up(numbers: Iterable[int]) -> int:
        seen.append(list(numbers))
        if len(seen) == 1:
            raise OSError("busy")
        return sum(seen[-1])

    assert told([add_up], call("add_up", numbers=[3, 4])) == ["7"]
    assert seen == [[3, 4], [3, 4]]
