"""``fake``: replies in the order of the program whatever runs at once, any model, and what misuse says."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import orchestrator
from orchestrator import ask, branch, llm, loop, map_, race, tool, vote, workflow
from orchestrator.dsl.models.messages import Message
from orchestrator.errors import RunError, TraceError
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.testing import fake


@tool(effects="idempotent")
async def slowest_first(text: str) -> str:
    """The earlier in the alphabet, the longer it takes."""
    await asyncio.sleep(0.004 * (ord("e") - ord(text[0])))
    return text


@workflow
def everything(letters: list[str]) -> list[str]:
    first = llm("first")
    second = llm(f"second {slowest_first(letters[0])}")
    third = llm("third")

    def one(letter: str) -> str:
        return llm(f"again {llm(f'item {slowest_first(letter)}')}")

    items = map_(one, letters, limit=5)
    turns = loop(lambda s: f"{s} {llm('turn')}", "", max=2)
    chosen = branch(first == "1", then=lambda: llm("then"), otherwise=lambda: llm("otherwise"))
    last = llm("last")
    return [first, second, third, vote(items), turns, chosen, last]


def test_replies_go_to_the_calls_in_the_order_of_the_program() -> None:
    with fake([str(n) for n in range(1, 14)]) as engine:
        result = everything(["a", "b", "c"])
    assert [request.messages[-1].content for request in engine.requests] == [
        "first", "second a", "third", "item a", "again 4", "item b", "again 6", "item c", "again 8",
        "turn", "turn", "then", "last",
    ]  # fmt: skip
    assert result == ["1", "2", "3", "5", " 10 11", "12", "13"]


@given(st.lists(st.sampled_from(["call", "map", "after"]), min_size=1, max_size=6))
def test_any_mixture_of_calls_answers_in_order(kinds: list[str]) -> None:
    def flow(letters: list[str]) -> list[str]:
        replies: list[Any] = ["start"]
        for number, kind in enumerate(kinds):
            if kind == "call":
                replies.append(llm(f"{number}"))
            elif kind == "after":
                replies.append(llm(f"{number} {replies[-1]}"))
            else:
                mapped = map_(lambda letter: llm(f"{slowest_first(letter)}"), letters, limit=2)
                replies += [mapped[0], mapped[1]]
        return replies

    with fake(map(str, itertools.count())):
        _, *replies = workflow(flow)(["d", "e"])
    assert replies == [str(n) for n in range(len(replies))]


def test_arms_of_a_race_run_side_by_side() -> None:
    both = asyncio.Barrier(2)

    @tool(effects="idempotent")
    async def meet(text: str) -> str:
        await both.wait()
        return text

    @workflow
    def flow(q: str) -> str:
        return race(lambda: meet(llm(f"{q} one")), lambda: meet(llm(f"{q} two")))

    with fake(["x", "y"]):
        assert flow("q") in ("x", "y")


def test_a_script_without_an_end() -> None:
    with fake(itertools.repeat("yes")):
        assert workflow(_twice)("q") == "yes yes"


def test_every_model_is_answered_for() -> None:
    def flow(q: str) -> str:
        return llm(q, model="gpt-4o") + llm(q, model="Qwen/Qwen3-8B")

    with fake(["a", "b"]):
        assert workflow(flow)("q") == "ab"


def _twice(q: str) -> str:
    return f"{llm(q)} {llm(q)}"


class Reply(BaseModel):
    text: str


@pytest.mark.parametrize(
    ("engine", "tools", "message", "fix"),
    [
        ("yes", {}, "fake got one reply, 'yes'", "give a list of replies: fake([...])"),
        (Reply(text="x"), {}, "fake got one reply, Reply(text='x')", "give a list of replies: fake([...])"),
        (3, {}, "fake got 3", "give a list of replies, or a function from messages to a reply"),
        ([], {"fetch": "x"}, "fake replaces the tool `fetch` by 'x'", "give a function with its parameters"),
    ],
)
def test_misuse_is_reported_at_the_line_of_the_block(engine: Any, tools: Any, message: str, fix: str) -> None:
    with pytest.raises(TraceError) as caught, fake(engine, tools=tools):
        pass
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message, diagnostic.fix) == ("ORCH-D041", message, fix)
    assert diagnostic.where is not None
    assert diagnostic.where.file == __file__


def test_a_replaced_tool_that_no_workflow_has_is_an_error() -> None:
    def flow(q: str) -> str:
        return slowest_first(q)

    with pytest.raises(TraceError) as caught, fake(tools={"slowest_frist": lambda text: text}):
        workflow(flow)("e")
    assert caught.value.diagnostics[0].fix == "did you mean `slowest_first`?"

    with fake(tools={"slowest_first": lambda text: f"{text}!"}):
        assert workflow(flow)("e") == "e!"


@workflow
def triage(mail: str) -> str:
    kind = llm(f"Kind of {mail}", name="classify")
    first = llm(f"Answer {kind}")
    second = llm(f"Shorten {first}")
    return f"{kind}: {second} {llm('sign', name='sign')}"


def test_replies_go_to_ops_by_name() -> None:
    def shortened(messages: tuple[Message, ...]) -> str:
        return messages[-1].content.removeprefix("Shorten ")

    with fake({"classify": "billing", "llm_1": ["one", "two"], "llm_2": shortened, "*": "A."}):
        assert triage("x") == "billing: one A."
        assert triage("y") == "billing: two A."


def test_the_others_get_theirs_in_order() -> None:
    with fake({"classify": Reply(text="x"), "*": ["a", "b", "c"]}) as engine:
        assert triage("x") == '{"text":"x"}: b c'
    assert [each.op for each in engine.requests] == ["classify", "llm_1", "llm_2", "sign"]


def test_an_exception_by_name_is_raised_each_time() -> None:
    with fake({"classify": ValueError("no"), "*": "x"}):
        for _ in range(2):
            with pytest.raises(RunError, match="ValueError: no"):
                triage("x")


def test_names_inside_loops_and_of_inlined_workflows() -> None:
    @workflow
    def outer(mails: list[str]) -> list[str]:
        replies = map_(lambda mail: llm(mail, name="each"), mails, limit=3)
        return [replies[0], replies[1], triage("z")]

    with fake({"each": ["1", "2"], "triage/classify": "own", "*": "x"}):
        assert outer(["a", "b"]) == ["1", "2", "own: x x"]
    with fake({"each": "e", "classify": "last", "*": "x"}):
        assert outer(["a", "b"])[2] == "last: x x"


def test_samples_take_the_replies_of_their_op() -> None:
    @workflow
    def votes(q: str) -> list[str]:
        return llm(q, samples=3, name="draft")

    with fake({"draft": ["a", "b", "c", ["x", "y", "z"]]}):
        assert votes("q") == ["a", "b", "c"]
        assert votes("q") == ["x", "y", "z"]


def test_a_name_that_no_op_has_is_an_error() -> None:
    with pytest.raises(TraceError) as caught, fake({"clasify": "x", "*": "y"}):
        triage("x")
    (told,) = caught.value.diagnostics
    assert (told.code, told.fix) == ("ORCH-D041", "did you mean `classify`?")
    assert told.where is not None
    assert told.where.file == __file__
    assert "fake has a reply for the model call `clasify`, which `triage` never makes" in told.message


def test_an_op_without_a_reply_is_an_error() -> None:
    with pytest.raises(RunError) as caught, fake({"clasify": "x", "llm_1": "y"}):
        triage("x")
    (told,) = caught.value.diagnostics
    assert told.code == "ORCH-E018"
    assert told.message == "the scripted engine `scripted` has no reply for `classify`"
    assert told.fix == "the one for `clasify` may be meant for it"


def test_an_answer_to_a_question_that_nobody_asks_is_an_error() -> None:
    @workflow
    def approve(what: str) -> str:
        return ask(what, name="approve")

    with fake(answers={"approve": "yes"}):
        assert approve("x") == "yes"
    with pytest.raises(TraceError) as caught, fake(["a", "b", "c", "d"], answers={"aprove": "yes"}):
        triage("x")
    assert caught.value.diagnostics[0].message == "fake answers the question `aprove`, which `triage` never asks"


@pytest.fixture
def answered() -> Iterator[ScriptedEngine]:
    with fake({"classify": "spam", "*": "ok"}) as engine:
        yield engine


def test_a_fixture_is_in_force_in_the_test(answered: ScriptedEngine) -> None:
    assert triage("x") == "spam: ok ok"
    assert len(answered.requests) == 4


async def test_and_in_an_async_one(answered: ScriptedEngine) -> None:
    assert await triage.arun("x") == "spam: ok ok"
    assert (await orchestrator.arun(triage, "x", engine="http://127.0.0.1:1/v1", model="m")).value == "spam: ok ok"
    assert len(answered.requests) == 8
