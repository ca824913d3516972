"""A vote counts equal values, whatever they look like as text."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, RootModel

from orchestrator import llm, map_, tool, vote, workflow
from orchestrator.agents.ballot import ballot_of
from orchestrator.errors import RunError, TraceError
from orchestrator.testing import fake
from tests.dsl.diagnosing import the_error


class Finding(BaseModel):
    model_config = ConfigDict(extra="allow")

    place: str
    tags: set[str] = set()
    parts: list[Finding] = []


class Same(BaseModel):
    place: str
    tags: set[str] = set()
    parts: list[Any] = []


class Numbers(RootModel[list[float]]):
    pass


@dataclass
class Money:
    amount: Decimal
    note: str = field(default="", compare=False)


@dataclass
class Folded:
    text: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Folded) and self.text.lower() == other.text.lower()

    __hash__ = None  # type: ignore[assignment]


class Point(NamedTuple):
    x: float
    y: float


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Cell:
    """Unhashable, and equal by content."""

    def __init__(self, content: object) -> None:
        self.content = content

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and self.content == other.content

    __hash__ = None  # type: ignore[assignment]


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EQUAL = [
    (1, 1.0), (1, Decimal("1.00")), (0.5, Fraction(1, 2)), (0.0, -0.0), (True, 1),
    (float("nan"), float("nan")), (float("nan"), Decimal("NaN")), ([float("nan")], [np.float64("nan")]),
    ({1, 2, 3}, frozenset([3, 2, 1])), ({"a": 1, "b": 2.0}, {"b": 2, "a": 1}), ([{"a": {1}}], [{"a": {1.0}}]),
    (Finding(place="x", tags={"a", "b"}), Finding(place="x", tags={"b", "a"})),
    (Finding(place="x", more=1), Finding(place="x", more=1.0)), (Numbers([1]), Numbers([1.0])),
    (Money(Decimal(1), "a"), Money(Decimal("1.0"), "b")), (Folded("YES"), Folded("yes")),
    (Point(1, 2), (1.0, 2.0)), (Colour.RED, Colour("red")), (Cell([1]), Cell([1])), ([Cell({2})], [Cell({2})]),
    (np.array([1, 2]), np.array([1.0, 2.0])), (NOON, datetime(2026, 1, 1, 12, tzinfo=UTC)),
]  # fmt: skip
DIFFERENT = [
    ("1", 1), ("yes", "yes "), ([1], (1,)), ([1, 2], [2, 1]), ({"a": 1}, {"a": 1, "b": None}), ({1}, {1, 2}),
    (Finding(place="x"), Finding(place="x", parts=[Finding(place="y")])), (Finding(place="x"), Same(place="x")),
    (Finding(place="x", more=1), Finding(place="x")), (Money(Decimal(1)), Money(Decimal(2))), (Cell(1), Cell(2)),
    (Colour.RED, "red"), (np.array([[1, 2]]), np.array([1, 2])), (b"x", "x"), (Decimal("0.1"), 0.1), ({}, []),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), EQUAL)
def test_equal_values_win_together(first: object, second: object) -> None:
    assert vote(["other", first, second]) is first
    assert ballot_of(first) == ballot_of(second)


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_different_values_do_not(first: object, second: object) -> None:
    third = object()
    assert vote([third, first, second]) is third
    assert vote([first, second, third, second]) is second


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, 1.0, Decimal(1), "a", "1", b"a"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2) | st.tuples(inner)
    ),
    max_leaves=4,
)


@given(_values, _values)
def test_ballots_are_equal_exactly_where_values_are(first: Any, second: Any) -> None:
    assert (ballot_of(first) == ballot_of(second)) == (first == second)


@given(st.lists(st.sampled_from([1, 1.0, 2, "2", Decimal(2)]), min_size=1), st.randoms())
def test_the_winner_does_not_depend_on_chance(values: list[Any], random: Random) -> None:
    winner = vote(values)
    assert vote(list(values)) == winner
    assert sum(value == winner for value in values) == max(sum(a == b for b in values) for a in values)
    shuffled = list(values)
    random.shuffle(shuffled)
    first = next(v for v in shuffled if shuffled.count(v) == max(map(shuffled.count, shuffled)))
    assert vote(shuffled) == first


def test_replies_and_results_of_a_workflow_are_compared_as_values() -> None:
    @tool(effects="pure")
    def words(text: str) -> set[str]:
        return set(text.split())

    def flow(q: str) -> list[Any]:
        sets = vote(map_(words, llm(q, samples=3)))
        models = vote(llm(q, returns=Finding, samples=3))
        mixed = vote([llm(q, returns=float), llm(q, returns=int), llm(q, returns=int)])
        return [sets, models.place, mixed]

    found = ['{"place": "p"}', '{"place": "q", "tags": ["a", "b"]}', '{"place": "q", "tags": ["b", "a"]}']
    with fake(["a b", "c", "b a", *found, "2.0", "3", "2"]):
        assert workflow(flow)("x") == [{"a", "b"}, "q", 2.0]


def test_a_key_is_not_asked_about_what_is_discarded() -> None:
    @tool(effects="pure")
    def even(n: int) -> str | None:
        return None if n < 0 else str(n)

    @tool(effects="pure")
    def parity(text: str) -> int:
        return int(text) % 2

    def flow(numbers: list[int]) -> str:
        return vote(map_(even, numbers, limit=9), key=parity)

    with fake():
        assert workflow(flow)([-1, -2, -3, 2, 3, 5]) == "3"


def test_what_is_no_list_of_candidates() -> None:
    for wrong in ("abc", {1, 2}, {"a": 1}, 3, None):
        with pytest.raises(TraceError) as caught:
            vote(wrong)  # type: ignore[arg-type]
        assert caught.value.code == "ORCH-D010"
        assert caught.value.diagnostics[0].where.file == __file__  # type: ignore[union-attr]

    def text(q: str) -> str:
        return vote(q)  # D010

    def key(q: str) -> str:
        return vote(llm(q, samples=2), key=3)  # type: ignore[arg-type]  # D041

    assert the_error(text).fix == "pass a list: vote([first, second, third])"
    assert the_error(key).message == "vote: key=3"
    assert vote(each for each in ["a", "b", "b"]) == "b"  # type: ignore[arg-type]


def test_a_vote_among_nobody_says_so() -> None:
    with pytest.raises(RunError, match="a vote among no candidates"):
        vote([])
