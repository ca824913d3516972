"""``switch``: which case runs, of what type the result is, and how it looks in plans and journals."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from orchestrator import Error, branch, llm, narrow, switch, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.journal.events import OpDone
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.runner import Runner
from tests.dsl.recording import record


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Search(BaseModel):
    tool: Literal["search"] = "search"
    query: str


class Finish(BaseModel):
    tool: Literal["finish"] = "finish"
    answer: str


Action = Annotated[Search | Finish, Field(discriminator="tool")]


@tool(effects="idempotent")
def waits(text: str) -> str:
    return text


@tool(effects="pure", cheap=True)
def kind(text: str) -> Literal["bug", "question", "other"]:
    return text  # type: ignore[return-value]


@tool(effects="pure", cheap=True)
def colour(text: str) -> Colour | None:
    return Colour(text) if text else None


@tool(effects="pure", cheap=True)
def action(text: str) -> Action:
    return Search(query=text) if text.islower() else Finish(answer=text)


@pytest.mark.parametrize("does", [waits, lambda text: text])
def test_the_case_of_a_value_runs(does: Any) -> None:
    @workflow
    def flow(text: str) -> str:
        return switch(kind(text), {"bug": lambda: does("fix"), ("question", "other"): lambda: does(f"answer {text}")})

    assert [flow(each) for each in ("bug", "question", "other")] == ["fix", "answer question", "answer other"]


def test_members_of_an_enum_none_and_what_is_left() -> None:
    @workflow
    def flow(text: str) -> str:
        return switch(colour(text), {Colour.RED: lambda: "r", None: lambda: "none"}, otherwise=lambda: "blue")

    assert [flow(each) for each in ("red", "", "blue")] == ["r", "none", "blue"]


def test_classes_of_a_union() -> None:
    @workflow
    def flow(text: str) -> str:
        found = action(text)
        return switch(
            found, {Search: lambda: waits(narrow(found, Search).query), Finish: lambda: narrow(found, Finish).answer}
        )

    assert (flow("abc"), flow("ABC")) == ("abc", "ABC")


def test_numbers_and_booleans() -> None:
    @tool(effects="pure", cheap=True)
    def number(text: str) -> int:
        return int(text)

    @workflow
    def flow(text: str) -> str:
        n = number(text)
        first = switch(n, {0: lambda: "zero", (1, 2): lambda: "few"}, otherwise=lambda: "many")
        return switch(n > 1, {True: lambda: f"{first}+", False: lambda: first})

    assert [flow(each) for each in ("0", "1", "2", "3")] == ["zero", "few", "few+", "many+"]


def test_different_types_give_a_union() -> None:
    @workflow
    def flow(text: str) -> int | str | Error | None:
        one = switch(kind(text), {"bug": lambda: 1, "question": lambda: "one", "other": lambda: None})
        return branch(text == "x", then=lambda: one, otherwise=lambda: one)

    graph = record(flow)
    assert graph["switch_1"].results[0].type == "int | str | None"
    assert [flow(each) for each in ("bug", "question", "other")] == [1, "one", None]


async def test_a_case_is_one_level_in_the_journal_and_named_by_its_value() -> None:
    @workflow
    def flow(text: str) -> str:
        cases = {"bug": lambda: waits("b"), ("question", "other"): lambda: waits("a/b")}
        return switch(kind(text), cases)

    journal = MemoryJournal()
    async with Runner(journal=journal) as runtime:
        compiled = compile_workflow(flow)
        for number, text in enumerate(("bug", "other")):
            await runtime.run(compiled, {"text": text}, run_id=f"{number}")
    opened = [
        event.frame
        for number in range(2)
        for event in await journal.load(f"{number}")
        if isinstance(event, OpDone) and event.frame
    ]
    assert opened == ["switch_1.bug/", "switch_1.question|other/"]
    assert {op.region for op in compiled.plan.ops if op.parent == "switch_1"} == {"bug", "question|other"}


def test_a_value_of_no_case_is_refused() -> None:
    @workflow
    def flow(text: str) -> str:
        return switch(kind(text), {"bug": lambda: waits("a"), ("question", "other"): lambda: waits("b")})

    with pytest.raises(Exception, match="ORCH-R002"):
        flow("none of them")


def test_a_literal_of_a_reply() -> None:
    from orchestrator.testing import fake

    @workflow
    def flow(text: str) -> str:
        return switch(llm(text, returns=Literal["yes", "no"]), {"yes": lambda: llm("go"), "no": lambda: "stop"})

    with fake(['"yes"', "gone"]):
        assert flow("?") == "gone"
