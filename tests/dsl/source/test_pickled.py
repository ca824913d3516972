"""Tools and workflows go by name in pickles, and results go without their program."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from pydantic import BaseModel

from orchestrator import llm, tool, workflow
from orchestrator.testing import fake
from tests.dsl import pickled_definitions as definitions


def again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["double", "twice"])
def test_what_a_module_names_is_the_same_again(name: str, protocol: int) -> None:
    value = getattr(definitions, name)
    assert pickle.loads(pickle.dumps(value, protocol)) is value
    assert pickle.loads(pickle.dumps([value, {"it": value}], protocol)) == [value, {"it": value}]


def test_a_tool_with_other_options_keeps_them() -> None:
    for value in (definitions.patient, definitions.of_plain, definitions.of_a_model):
        same = again(value)
        assert same.fn is value.fn
        assert (same.name, same.effects, same.retry, same.timeout, same.cheap) == (
            value.name,
            value.effects,
            value.retry,
            value.timeout,
            value.cheap,
        )


def test_what_cannot_be_found_again_says_so() -> None:
    @tool
    def nested(x: int) -> int:
        return x

    @workflow
    def flow(x: int) -> int:
        return nested(x)

    for value in (nested, flow, definitions.found, definitions.Kit().doubled, tool(lambda x: x, name="it")):
        with pytest.raises(TypeError, match="at the top of a module"):
            pickle.dumps(value)
        assert copy.deepcopy(value) is value


def test_cloudpickle_takes_by_value_what_has_no_name() -> None:
    @tool(effects="pure")
    def nested(x: int) -> int:
        return x + 3

    @workflow
    def flow(x: int) -> int:
        return nested(x)

    assert cloudpickle.loads(cloudpickle.dumps(nested)).fn(1) == 4
    with warnings.catch_warnings(action="error"):  # of a source that nobody has there
        assert cloudpickle.loads(cloudpickle.dumps(flow))(1) == 4


SCRIPT = """
import multiprocessing
from orchestrator import tool, workflow

@tool(effects="pure")
def double(x: int) -> int:
    return 2 * x

@workflow
def twice(x: int) -> int:
    return double(double(x))

def call(what):
    return what(3)

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(call, [double, twice]))
"""


def test_a_pool_of_processes_finds_those_of_a_script(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "[6, 12]\n", done.stderr


class Count(BaseModel):
    n: int


@tool(effects="idempotent")
def store(count: Count) -> list[Count]:
    return [count]


@workflow
def counting(what: str) -> list[Count]:
    return store(llm(f"how many {what}?", returns=Count))


def test_a_result_is_all_there_again() -> None:
    with fake(['{"n": 4}']):
        result = counting.run("legs")
    for same in (again(result), copy.deepcopy(result), again(again(result))):
        assert same == result
        assert same.value == [Count(n=4)]
        assert (same.ops, same.events, same.warnings) == (result.ops, result.events, result.warnings)
        assert repr(same) == repr(result)
