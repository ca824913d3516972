"""What fits by names alone is what fits by the classes behind them."""

from __future__ import annotations

import collections.abc
import enum
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, Never, NewType, TypedDict

import pytest
from pydantic import BaseModel

from orchestrator import llm, workflow
from orchestrator.dsl.declare import declare
from orchestrator.dsl.trace import class_of
from orchestrator.dsl.tracing.tracer import Tracer
from orchestrator.dsl.types.typing import assignable, element_type, fields_of, item_type, type_string, union
from orchestrator.ir.subtypes import DeclaredType, Subtypes
from orchestrator.ir.types import parse_type
from tests.dsl.recording import Recording


class Base(BaseModel):
    sql: str
    tags: list[str] | None = None


class Derived(Base):
    rows: int = 0


@dataclass
class Pair:
    sql: str
    count: int


class Point(NamedTuple):
    x: int
    y: float


class Options(TypedDict, total=False):
    depth: int
    name: str


class Colour(str, enum.Enum):  # noqa: UP042 - users write it
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Rows(list[int]):
    pass


UserId = NewType("UserId", str)

TYPES: list[Any] = [
    str, int, float, bool, bytes, complex, None, Any, object, Never, list, dict, tuple, set,
    Base, Derived, Pair, Point, Options, Colour, Level, Rows, UserId,
    list[int], list[float], list[Any], list[Derived], list[Base], list[Never], list[UserId], set[int], frozenset[int],
    dict[str, int], dict[str, float], dict[int, str], tuple[int, str], tuple[int, ...], tuple[()],
    str | None, int | str, Base | Pair, Derived | None, Literal["a"], Literal["a", "b"], Literal["a", 1, True, None],
    Literal[Colour.RED], Annotated[int, "positive"], Annotated[list[int], "short"],
    collections.abc.Sequence[int], collections.abc.Iterable[str], collections.abc.Mapping[str, int],
    collections.abc.Sequence, collections.abc.Iterable, collections.abc.Callable[[int], str],
]  # fmt: skip


@pytest.fixture(scope="module")
def types() -> Subtypes:
    graph = Recording()
    tracer = Tracer("all", graph, class_of)
    for tp in TYPES:
        tracer.register_type(tp)
    declare(tracer)
    assert not tracer.diagnostics
    return Subtypes({name: DeclaredType(name, **attrs) for (_, name), attrs in graph.declared.items()})


def test_all_are_known(types: Subtypes) -> None:
    assert [problem for tp in TYPES if (problem := types.problem(type_string(tp)))] == []


@pytest.mark.parametrize("source", TYPES, ids=type_string)
def test_fits_as_python_says(types: Subtypes, source: Any) -> None:
    for target in TYPES:
        fits = types.fits(parse_type(type_string(source)), parse_type(type_string(target)))
        assert fits == assignable(source, target), type_string(target)


@pytest.mark.parametrize("tp", TYPES, ids=type_string)
def test_what_is_in_it_is_what_python_says(types: Subtypes, tp: Any) -> None:
    ours = parse_type(type_string(tp))
    item, fields = element_type(tp), fields_of(tp)
    assert types.element(ours) == (None if item is None else parse_type(type_string(item)))
    assert types.fields(ours) == (
        None if fields is None else {n: parse_type(type_string(f)) for n, f in fields.items()}
    )
    for key in (0, -1, 5, "depth", "sql"):
        found = item_type(tp, key)
        assert types.item(ours, key) == (None if found is None else parse_type(type_string(found))), key


def test_the_fields_of_a_union_are_those_of_all_members(types: Subtypes) -> None:
    fields = types.fields(parse_type(type_string(union(Base, Pair))))
    assert fields == {"sql": parse_type("str")}


def test_two_classes_of_one_name_inside_of_types() -> None:
    def made() -> Any:
        class Twice(BaseModel):
            x: int

        return Twice

    one, other = made(), made()

    @workflow
    def flow(question: str) -> Any:
        return llm(f"{question} {llm(question, returns=list[one])}", returns=dict[str, other])

    with pytest.raises(Exception, match="two different types are called Twice"):
        flow.trace()
