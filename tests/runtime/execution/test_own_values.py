"""Values of a run are its own: what others do to theirs later changes neither the run nor what it goes on with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator import ask, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.runner import Runner
from orchestrator.runtime.values.at_run_time import checked_result


class Model(BaseModel):
    xs: list[int]


@dataclass
class Data:
    xs: list[int]


returned: list[Any] = []
fails = [False]


def kept(value: Any) -> Any:
    """A value to which its tool has a reference still."""
    returned.append(value)
    return value


@tool(effects="reads")
async def model(n: int) -> Model:
    return kept(Model(xs=[n]))


@tool(effects="reads")
def data(n: int) -> Data:
    return kept(Data([n]))


@tool(effects="reads")
async def anything(n: int) -> Any:
    return kept({"xs": [n]})


@tool(effects="reads")
async def spoil(one: Model, other: Data, third: Any) -> int:
    for each in returned:
        (each["xs"] if isinstance(each, dict) else each.xs).append(99)
    if fails[0]:
        raise OSError("the power is gone")
    return 0


@tool(effects="reads")
def shown(one: Model, other: Data, third: Any, _after: int) -> str:
    return f"{one.xs} {other.xs} {third['xs']}"


@workflow
def flow(n: int) -> str:
    one, other, third = model(n), data(n), anything(n)
    return shown(one, other, third, spoil(one, other, third))


@workflow
def given(one: Model, other: Data, third: Any) -> str:
    return shown(one, other, third, spoil(one, other, third))


@workflow
def giving(n: int) -> Model:
    return model(n)


@workflow
def asking() -> Model:
    return ask("Which?", returns=Model, name="which")


class Human:
    async def ask(self, id: str, question: str, type: Any, choices: Any) -> object:  # noqa: A002
        return kept(Model(xs=[1]))


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    returned.clear()
    fails[0] = False
    yield


@pytest.fixture(params=["without a store", "with one"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {} if request.param == "without a store" else {"store": MemoryStore()}


async def test_what_a_tool_does_later_to_what_it_has_returned_is_seen_by_nobody(options: dict[str, Any]) -> None:
    compiled = compile_workflow(flow)
    async with Runner(**options) as runner:
        assert (await runner.run(compiled, {"n": 1})).value == "[1] [1] [1]"
        fails[0] = True
        with pytest.raises(RunError, match="the power is gone"):
            await runner.run(compiled, {"n": 1}, run_id="r")
        fails[0] = False
        assert (await runner.resume(compiled, "r")).value == "[1] [1] [1]"


@pytest.mark.parametrize(
    ("tp", "value"),
    [
        (list[list[int]], [[1]]),
        (dict[str, dict[str, list[int]]], {"a": {"b": [1]}}),
        (tuple[list[int], ...], ([1],)),
        (list[int] | dict[str, list[str]], {"a": ["b"]}),
        (list[int | list[int]], [[1]]),
        (list[Model], [Model(xs=[1])]),
        (dict[str, Data], {"a": Data([1])}),
        (list[Any], [[1]]),
        (list, [[1]]),
        (list[dict[str, Any]], [{"a": [1]}]),
    ],
    ids=str,
)
def test_whatever_type_it_has_nothing_in_a_result_is_shared_that_can_be_changed(tp: Any, value: Any) -> None:
    result = checked_result(tp, value)
    assert result == value
    assert {id(each) for each in changeable(result)}.isdisjoint({id(each) for each in changeable(value)})


def changeable(value: Any) -> list[Any]:
    """All lists, dicts and objects in a value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    if isinstance(value, (Model, Data)):
        inner = [value.xs]
    own = [value] if isinstance(value, (list, dict, Model, Data)) else []
    return [*own, *(found for each in inner for found in changeable(each))]


async def test_nor_is_what_a_caller_does_to_the_inputs(options: dict[str, Any]) -> None:
    compiled, fails[0] = compile_workflow(given), True
    inputs = {"one": kept(Model(xs=[1])), "other": kept(Data([1])), "third": kept({"xs": [1]})}
    async with Runner(**options) as runner:
        with pytest.raises(RunError, match="the power is gone"):
            await runner.run(compiled, inputs, run_id="r")
        fails[0] = False
        assert (await runner.resume(compiled, "r")).value == "[1] [1] [1]"


async def test_nor_what_it_does_to_the_result(options: dict[str, Any]) -> None:
    compiled = compile_workflow(giving)
    async with Runner(**options) as runner:
        result = await runner.run(compiled, {"n": 1}, run_id="r")
        returned[0].xs.append(99)
        assert result.value == Model(xs=[1])
        result.value.xs.append(99)
        assert (await runner.resume(compiled, "r")).value == Model(xs=[1])


async def test_nor_what_a_person_does_to_an_answer(options: dict[str, Any]) -> None:
    compiled = compile_workflow(asking)
    async with Runner(human=Human(), **options) as runner:
        result = await runner.run(compiled, {}, run_id="r")
        returned[0].xs.append(99)
        assert result.value == Model(xs=[1])
        assert (await runner.resume(compiled, "r")).value == Model(xs=[1])
