"""Truth, identity, membership and classes of symbolic values, and what they say of types."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from orchestrator.dsl.operations import contains, is_instance, same, truth
from orchestrator.dsl.tracing.tracer import Value
from orchestrator.dsl.types.typing import type_string
from tests.dsl.diagnosing import the_error
from tests.dsl.operations.parity import assert_agrees, decides, run


class Row(BaseModel):
    name: str


class Special(Row):
    rank: int


class Color(Enum):
    RED = "red"
    BLUE = "blue"


def facts(condition: Any) -> list[tuple[str, str | None, str | None]]:
    def name(tp: Any) -> str | None:
        return None if tp is None else type_string(tp)

    assert isinstance(condition, Value)
    found = [fact for fact in condition._facts if fact.value._type is not bool]  # not of the tests in it
    return [(fact.value._origin.name, name(fact.if_true), name(fact.if_false)) for fact in found]


@pytest.mark.parametrize(
    ("tp", "value"),
    [(str, ""), (str, "a"), (int, 0), (float, 0.5), (list[int], []), (dict[str, int], {"a": 1}), (Row | None, None)],
)
def test_truth(tp: Any, value: Any) -> None:
    assert_agrees(truth, bool, x=(tp, value))


def test_truth_that_the_types_decide() -> None:
    def flow(row: Row, text: str, flag: bool) -> Any:
        decides(truth(row), True)
        decides(truth(f"About {text}"), True)
        return truth(f"{text}")

    assert run(flow, row=(Row, Row(name="")), text=(str, ""), flag=(bool, True)) is False


def test_truth_narrows() -> None:
    def flow(row: Row | None, text: str | None, word: Literal["", "a"]) -> Any:
        assert facts(truth(row)) == [("row", "Row", "None")]
        assert facts(truth(text)) == [("text", "str", None)]
        assert facts(truth(word)) == [("word", "Literal['a']", "Literal['']")]
        assert facts(~(row == None)) == [("row", "Row", "None")]  # noqa: E711
        return 1

    run(flow, row=(Row | None, None), text=(str | None, None), word=(Literal["", "a"], "a"))


def test_same() -> None:
    def flow(row: Row | None, text: str, flag: bool | None, color: Color) -> Any:
        assert facts(same(row, None)) == [("row", "None", "Row")]
        decides(same(text, None), False)
        decides(same(f"{text}", None), False)
        decides(same(row, row), True)
        return [same(row, None), same(None, row), same(flag, True), same(color, Color.RED), same(color, Color.BLUE)]

    values = {"row": (Row | None, None), "text": (str, ""), "flag": (bool | None, True), "color": (Color, Color.RED)}
    assert run(flow, **values) == [True, True, True, True, False]


def test_identity_of_two_values_is_an_error() -> None:
    def flow(x: str, y: str) -> Any:
        return same(x, y)  # D006

    assert "`==`" in (the_error(flow).fix or "")


@pytest.mark.parametrize(
    ("container", "item"),
    [
        ((str, "abc"), (str, "b")),
        ((str, "abc"), (str, "")),
        ((list[int], [1, 2]), (int, 3)),
        ((list[float], [1.0]), (int, 1)),
        ((dict[str, int], {"a": 1}), (str, "a")),
        ((set[str], {"a"}), (str, "b")),
        ((tuple[int, str], (1, "a")), (str, "a")),
    ],
)
def test_contains(container: tuple[Any, Any], item: tuple[Any, Any]) -> None:
    assert_agrees(contains, lambda x, y: y in x, x=container, y=item)


@pytest.mark.parametrize("container", ["xay", ["a", "b"], ("a",), {"a": 1}, {"a", "c"}, frozenset({"b"}), []])
def test_contains_of_what_tracing_knows(container: Any) -> None:
    assert_agrees(lambda x: contains(container, x), lambda x: x in container, x=(str, "a"))


def test_contains_with_placeholders_and_values_inside() -> None:
    def flow(x: str, n: int) -> Any:
        return [contains(f"<{x}>", "a>"), contains("abc", f"{x}"), contains([n, 3], 3), contains(range(5), n)]

    assert run(flow, x=(str, "a"), n=(int, 9)) == [True, True, True, False]


def test_membership_narrows() -> None:
    def flow(word: Literal["a", "b", "c"], text: str | None) -> Any:
        assert facts(contains(("a", "b"), word)) == [("word", "Literal['a', 'b']", "Literal['c']")]
        assert facts(contains({"a", "b"}, text)) == [("text", "str", None)]
        assert facts(word == "a") == [("word", "Literal['a']", "Literal['b', 'c']")]
        assert facts((text != None) & (word == "a")) == [("text", "str", None), ("word", "Literal['a']", None)]  # noqa: E711
        return 1

    run(flow, word=(Literal["a", "b", "c"], "a"), text=(str | None, None))


def test_membership_of_unrelated_types_is_an_error() -> None:
    def number(x: int) -> Any:
        return contains(["a"], x)  # D014

    def text(x: str, n: int) -> Any:
        return contains(x, n)  # D010

    the_error(number)
    the_error(text)


@pytest.mark.parametrize("value", [Row(name="r"), Special(name="s", rank=1), "text", 3, True, None, 2.5])
@pytest.mark.parametrize("classes", [Row, Special, str, int, bool, (str, int), type(None), Row | None, float])
def test_isinstance(value: Any, classes: Any) -> None:
    assert_agrees(
        lambda x: is_instance(x, classes),
        lambda x: isinstance(x, classes),
        x=(Special | Row | str | bool | int | float | None, value),
    )


def test_isinstance_narrows() -> None:
    def flow(x: Row | str | None, y: int | list[int], z: float, m: dict[str, int] | str) -> Any:
        assert facts(is_instance(x, Row)) == [("x", "Row", "str | None")]
        assert facts(is_instance(x, (str, Row))) == [("x", "Row | str", "None")]
        assert facts(is_instance(y, list)) == [("y", "list[int]", "int")]
        assert facts(is_instance(m, Mapping)) == [("m", "dict[str, int]", "str")]
        assert facts(is_instance(x, Special)) == [("x", "Special", "Row | str | None")]
        decides(is_instance(y, (int, list)), True)
        return [is_instance(z, int), is_instance(m, Mapping)]

    arguments = {
        "x": (Row | str | None, None),
        "y": (int | list[int], 1),
        "z": (float, 1),
        "m": (dict[str, int] | str, {}),
    }
    assert run(flow, **arguments)[1] is True


def test_isinstance_of_an_impossible_class_is_an_error() -> None:
    def flow(x: str) -> Any:
        return is_instance(x, int)  # D014

    assert the_error(flow).message == "`x` is never a int: it is str"
