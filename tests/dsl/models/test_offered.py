"""Tools as a model is offered them, and the calls that offer them."""

from __future__ import annotations

import json

from orchestrator import Hidden, llm, tool, workflow
from orchestrator.dsl.models.offered import offered
from tests.dsl.diagnosing import diagnose
from tests.dsl.recording import record


@tool(effects="pure")
def add(left: int, right: int = 2) -> int:
    return left + right


def test_a_reply_to_tools_has_its_type_and_fields() -> None:
    @workflow
    def flow(question: str) -> str:
        reply = llm(question, tools=[add], temperature=0)
        first = reply.calls[0]
        return f"{reply.text} {first.name} {first.arguments}"

    op = record(flow)["llm_1"]
    assert op.results[0].type == "Reply"
    assert json.loads(op.opts["tools"])[0]["name"] == "add"
    assert "schema" not in op.opts


def test_with_no_choice_the_reply_is_a_text() -> None:
    @workflow
    def flow(question: str) -> str:
        return llm(question, tools=[add], tool_choice="none")  # type: ignore[return-value]

    assert record(flow)["llm_1"].results[0].type == "str"


def test_names_that_apis_do_not_take_are_replaced() -> None:
    def one(text: str) -> str:
        return text

    names = ["look up", "look_up_1", "über", "x" * 80, "y" * 64]
    made = offered("llm", [tool(one, name=name) for name in names])
    assert made.names[:3] == ("look_up_2", "look_up_1", "_ber_1")
    assert all(len(name) <= 64 for name in made.names)
    assert len(set(made.names)) == len(names)


def test_what_does_not_go_with_tools_is_refused() -> None:
    def look(key: str, db: Hidden[str]) -> str:
        return key + db

    def finish(text: str) -> str:
        return text

    def flow(question: str) -> str:
        llm(question, tools=[add], returns=int)  # type: ignore[call-overload]  # D041
        llm(question, tools=[add], choice=["a", "b"])  # D041
        llm(question, tools=[add], tool_choice="sub")  # D041
        llm(question, tools="add")  # type: ignore[call-overload]  # D041
        llm(question, tools=[look], deps=["db"])
        return question

    messages = [error.message for error in diagnose(flow)]
    assert messages == [
        "returns= and tools= in one call",
        "choice= and tools= in one call",
        "tool_choice='sub'",
        "llm: tools='add'",
    ]


def test_hidden_parameters_are_in_no_schema() -> None:
    @tool(effects="pure")
    def look(key: str, db: Hidden[str], top: int = 3) -> str:
        return f"{key}{db}{top}"

    (each,) = json.loads(offered("llm", [look], ["db"]).tools)
    assert set(each["parameters"]["properties"]) == {"key", "top"}
    assert "db" not in each["signature"]
