"""Items, slices, and the containers that changes would leave."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest

from orchestrator.dsl.operations import appended, concat, item, with_item, without_item
from orchestrator.dsl.types.bounds import Length
from tests.dsl.diagnosing import the_error
from tests.dsl.operations.parity import assert_agrees, run


class Row(TypedDict):
    name: str
    age: int


@pytest.mark.parametrize(
    ("container", "key"),
    [
        ((list[int], [1, 2]), (int, -1)),
        ((list[int], [1, 2]), (int, 2)),
        ((str, "abc"), (int, 1)),
        ((dict[str, int], {"a": 1}), (str, "a")),
        ((dict[str, int], {"a": 1}), (str, "b")),
        ((dict[int, str], {1: "a"}), (int, 1)),
        ((tuple[int, str], (1, "a")), (int, 1)),
    ],
)
def test_items_at_symbolic_keys(container: tuple[Any, Any], key: tuple[Any, Any]) -> None:
    assert_agrees(item, lambda x, y: x[y], x=container, y=key)


@pytest.mark.parametrize("container", [[10, 20], (10, "b"), "ab", {0: "zero", 1: "one"}, {1: [1, 2]}])
def test_items_of_what_tracing_knows(container: Any) -> None:
    assert_agrees(lambda x: item(container, x), lambda x: container[x], x=(int, 1))


@pytest.mark.parametrize("bounds", [(1, None, None), (None, -1, None), (0, 5, 2), (None, None, -1), (4, 1, None)])
@pytest.mark.parametrize("container", [(list[int], [1, 2, 3]), (str, "abc"), (tuple[int, ...], (1, 2, 3))])
def test_slices(container: tuple[Any, Any], bounds: tuple[int | None, ...]) -> None:
    key = slice(*bounds)
    assert_agrees(lambda x: x[key], lambda x: x[key], x=container)
    names = {f"b{number}": (int | None, bound) for number, bound in enumerate(bounds)}
    assert_agrees(lambda x, b0, b1, b2: x[b0:b1:b2], lambda x, b0, b1, b2: x[b0:b1:b2], x=container, **names)


def test_a_slice_of_a_tuple_has_the_types_of_its_items() -> None:
    def flow(x: tuple[int, str, str]) -> Any:
        assert x[1:]._type == tuple[str, str]  # type: ignore[attr-defined]
        return x[1:]

    assert run(flow, x=(tuple[int, str, str], (1, "a", "b"))) == ("a", "b")


def test_appended_and_concat() -> None:
    def flow(x: list[int], y: list[list[int]]) -> Any:
        more = appended([1, 2], [x[0], 4])
        assert more._length == Length(4, 4)
        assert concat([x, ["a"]])._type == list[int | str]
        return [more, appended(x, [5]), concat([x, x, [1]]), concat(y)]

    assert run(flow, x=(list[int], [9]), y=(list[list[int]], [[1], [], [2]])) == [
        [1, 2, 9, 4],
        [9, 5],
        [9, 9, 1],
        [1, 2],
    ]


def test_with_item_and_without_item() -> None:
    def flow(x: list[int], y: dict[str, int], z: Row, at: int) -> Any:
        return [
            with_item(x, at, 7),
            with_item(y, "b", 2),
            with_item({"a": 1}, f"{at}", at),
            with_item(z, "age", at),
            without_item(x, at),
            without_item(y, "a"),
            x,
            y,
        ]

    values = {
        "x": (list[int], [1, 2]),
        "y": (dict[str, int], {"a": 1}),
        "z": (Row, {"name": "n", "age": 1}),
        "at": (int, 1),
    }
    changed = [[1, 7], {"a": 1, "b": 2}, {"a": 1, "1": 1}, {"name": "n", "age": 1}, [1], {}]
    assert run(flow, **values) == [*changed, [1, 2], {"a": 1}]


def test_missing_items_raise_as_in_python() -> None:
    assert_agrees(lambda x: with_item(x, 5, 1), lambda x: x.__setitem__(5, 1), x=(list[int], []))
    assert_agrees(lambda x: without_item(x, "a"), lambda x: x.__delitem__("a"), x=(dict[str, int], {}))


def test_what_has_no_such_items_is_an_error() -> None:
    def text(x: str) -> Any:
        return with_item(x, 0, "a")  # D014

    def key(x: dict[str, int]) -> Any:
        return x[1]  # type: ignore[index]  # D011

    def field(z: Row) -> Any:
        return with_item(z, "nam", "a")  # D014

    def sliced(x: dict[str, int]) -> Any:
        return x[:1]  # type: ignore[index]  # D011

    def bound(x: list[int], y: str) -> Any:
        return x[:y]  # type: ignore[misc]  # D010

    for function in (text, key, field, sliced, bound):
        the_error(function)
