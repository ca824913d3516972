"""Methods of texts, lists, dicts and sets on symbolic values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

import pytest

from orchestrator import llm
from orchestrator.dsl.operations import method
from orchestrator.dsl.tracing.tracer import Value
from tests.dsl.diagnosing import the_error
from tests.dsl.operations.parity import assert_agrees, run

TEXT, TEXTS, COUNTS = (str, " Ab c\n"), (list[str], ["a", "b", "a"]), (dict[str, int], {"a": 1, "b": 2})


class Row(TypedDict):
    name: str
    age: int


CASES: list[tuple[Callable[[Any], Any], tuple[Any, Any]]] = [
    *((lambda x, name=name: getattr(x, name)(), TEXT) for name in ("strip", "upper", "title", "split", "splitlines")),
    *((lambda x, name=name: getattr(x, name)(), (str, "12")) for name in ("isdigit", "isalpha", "isascii", "islower")),
    (lambda x: x.split("b", 1), TEXT),
    (lambda x: x.split(""), TEXT),
    (lambda x: x.rsplit(maxsplit=1), TEXT),
    (lambda x: x.splitlines(keepends=True), TEXT),
    (lambda x: x.replace("b", "--", 1), TEXT),
    (lambda x: x.startswith((" ", "A")), TEXT),
    (lambda x: x.endswith("c", 0, 5), TEXT),
    (lambda x: x.find("b"), TEXT),
    (lambda x: x.index("z"), TEXT),
    (lambda x: x.count("b", 1), TEXT),
    (lambda x: x.partition("b"), TEXT),
    (lambda x: x.removeprefix(" "), TEXT),
    (lambda x: x.center(10, "*"), TEXT),
    (lambda x: x.center(10, "**"), TEXT),
    (lambda x: x.zfill(12), TEXT),
    (lambda x: x.encode("ascii"), (str, "é")),
    (lambda x: x.encode(), (str, "é")),
    (lambda x: x.join(["1", "2"]), TEXT),
    (lambda x: x.format(1, name="n"), (str, "{} {name:>3}")),
    (lambda x: x.format(1), (str, "{} {}")),
    (lambda x: x.count("a"), TEXTS),
    (lambda x: x.index("b"), TEXTS),
    (lambda x: x.index("z"), TEXTS),
    (lambda x: x.index("a", 1), TEXTS),
    (lambda x: x.copy(), TEXTS),
    (lambda x: x.get("a"), COUNTS),
    (lambda x: x.get("z"), COUNTS),
    (lambda x: x.get("z", 5), COUNTS),
    (lambda x: x.copy(), COUNTS),
    (lambda x: x.get("name"), (Row, {"name": "n", "age": 3})),
    (lambda x: x.union([5]), (set[int], {1})),
    (lambda x: x.intersection([1], [1, 2]), (set[int], {1, 3})),
    (lambda x: x.difference({1}), (set[int], {1, 3})),
    (lambda x: x.symmetric_difference([1]), (set[int], {1, 3})),
    (lambda x: x.issubset([1, 2]), (set[int], {1})),
    (lambda x: x.isdisjoint({1}), (set[int], {1})),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_it_agrees_with_python(case: int) -> None:
    function, argument = CASES[case]
    assert_agrees(function, function, x=argument)


@pytest.mark.parametrize("name", ["keys", "values", "items"])
def test_what_is_a_view_in_python_is_a_list(name: str) -> None:
    assert_agrees(lambda x: getattr(x, name)(), lambda x: list(getattr(x, name)()), x=COUNTS)


def test_texts_with_placeholders_and_texts_that_tracing_knows() -> None:
    def flow(x: str) -> Any:
        shout: Any = method(f"<{x}>", "upper")
        begins: Any = method("abc", "startswith")
        known: Any = method("abc", "upper")
        assert known() == "ABC"
        return [shout(), begins(x)]

    assert run(flow, x=(str, "a")) == ["<A>", True]


def test_a_list_of_texts_that_tracing_knows_is_joined_into_one_template() -> None:
    def flow(x: str, y: list[str]) -> Any:
        join: Any = method(", ", "join")
        joined = join([x, f"<{x}>", "c"])
        assert isinstance(joined, str)
        return [f"{joined}.", join(y), join(x)]

    assert run(flow, x=(str, "ab"), y=TEXTS) == ["ab, <ab>, c.", "a, b, a", "a, b"]


def test_what_changes_its_object_is_no_operation() -> None:
    def flow(x: list[int], y: dict[str, int]) -> Any:
        assert method(x, "append") is method(y, "update") is method([], "append") is None
        assert method({"a": 1}, "no_such") is None
        found: Any = method({"a": x}, "get")
        assert isinstance(found("a"), Value)
        return 1

    assert run(flow, x=(list[int], []), y=COUNTS) == 1


def test_dicts_that_tracing_knows_are_looked_up() -> None:
    assert run(lambda x: method({"a": 1}, "get")(x, 0), x=(str, "a")) == 1  # type: ignore[misc]
    assert run(method({1: "a"}, "get"), x=(int, 2)) is None  # type: ignore[arg-type]


def test_wrong_arguments_are_errors() -> None:
    def number(x: str) -> Any:
        return x.split(1)  # type: ignore[arg-type]  # D010

    def crowded(x: str) -> Any:
        return x.upper(1)  # type: ignore[call-arg]  # D012

    def unrelated(x: list[int]) -> Any:
        return x.count("a")  # type: ignore[arg-type]  # D014

    def key(x: dict[str, int]) -> Any:
        return x.get(1)  # type: ignore[call-overload]  # D014

    def missing(x: Row) -> Any:
        return x.get("nam")  # D011

    def optional(x: str | None) -> Any:
        return x.strip()  # type: ignore[union-attr]  # D011

    def items(x: int) -> Any:
        return method(", ", "join")([x])  # type: ignore[misc]  # D010

    for function in (number, crowded, unrelated, key, missing, optional, items):
        the_error(function)


def test_a_reply_is_stripped() -> None:
    def flow(x: str) -> Any:
        return llm(x).strip().upper()

    from orchestrator import workflow
    from orchestrator.testing import fake

    with fake([" yes\n"]):
        assert workflow(flow)("?") == "YES"
