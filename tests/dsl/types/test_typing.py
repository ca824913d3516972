"""Assignability and its laws, unions, projections, generics, and type strings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Annotated, Any, Literal, NamedTuple, Never, NewType, Optional, TypedDict, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from orchestrator.dsl.types import typing as t


class Animal(BaseModel):
    name: str


class Dog(Animal):
    breed: str | None


@dataclass
class Point:
    x: int


class Pair(NamedTuple):
    left: str
    right: int


class Movie(TypedDict):
    title: str


UserId = NewType("UserId", int)
V = TypeVar("V")

leaves = st.sampled_from([int, float, bool, str, type(None), Animal, Dog, Literal["a"], Literal["a", "b"], Literal[1]])
types = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(lambda tp: list[tp]),
        inner.map(lambda tp: dict[str, tp]),
        inner.map(lambda tp: tuple[tp, ...]),
        st.tuples(inner, inner).map(lambda pair: tuple[pair]),
        st.tuples(inner, inner).map(lambda pair: t.union(*pair)),
    ),
    max_leaves=4,
)


SIMPLE = [int, float, bool, str, type(None), Animal, Dog, Literal["a"], Literal["a", "b"], Literal[1]]
UNIONS = [t.union(a, b) for a, b in combinations(SIMPLE, 2)]
POOL: list[Any] = [*SIMPLE, *UNIONS, *(list[tp] for tp in SIMPLE), *(tuple[tp, ...] for tp in SIMPLE)]
POOL += [list[tp] for tp in UNIONS] + [tuple[tp, str] for tp in SIMPLE] + [dict[str, tp] for tp in SIMPLE]
ASSIGNABLE = [(a, b) for a in POOL for b in POOL if t.assignable(a, b)]


@given(types)
def test_reflexive(tp: Any) -> None:
    assert t.assignable(tp, tp)


def test_transitive() -> None:
    for (a, b), (c, d) in product(ASSIGNABLE, ASSIGNABLE):
        if b is c:
            assert t.assignable(a, d), (a, b, d)


@given(types)
def test_any_object_and_never(tp: Any) -> None:
    assert t.assignable(tp, Any)
    assert t.assignable(Any, tp)
    assert t.assignable(tp, object)
    assert t.assignable(Never, tp)


@given(types, types)
def test_a_union_takes_its_members_and_gives_only_what_all_are(a: Any, b: Any) -> None:
    either = t.union(a, b)
    assert t.assignable(a, either)
    assert t.assignable(b, either)
    assert t.assignable(either, a) == t.assignable(b, a)


@given(types, types)
def test_join_is_above_both_and_commutes(a: Any, b: Any) -> None:
    joined = t.join(a, b)
    assert (joined is None) == (t.join(b, a) is None)
    if joined is not None:
        assert t.assignable(a, joined)
        assert t.assignable(b, joined)


@given(types, types)
def test_lists_are_covariant(a: Any, b: Any) -> None:
    assert t.assignable(list[a], list[b]) == t.assignable(a, b)
    assert t.assignable(list[a], Sequence[b]) == t.assignable(a, b)


@given(st.sampled_from(ASSIGNABLE), st.data())
def test_what_is_assignable_validates(pair: tuple[Any, Any], data: st.DataObject) -> None:
    """Soundness against pydantic: a value of the source type is a value of the target type."""
    source, target = pair
    value = data.draw(st.from_type(source))
    TypeAdapter(target).validate_python(value)


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (int, float, True),
        (float, int, False),
        (Dog, Animal, True),
        (Animal, Dog, False),
        (str, Sequence[str], False),
        (tuple[int, str], Iterable[int | str], True),
        (tuple[int, int], tuple[int, ...], True),
        (tuple[int, ...], tuple[int, int], False),
        (list[int], list[float], True),
        (dict[str, int], dict[str, str], False),
        (int | None, int, False),
        (Annotated[int, Field(ge=0)], int, True),
        (UserId, int, True),
        (list, list[str], True),
        (None, int | None, True),
        (str, Literal["a"], False),
    ],
)
def test_cases(source: Any, target: Any, expected: bool) -> None:
    assert t.assignable(source, target) is expected


def test_fields() -> None:
    assert t.fields_of(Dog) == {"name": str, "breed": str | None}
    assert t.fields_of(Point) == {"x": int}
    assert t.fields_of(Pair) == {"left": str, "right": int}
    assert t.fields_of(Dog | Animal) == {"name": str}
    assert t.fields_of(Dog | None) is None
    assert t.fields_of(str) is None


def test_items() -> None:
    assert t.item_type(list[Dog], 3) is Dog
    assert t.item_type(tuple[int, str], -1) is str
    assert t.item_type(tuple[int, str], 2) is None
    assert t.item_type(dict[str, int], "k") is int
    assert t.item_type(Movie, "title") is str
    assert t.item_type(Movie, "year") is None
    assert t.item_type(str, 0) is str
    assert t.item_type(int, 0) is None


def test_generic_parameters_are_solved() -> None:
    variables: dict[Any, Any] = {}
    t.solve(list[V | None], list[str | None], variables)
    assert t.substitute(dict[str, V], variables) == dict[str, str]
    assert t.substitute(list[V], {}) == list[Any]


@pytest.mark.parametrize(
    ("tp", "name"),
    [
        (list[Dog], "list[Dog]"),
        (str | None, "str | None"),
        (Optional[int], "int | None"),  # noqa: UP045
        (Literal["a", 1], "Literal['a', 1]"),
        (int | None | str, "int | str | None"),
        (None | str | int, "int | str | None"),
        (tuple[int, ...], "tuple[int, ...]"),
        (dict[str, Any], "dict[str, Any]"),
        (None, "None"),
        (
            Annotated[int, Field(ge=0)],
            "Annotated[int, FieldInfo(annotation=NoneType, required=True, metadata=[Ge(ge=0)])]",
        ),
    ],
)
def test_type_strings(tp: Any, name: str) -> None:
    assert t.type_string(tp) == name


def test_schema_of_text_is_none() -> None:
    assert t.json_schema(str) is None
    assert '"breed"' in (t.json_schema(Dog) or "")
