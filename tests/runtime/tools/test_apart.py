"""A validator of the user's may take its time: nobody else waits for it, and the timeout of its op ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, NamedTuple, Self

import pytest
from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    TypeAdapter,
    create_model,
    field_validator,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass

from orchestrator import ask, call, llm, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.types.own_code import has_own_code, is_built_quickly
from orchestrator.errors import RunError
from orchestrator.runtime.journal.events import Spent
from orchestrator.runtime.observe import Subscription
from tests.runtime.slow_checks import CLUSTER, Gate, Slow, SlowInt, closed_gate, losing, running, waits


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    with closed_gate():
        yield


@workflow
def replying(n: int) -> Slow:
    return llm(f"count {n}", returns=Slow, max_tokens=20)


@workflow
def sampling(n: int) -> list[Slow]:
    return llm(f"count {n}", returns=Slow, samples=2, max_tokens=20)


@tool(effects="idempotent")
async def on_the_loop(n: int) -> SlowInt:
    return n


@tool(effects="pure")
def in_a_thread(n: int) -> list[SlowInt]:
    return [n]


@workflow
def awaited(n: int) -> int:
    return on_the_loop(n)


@workflow
def threaded(n: int) -> list[int]:
    return in_a_thread(n)


@workflow
def asking(n: int) -> Slow:
    return ask(f"how many, {n}?", returns=Slow)


@workflow
def building(n: int) -> Slow:
    return call(Slow, n=n)


@workflow
def given(n: SlowInt) -> int:
    return n


FLOWS = [replying, sampling, awaited, threaded, asking, building, given]


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
async def test_the_event_loop_goes_on_meanwhile(flow: Any) -> None:
    async with running() as runtime:
        run = asyncio.create_task(runtime.run(compile_workflow(flow, CLUSTER), {"n": 3}))
        while not Gate.begun.is_set() and not run.done():
            await asyncio.sleep(0.001)
        assert not run.done()
        Gate.opened.set()  # by the event loop, which was free to
        value = (await run).value
    assert value in (3, [3], Slow.model_construct(n=3), [Slow.model_construct(n=3)] * 2)


@workflow
def replying_in_time(n: int) -> Slow:
    return llm(f"count {n}", returns=Slow, max_tokens=20, timeout=1)


@workflow
def awaited_in_time(n: int) -> int:
    return on_the_loop.options(timeout=1)(n)


@workflow
def threaded_in_time(n: int) -> list[int]:
    return in_a_thread.options(timeout=1)(n)


@pytest.mark.parametrize("flow", [replying_in_time, awaited_in_time, threaded_in_time], ids=lambda flow: flow.name)
async def test_the_timeout_of_the_op_ends_it(flow: Any) -> None:
    async with running() as runtime:
        with pytest.raises(RunError) as caught:
            await runtime.run(compile_workflow(flow, CLUSTER), {"n": 3})
    assert caught.value.code == "ORCH-R004"
    assert Gate.begun.is_set()


async def test_what_was_answered_is_paid_for_all_the_same() -> None:
    async with running() as runtime:
        feed = Subscription()
        with pytest.raises(RunError):
            await runtime.run(compile_workflow(replying_in_time, CLUSTER), {"n": 3}, observers=[feed])
        spent = [each for each in feed.drain() if isinstance(each, Spent)]
    assert [each.usage.estimated for each in spent] == [False]


async def test_an_error_in_a_validator_is_one_of_the_reply() -> None:
    class Fussy(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def _refuses(cls, value: int) -> int:
            raise ValueError("three is too many")

    @workflow
    def fussy(n: int) -> Fussy:
        return llm(f"count {n}", returns=Fussy, max_tokens=20, retry=2)

    async with running() as runtime:
        with pytest.raises(RunError, match="three is too many"):
            await runtime.run(compile_workflow(fussy, CLUSTER), {"n": 3})


class Plain(BaseModel):
    n: int = Field(3, ge=0, multiple_of=3)
    names: list[str] = Field(default_factory=list)
    inner: Plain | None = None


class Hooked(BaseModel):
    n: int

    def model_post_init(self, _: object) -> None:
        waits(self.n)


class Nested(BaseModel):
    slow: dict[str, list[Slow]] = {}


class Made(BaseModel):
    n: object = Field(default_factory=lambda: waits(3))


class Private(BaseModel):
    _n: int = 3


@dataclass
class Point:
    x: int


@dataclass
class Checked:
    x: int

    def __post_init__(self) -> None:
        waits(self.x)


class Pair(NamedTuple):
    x: int
    y: str


class SlowlyPrivate(BaseModel):
    _n: int = PrivateAttr(default_factory=lambda: waits(3))


class PrivateAndHooked(BaseModel):
    _n: int = 3

    def model_post_init(self, _: object) -> None:
        waits(self._n)


class Allocated(BaseModel):
    def __new__(cls, **given: object) -> Self:
        return waits(super().__new__(cls))  # type: ignore[no-any-return]


class Unfinished(BaseModel):
    later: Later  # type: ignore[name-defined]  # noqa: F821


@pydantic_dataclass
class UnfinishedPoint:
    later: Later  # type: ignore[name-defined]  # noqa: F821


@dataclass(frozen=True, slots=True)
class Frozen:
    x: int
    names: list[str] = field(default_factory=list)


@dataclass
class SlowlyFilled:
    x: int = field(default_factory=lambda: waits(3))


@dataclass(init=False)
class ByHand:
    x: int

    def __init__(self, x: int) -> None:
        self.x = waits(x)


class Derived(Point):
    def __init__(self, x: int) -> None:
        super().__init__(waits(x))


@dataclass
class Watched:
    x: int

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, waits(value))


class SlowPair(Pair):
    def __new__(cls, x: int) -> Self:
        return super().__new__(cls, waits(x), "")


class Row(tuple[int, ...]):
    def __new__(cls, x: int) -> Self:
        return super().__new__(cls, [waits(x)])


class Registry(type):
    def __call__(cls, *given: object) -> Any:
        return waits(super().__call__(*given))


class Registered(tuple[int, ...], metaclass=Registry):
    pass


def checked_in(module: str) -> type[BaseModel]:
    """A model as it is where a module of that name checks it."""

    def check(cls: type, value: int) -> int:
        return waits(value)  # type: ignore[no-any-return]

    check.__module__ = module
    checks = {"check": field_validator("n")(classmethod(check))}  # type: ignore[arg-type]
    return create_model("There", n=(int, 3), __validators__=checks)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("module", ["pydantic_models", "pydantic_ai.checks", "pydanticlike", "orchestrator_models"])
def test_a_module_that_is_called_like_pydantic_is_none_of_its(module: str) -> None:
    assert has_own_code(TypeAdapter(checked_in(module)).core_schema)
    assert not has_own_code(TypeAdapter(checked_in("pydantic.networks")).core_schema)


@pytest.mark.parametrize("tp", [int, Any, list[str], Plain, Private, Point, Pair, dict[str, Plain | None]], ids=str)
def test_what_pydantic_checks_itself_is_quick(tp: Any) -> None:
    assert not has_own_code(TypeAdapter(tp).core_schema)


@pytest.mark.parametrize(
    "tp",
    [
        Slow, Hooked, Nested, Made, Checked, SlowInt, list[Slow], Annotated[int, BeforeValidator(partial(waits))],
        int | Slow, SlowlyPrivate, PrivateAndHooked, Allocated, SlowPair,
    ],
    ids=range(13),
)  # fmt: skip
def test_code_of_the_users_is_found(tp: Any) -> None:
    assert has_own_code(TypeAdapter(tp).core_schema)


QUICK = (Plain, Private, Point, Pair, Frozen)
SLOW = (
    Slow, Checked, Hooked, SlowlyPrivate, PrivateAndHooked, Allocated, Unfinished, UnfinishedPoint, SlowlyFilled,
    ByHand, Derived, Watched, SlowPair, Row, Registered,
)  # fmt: skip


@pytest.mark.parametrize(("cls", "quick"), [*((each, True) for each in QUICK), *((each, False) for each in SLOW)])
def test_what_is_built_quickly(cls: type, quick: bool) -> None:
    assert is_built_quickly(cls) is quick
    make: Callable[..., Any] = tool(cls)
    assert make.cheap is quick  # type: ignore[attr-defined]


async def test_the_answer_of_a_check_is_checked_apart_too() -> None:
    async with running() as runtime:
        run = asyncio.create_task(runtime.run(compile_workflow(losing, CLUSTER), {"n": 3}))
        while not Gate.begun.is_set() and not run.done():
            await asyncio.sleep(0.001)
        Gate.opened.set()
        assert (await run).value == 3
