"""The feed of a run keeps little, loses no part of a reply below its limit, and counts what it drops above."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from orchestrator import llm, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.events import Partial, Progress, Started, Text
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.running.feed import RunFeed
from orchestrator.runtime.journal.events import MapProgress, OpStarted, Token


class Point(BaseModel):
    x: int
    y: str


@workflow
def both(question: str) -> str:
    return llm(f"{llm(question, returns=Point, name='point').y}", name="words")


CLUSTER = Cluster(engines=(EngineSpec(name="s", kind="scripted", model="s"),))
PROGRAM = compile_workflow(both, CLUSTER).program


def feed(limit: int = 100) -> RunFeed:
    made = RunFeed(limit)
    made.of(PROGRAM)
    return made


@given(
    st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 2), st.integers(1, 2), st.text(max_size=3))), max_size=60)
)
def test_every_piece_of_every_reply_arrives_in_order_however_it_is_read(
    steps: list[tuple[int, int, str] | None],
) -> None:
    read: dict[tuple[int, int], str] = defaultdict(str)
    written: dict[tuple[int, int], str] = defaultdict(str)
    made = feed()

    def take() -> bool:
        event = made.take()
        if isinstance(event, Text):
            read[event.sample, event.attempt] += event.delta
        return event is not None

    for step in steps:
        if step is None:
            take()
        else:
            sample, attempt, text = step
            written[sample, attempt] += text
            made.push(Token("", "words", sample, text, attempt))
    while take():
        pass
    assert read == written
    assert made.dropped == 0


def test_what_is_unread_is_put_together() -> None:
    made = feed()
    for n in range(1000):
        made.push(Token("", "words", 0, f"{n} "))
        made.push(MapProgress("", "each", n, 1000, 0.0))
    assert made.take() == Text("words", "".join(f"{n} " for n in range(1000)), "words")
    assert made.take() == Progress("each", 999, 1000, "each")
    assert made.take() is None


def test_beyond_the_limit_the_oldest_are_dropped_and_counted() -> None:
    made = feed(limit=10)
    for n in range(25):
        made.push(OpStarted("", f"op{n}", 1, 0.0))
    left = []
    while (event := made.take()) is not None:
        left.append(event)
    assert left == [Started(f"op{n}", f"op{n}") for n in range(15, 25)]
    assert made.dropped == 15


def test_a_structured_reply_is_values_and_says_nothing_twice() -> None:
    made = feed()
    seen = []
    for piece in ('{"x"', ": 1", "2", ', "y": "a', "bc", '"', "}", "\n", " "):
        made.push(Token("", "point", 0, piece))
        while (event := made.take()) is not None:
            assert isinstance(event, Partial)
            seen.append(event.value)
    assert seen == [{}, {"x": 1}, {"x": 12}, {"x": 12, "y": "a"}, {"x": 12, "y": "abc"}]


def test_a_choice_is_text() -> None:
    @workflow
    def sort(question: str) -> str:
        return llm(question, choice=["yes", "no"], name="kind")

    made = feed()
    made.of(compile_workflow(sort, CLUSTER).program)
    made.push(Token("", "kind", 0, "ye"))
    assert made.take() == Text("kind", "ye", "kind")
