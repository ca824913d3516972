"""Whatever can be called is a tool: partials, methods, static and class methods, objects."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import pytest

from orchestrator import tool, workflow
from orchestrator.dsl.tool import Tool
from orchestrator.testing import fake


def scale(x: int, by: int = 2, plus: int = 0) -> int:
    return x * by + plus


class Box:
    def __init__(self, by: int) -> None:
        self.by = by

    def plain(self, x: int, more: int = 1) -> int:
        return x * self.by + more

    @tool(effects="pure")
    def declared(self, x: int, more: int = 1) -> int:
        return x * self.by + more

    @staticmethod
    def static(x: int) -> int:
        return x + 1

    @classmethod
    def of_class(cls, x: int) -> int:
        return x + 2

    @staticmethod
    @tool(effects="pure")
    def static_within(x: int) -> int:
        return x + 3

    @tool(effects="pure")
    @staticmethod
    def static_around(x: int) -> int:
        return x + 4

    @classmethod
    @tool(effects="pure")
    def class_within(cls, x: int) -> int:
        return x + 5

    @tool(effects="pure")
    @classmethod
    def class_around(cls, x: int) -> int:
        return x + 6

    def __call__(self, x: int) -> int:
        return x * 100


BOX = Box(3)
CASES: list[tuple[Any, str, int]] = [
    (partial(scale, by=5), "scale", 10),
    (partial(scale, 4), "scale", 8),
    (partial(partial(scale, by=5), plus=3), "scale", 13),
    (partial(BOX.plain, more=9), "plain", 15),
    (BOX.plain, "plain", 7),
    (BOX.declared, "declared", 7),
    (Box.static, "static", 3),
    (Box.of_class, "of_class", 4),
    (BOX.of_class, "of_class", 4),
    (Box.static_within, "static_within", 5),
    (BOX.static_around, "static_around", 6),
    (Box.class_within, "class_within", 7),
    (BOX.class_within, "class_within", 7),
    (Box.class_around, "class_around", 8),
    (BOX.class_around, "class_around", 8),
    (BOX, "Box", 200),
]


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda case: CASES[case][1])
def test_it_is_called_in_a_workflow_outside_and_from_a_pickle(case: int) -> None:
    function, name, expected = CASES[case]
    made: Tool[..., int] = function if isinstance(function, Tool) else tool(function, effects="pure")

    @workflow
    def flow(x: int) -> int:
        return made(x)

    assert made.name == name
    with fake():
        assert flow(2) == expected
    assert made(2) == expected
    assert pickle.loads(pickle.dumps(made))(2) == expected


def test_what_a_partial_holds_is_part_of_the_hash() -> None:
    one, other, same = (tool(partial(scale, by=by)).code for by in (5, 6, 5))
    assert one == same != other


def test_arguments_and_defaults() -> None:
    fifths = tool(partial(scale, by=5), effects="pure")

    @workflow
    def flow(x: int) -> list[int]:
        return [fifths(x, plus=1), fifths(x, by=7), BOX.declared(x, 5), BOX.declared(x, more=0)]

    with fake():
        assert flow(2) == [11, 14, 11, 6]
