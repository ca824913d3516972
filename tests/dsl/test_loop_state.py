"""The state of a loop may turn out wider than it began, or as one value; what is written down has a known length."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import llm, loop, map_, tool, workflow
from orchestrator.testing import fake
from tests.dsl.diagnosing import the_error
from tests.dsl.recording import record


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(1, 12))
def test_a_window_over_the_latest_replies(size: int, turns: int) -> None:
    def flow(q: str) -> list[Any]:
        def slide(window: tuple[Any, ...]) -> tuple[Any, ...]:
            return (llm(f"after {window[0]}"), *window[:-1])

        return list(loop(slide, ("start", *[None] * size), max=turns))

    replies = iter(range(turns))
    with fake(lambda messages: str(next(replies))):
        window = workflow(flow)("q")
    newest_first = [str(n) for n in reversed(range(turns))]
    assert window == [*newest_first, "start", *[None] * size][: size + 1]


def test_ops_after_a_loop_that_was_traced_often_have_names_of_their_own() -> None:
    @workflow
    def flow(q: str) -> str:
        a = loop(lambda s: (llm(f"{s[0]}"), s[0], s[1], s[2]), (q, None, None, None), max=3)  # type: ignore[return-value, arg-type]
        return f"{a[0]}{llm(q)}"

    ids = [op.id for op in record(flow).ops]
    assert len(ids) == len(set(ids))


def test_a_state_whose_type_never_settles() -> None:
    @tool(effects="pure")
    def start() -> list[str]:
        return []

    def wrong(q: str) -> Any:
        return loop(lambda s: [s], [], max=2)  # type: ignore[return-value, list-item]  # D023

    error = the_error(wrong)
    assert "grows with every iteration" in error.message

    @tool(effects="pure")
    def wrapped(state: list[Any]) -> list[Any]:
        return [state]

    def right(q: str) -> Any:
        return loop(wrapped, [], max=2)

    assert error.fix is not None
    assert "a tool that is declared" in error.fix
    with fake():
        assert workflow(right)("q") == [[[]]]


class Tally(TypedDict):
    seen: list[str]
    count: int


@tool(effects="pure")
def counted(state: Tally) -> Tally:
    return {"seen": [*state["seen"], "more"], "count": state["count"] + 1}


@tool(effects="pure")
def longer(state: dict[str, int]) -> dict[str, int]:
    return {**state, str(len(state)): len(state)}


@tool(effects="pure")
def moved(state: tuple[str, int]) -> tuple[str, int]:
    return f"{state[0]}!", state[1] + 1


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        (lambda x: loop(counted, {"seen": ["a"], "count": 1}, max=5, until=lambda s: s["count"] == 3),
         {"seen": ["a", "more", "more"], "count": 3}),
        (lambda x: loop(longer, {}, max=2), {"0": 0, "1": 1}),
        (lambda x: loop(lambda s: longer(longer(s)), {"a": 7}, max=2), {"a": 7, "1": 1, "2": 2, "3": 3, "4": 4}),
        (lambda x: loop(moved, (x, 0), max=3), ("x!!!", 3)),
    ],
)  # fmt: skip
def test_a_tool_may_make_one_value_of_a_state_that_began_as_a_structure(flow: Any, expected: Any) -> None:
    def body(x: str) -> Any:
        return flow(x)

    with fake():
        assert workflow(body)("x") == expected


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        (lambda x: map_(lambda item: f"{item}{x}", ("a", "b")), ["ax", "bx"]),
        (lambda x: map_(lambda item: llm(f"{item}"), (x, "b", x)), ["reply"] * 3),
        (lambda x: map_(lambda a, b: a + b, ("a", x), ["c", "d"]), ["ac", "xd"]),
        (lambda x: map_(lambda item: item, ()), []),
    ],
)
def test_a_tuple_that_is_written_down_has_a_known_length(flow: Any, expected: Any) -> None:
    def body(x: str) -> Any:
        return flow(x)

    with fake(lambda messages: "reply"):
        assert workflow(body)("x") == expected


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        (lambda x: map_(lambda item: llm(f"{item}"), []), []),
        (lambda x: map_(lambda a, b: a + b, [], []), []),
        (lambda x: map_(lambda item: item.name, []), []),
        (lambda x: map_(lambda item: (item, x), []), ([], [])),
        (lambda x: map_(lambda item: llm(f"{item}"), llm(x, samples=2)[2:]), []),
        (lambda x: map_(lambda row: map_(lambda cell: llm(f"{cell}"), row, limit=1), [[], []]), [[], []]),
        (lambda x: {"none": map_(lambda item: item, (), limit=3), "x": x}, {"none": [], "x": "x"}),
    ],
)
def test_a_map_over_nothing_gives_nothing(flow: Any, expected: Any) -> None:
    def body(x: str) -> Any:
        return flow(x)

    with fake(["a", "b"]):
        assert workflow(body)("x") == expected
