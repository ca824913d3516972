"""The tools that react is given: their parameters, names, keys and hidden dependencies."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from functools import partial
from typing import Any, ClassVar

import pytest

from orchestrator import Hidden, Retry, ToolCall, react, tool, workflow
from orchestrator.errors import TraceError
from orchestrator.testing import fake
from tests.agents.reacting import (
    Unstorable,
    add,
    call,
    told,
    weather,
)
from tests.dsl.recording import record


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
