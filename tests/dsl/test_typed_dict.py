"""``TypedDict`` at every boundary, on every Python."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

import pytest
import typing_extensions

from orchestrator import llm, tool, workflow
from orchestrator.errors import RunError
from orchestrator.testing import fake
from tests.dsl.diagnosing import the_error


class Note(TypedDict):
    n: int
    tags: NotRequired[list[str]]


class Folder(TypedDict):
    notes: list[Note]


class Other(typing_extensions.TypedDict):
    n: int


@tool(effects="idempotent")
def next_note(note: Note) -> Note:
    return {"n": note["n"] + 1, "tags": [*note.get("tags", []), "next"]}


@tool(effects="idempotent")
def filed(note: Note) -> Folder:
    return {"notes": [note]}


@tool(effects="idempotent")
def other(note: Other) -> Other:
    return note


def test_it_goes_in_and_out_of_workflows_tools_and_models() -> None:
    @workflow
    def flow(given: Note) -> dict[str, Any]:
        constant = next_note({"n": 1})
        symbolic = next_note({"n": constant["n"], "tags": [f"{given['n']}"]})
        reply = llm("x", returns=Note)
        folder = filed(reply)
        return {"a": symbolic, "b": folder["notes"][0]["n"], "c": next_note(given), "d": other({"n": reply["n"]})}

    with fake(['{"n": 7}']):
        result = flow({"n": 3})
    assert result == {
        "a": {"n": 3, "tags": ["3", "next"]}, "b": 7, "c": {"n": 4, "tags": ["next"]}, "d": {"n": 7},
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrong", [{}, {"m": 1}, {"n": "one"}, {"n": 1, "more": 2}, {"n": 1, "tags": ["a", 2]}], ids=repr
)
def test_a_dict_that_is_none_is_refused_while_tracing(wrong: Any) -> None:
    def flow(text: str) -> Note:
        return next_note(wrong)  # D010

    assert "expects Note" in the_error(flow).message


def test_replies_and_results_are_validated_by_it() -> None:
    @tool(effects="idempotent")
    def broken(note: Note) -> Folder:
        return {"notes": [{"m": 1}]}  # type: ignore[list-item, typeddict-item]

    with fake(['{"n": "many"}']), pytest.raises(RunError) as caught:
        workflow(lambda_reply)("x")
    assert caught.value.code == "ORCH-R003"

    def flow(text: str) -> Folder:
        return broken({"n": 1})

    with fake(), pytest.raises(RunError) as caught:
        workflow(flow)("x")
    assert caught.value.code == "ORCH-R002"


@pytest.mark.parametrize("declared", [Note, Note | None, int | Note, list[Note]], ids=str)
def test_a_cheap_tool_may_return_one(declared: Any) -> None:
    note = {"n": 3}

    def given(text: str) -> Any:
        return [note] if declared == list[Note] else note

    def flow(text: str) -> Any:
        return quick(text)

    given.__annotations__["return"] = flow.__annotations__["return"] = declared
    quick = tool(given, effects="pure", cheap=True)
    with fake():
        assert workflow(flow)("x") in (note, [note])


def lambda_reply(text: str) -> Note:
    return llm(text, returns=Note)


def test_dicts_of_values_have_text_keys() -> None:
    def flow(text: str) -> Any:
        return [{1: text}, {f"{text}": text}]  # D013

    with pytest.raises(Exception, match="ORCH-D013"):
        workflow(flow).trace()
