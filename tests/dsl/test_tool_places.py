"""Options of a tool that say where it runs: what they mean, and which contradict each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from orchestrator import tool, workflow
from orchestrator.dsl.declared.policy import PolicyError, parse_memory
from orchestrator.errors import TraceError


def double(x: int) -> int:
    return 2 * x


async def double_later(x: int) -> int:
    return 2 * x


@pytest.mark.parametrize(
    ("options", "message", "fix"),
    [
        ({"isolation": "container"}, "isolation='container'", 'isolation is "thread" or "process"'),
        ({"cheap": "yes"}, "cheap='yes'", "True or False"),
        ({"cheap": True}, 'cheap=True with effects="once"', 'effects="pure"'),
        ({"cheap": True, "effects": "pure", "timeout": 5}, "cheap=True with timeout=5", "one of them out"),
        ({"cheap": True, "effects": "pure", "isolation": "process"}, "cheap=True with isolation", "one of them out"),
        ({"memory": "1 GiB"}, "memory='1 GiB' without isolation", 'add isolation="process"'),
        ({"memory": "plenty", "isolation": "process"}, "'plenty' is not a size", '"512 MiB"'),
        ({"memory": "9" * 400 + " GB", "isolation": "process"}, "more memory than any machine has", "512 MiB"),
        ({"memory": "1 MiB", "isolation": "process"}, "1,048,576 bytes are too few", "32 MiB"),
        ({"memory": True, "isolation": "process"}, "True is not a size", '"512 MiB"'),
    ],
)
def test_options_that_make_no_sense_are_reported_at_the_tool(options: Any, message: str, fix: str) -> None:
    wrong = tool(double, **options)

    @workflow
    def flow(x: int) -> int:
        return wrong(x)

    with pytest.raises(TraceError) as caught:
        flow.trace()
    (problem,) = caught.value.diagnostics
    assert problem.code == "ORCH-D041"
    assert message in problem.message
    assert fix in (problem.fix or "")
    assert problem.where is not None
    assert problem.where.line == double.__code__.co_firstlineno


def test_an_async_tool_is_never_cheap() -> None:
    wrong = tool(double_later, cheap=True, effects="pure")

    @workflow
    def flow(x: int) -> int:
        return wrong(x)

    with pytest.raises(TraceError, match="cheap=True on an async tool"):
        flow.trace()


@pytest.mark.parametrize(
    ("size", "expected"),
    [("512 MiB", 512 << 20), ("2GB", 2 * 10**9), ("1.5 gib", 3 << 29), ("100 mb", 10**8), (64 << 20, 64 << 20)],
)
def test_sizes(size: str | int, expected: int) -> None:
    assert parse_memory(size) == expected


@pytest.mark.parametrize("size", ["512", "MiB", "-1 GiB", "1 GiBs", "", None, 3.5, "1e3 MiB"])
def test_what_is_no_size(size: Any) -> None:
    with pytest.raises(PolicyError):
        parse_memory(size)


class Point(NamedTuple):
    x: int


@dataclass
class Box:
    x: int


class Model(BaseModel):
    x: int


class Service:
    """Whatever its constructor does, it may take its time."""

    def __init__(self, x: int) -> None:
        self.x = x


@pytest.mark.parametrize(("kind", "cheap"), [(Point, True), (Box, True), (Model, True), (Service, False)])
def test_building_a_record_is_cheap(kind: Any, cheap: bool) -> None:
    assert tool(kind).cheap is cheap
    assert tool(kind).effects == "pure"
    assert tool(kind, timeout=1).cheap is False
