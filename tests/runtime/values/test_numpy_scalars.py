"""Tools that compute return numpy's numbers where they declare Python's."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from orchestrator import map_, tool, workflow
from orchestrator.errors import RunError
from orchestrator.runtime.values.at_run_time import prompt_text


@tool(effects="idempotent")
def total(xs: list[int]) -> int:
    return np.sum(xs)


@tool(effects="pure", cheap=True)
def largest(xs: list[int]) -> int:
    return np.max(np.array(xs))


@tool(effects="pure", cheap=True)
def half(x: int) -> float:
    return np.float32(x / 2)


@tool(effects="idempotent")
async def statistics(xs: list[int]) -> dict[str, list[float]]:
    return {"ends": [np.float32(min(xs)), np.float32(max(xs))]}


@tool(effects="idempotent")
def is_any(xs: list[int]) -> tuple[bool, str | None]:
    return np.any(xs), np.str_("yes")


@tool(effects="idempotent")
def wrong(kind: str) -> int:
    return {"float": np.float64(1.5), "array": np.array([1]), "flag": np.bool_(True), "text": np.str_("1")}[kind]


@workflow
def flow(xs: list[int]) -> tuple[int, int, float, dict[str, list[float]], tuple[bool, str | None], list[float]]:
    return total(xs), largest(xs), half(largest(xs)), statistics(xs), is_any(xs), map_(half, xs, limit=3)


@workflow
def failing(kind: str) -> int:
    return wrong(kind)


def test_they_become_python_s_where_those_are_declared() -> None:
    found = flow([1, 2, 4])
    assert found == (7, 4, 2.0, {"ends": [1.0, 4.0]}, (True, "yes"), [0.5, 1.0, 2.0])
    count, most, middle, ends, (flag, _), halves = found
    assert {type(count), type(most)} == {int}
    assert {type(each) for each in (middle, *ends["ends"], *halves)} == {float}
    assert flag is True


@pytest.mark.parametrize("kind", ["float", "array", "flag", "text"])
def test_what_is_no_such_number_is_still_wrong(kind: str) -> None:
    with pytest.raises(RunError) as caught:
        failing(kind)
    assert caught.value.code == "ORCH-R002"


@pytest.mark.parametrize(
    ("value", "text"),
    [(np.int64(3), "3"), (np.float32(0.5), "0.5"), ([np.int8(1), np.bool_(False)], "[1,false]"), (np.str_("a"), "a")],
)
def test_they_stand_in_prompts_as_numbers(value: Any, text: str) -> None:
    assert prompt_text(value) == text


def test_numpy_is_not_loaded_for_that() -> None:
    code = """
import sys
from orchestrator.runtime.values.numpy_scalars import plain_within
assert plain_within([1, {"a": (2,)}]) == [1, {"a": (2,)}]
sys.exit("numpy" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
