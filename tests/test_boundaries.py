"""What may be a tool, and what may go through one: either it works from end to end, or it is refused with a code."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import datetime
import enum
import functools
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Protocol, TypedDict, TypeVar

import pytest
from pydantic import BaseModel, Field, RootModel

from orchestrator import llm, map_, tool, workflow
from orchestrator.errors import RunError, TraceError
from orchestrator.testing import fake

T = TypeVar("T")
UserId = NewType("UserId", int)


class Node(BaseModel):
    value: int
    children: list[Node] = []


class Réponse(BaseModel):  # noqa: PLC2401
    naïf: int  # noqa: PLC2401


class Box(BaseModel, Generic[T]):
    content: T


@dataclasses.dataclass
class Tree:
    a: int
    below: list[Tree] = dataclasses.field(default_factory=list)


class Pair(NamedTuple):
    a: int
    b: str = "x"


class Colour(enum.Enum):
    RED = 1


class Goes(Protocol):
    def go(self) -> int: ...


class Walker:
    def go(self) -> int:
        return 1


class Plain:
    def __init__(self, n: int) -> None:
        self.n = n

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and self.n == other.n

    __hash__ = None  # type: ignore[assignment]


class Typed(TypedDict):
    a: int


WALKER = Walker()
VALUES: list[tuple[Any, Any]] = [
    (Node, Node(value=1, children=[Node(value=2)])), (Réponse, Réponse(naïf=1)), (Box[int], Box[int](content=1)),
    (Box, Box(content=1)), (Tree, Tree(1, [Tree(2)])), (Pair, Pair(1)), (Colour, Colour.RED), (Goes, WALKER),
    (list[Goes], [WALKER]), (Plain, Plain(1)), (list[Plain], [Plain(1)]), (Node | None, None), (Typed, {"a": 1}),
    (list[Typed], [{"a": 1}]), (Node | None, Node(value=1)), (Annotated[int, Field(ge=0)], 1), (float, 3), (UserId, 3),
    (Literal["a", "é", "\"", "\\", "'"], "é"),
    (Literal["a", "é", "\"", "\\", "'"], "\\"), (dict[str, list[int]], {"a": [1]}),
    (tuple[int, ...], (1, 2)), (tuple[int, str], (1, "a")), (set[int], {1}), (frozenset[str], frozenset("a")),
    (datetime.date, datetime.date(2026, 1, 1)), (bytes, b"\xff"), (complex, 1 + 2j), (int | str, "a"), (Any, object),
    (int | None | list[str], ["a"]), (object, 3), (collections.OrderedDict[str, int], collections.OrderedDict(a=1)),
    (Sequence[int], [1]), (Mapping[str, int], {"a": 1}), (type[int], int), (Callable[[int], int], len), (None, None),
    (RootModel[list[int]], RootModel[list[int]]([1])), (collections.deque[int], collections.deque([1])),
    (range, range(3)), (collections.Counter[str], collections.Counter("a")),
    (Hashable, 3), (ValueError, ValueError("x")),
]  # fmt: skip


@pytest.mark.parametrize("effects", ["pure", "idempotent", "once"])
@pytest.mark.parametrize(("tp", "value"), VALUES)
def test_values_of_every_kind_pass_through(tp: Any, value: Any, effects: Any) -> None:
    def keep(x: Any) -> Any:
        return x

    def make() -> Any:
        return value

    def flow(x: Any) -> Any:
        return kept(made())

    keep.__annotations__ = flow.__annotations__ = {"x": tp, "return": tp}
    make.__annotations__ = {"return": tp}
    kept, made = tool(keep, effects=effects), tool(make, effects=effects)
    with fake():
        result = workflow(flow)(value)
    assert result is value or result == value


def literal_flow(q: str) -> Literal["oui", "naïf", 'a"b', "\\n", "c'd"]:
    return llm(q, returns=Literal["oui", "naïf", 'a"b', "\\n", "c'd"])


@pytest.mark.parametrize("reply", ["oui", "naïf", 'a\\"b', "\\\\n", "c'd"])
def test_a_literal_accepts_what_it_lists(reply: str) -> None:
    with fake([f'"{reply}"']):
        assert workflow(literal_flow)("x") == reply.replace('\\"', '"').replace("\\\\", "\\")


@pytest.mark.parametrize("reply", ['"FOO"', '"naif"', '"a"', '"\\n"', '"OUI"', "1", "null"])
def test_a_literal_accepts_nothing_else(reply: str) -> None:
    with fake([reply]), pytest.raises(RunError) as caught:
        workflow(literal_flow)("x")
    assert caught.value.code == "ORCH-R003"

    def flow(choice: Literal["naïf", 'a"b']) -> str:
        return f"{choice}"

    with fake(), pytest.raises(RunError) as caught:
        workflow(flow)("naif")  # type: ignore[arg-type]
    assert caught.value.code == "ORCH-R007"


def plain(a: int, b: int = 2, *, c: int = 3) -> int:
    return a + b + c


def mutable(a: int, b: list[int] = []) -> list[int]:  # noqa: B006 - what users write
    b.append(a)
    return list(b)


def forward(a: Node) -> Node:
    return a


def generic(a: T) -> T:
    return a


async def waiting(a: int) -> int:
    await asyncio.sleep(0)
    return a


def lazy(a: int) -> Iterable[int]:
    yield a


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


class Thing:
    def method(self, a: int) -> int:
        return a

    async def waits(self, a: int) -> int:
        return a

    @classmethod
    def of_class(cls, a: int) -> int:
        return a

    @staticmethod
    def static(a: int) -> int:
        return a

    def __call__(self, a: int) -> int:
        return a


class Waiter:
    async def __call__(self, a: int) -> int:
        return a


class Table:
    @tool
    def of_object(self, a: int) -> int:
        return a

    @classmethod
    @tool
    def of_class(cls, a: int) -> str:
        return f"{cls.__name__}{a}"

    @staticmethod
    @tool
    def static(a: int) -> int:
        return a


FUNCTIONS: list[tuple[Any, tuple[Any, ...], Any]] = [
    (plain, (1,), 6), (plain, (1, 1), 5), (mutable, (1,), [1]),
    (forward, (Node(value=1),), Node(value=1)), (waiting, (1,), 1), (lazy, (1,), [1]),
    (generic, (1,), 1), (Thing().method, (1,), 1), (Thing().waits, (1,), 1), (Thing.of_class, (1,), 1),
    (Thing.static, (1,), 1), (Thing(), (1,), 1), (Waiter(), (1,), 1), (decorated(plain), (1,), 6),
    (decorated(decorated(plain)), (1,), 6), (functools.partial(plain, b=5),
    (1,), 9), (functools.partial(plain, 5), (), 10),
    (functools.partial(waiting, 1), (), 1), (functools.lru_cache(plain),
    (1,), 6), (functools.singledispatch(plain), (1,), 6),
    (Plain, (1,), Plain(1)), (Tree, (1,), Tree(1)), (Pair, (1,), Pair(1)), (Table().of_object, (1,), 1),
    (Table.of_class, (1,), "Table1"), (Table.static, (1,), 1), (Table().static, (1,), 1),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(FUNCTIONS)))
def test_functions_of_every_kind_are_tools(case: int) -> None:
    function, arguments, expected = FUNCTIONS[case]
    called = tool(function, effects="idempotent")

    def flow(x: str) -> Any:
        return called(*arguments)

    def mapped(xs: list[int]) -> Any:
        return map_(lambda x: called(*arguments[:-1], x) if arguments else called(), xs, limit=2)

    with fake():
        assert workflow(flow)("x") == expected
        if arguments and isinstance(arguments[-1], int) and function is not mutable and arguments == (1,):
            assert workflow(mapped)([1, 1]) == [expected, expected]


def unannotated(a):  # type: ignore[no-untyped-def]
    return a


def no_return(a: int):  # type: ignore[no-untyped-def]
    return a


def positional(a: int, /) -> int:
    return a


def variable(*a: int, **b: int) -> int:
    return len(a) + len(b)


def unknown(a: Nowhere) -> int:  # type: ignore[name-defined]  # noqa: F821
    return 1


def promised(a: int) -> Awaitable[int]:
    return waiting(a)


async def streamed(a: int):  # type: ignore[no-untyped-def]
    yield a


REFUSED = [
    unannotated, no_return, positional, variable, unknown, promised, streamed, Thing.method, len, str.upper, int,
    Colour, print, 5, "text", lambda a: a, functools.partial(len, [1]), Table.of_object,
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_what_cannot_be_a_tool_is_refused_with_a_fix(case: int) -> None:
    def flow(x: int) -> Any:
        return tool(REFUSED[case], name="refused")(x)  # type: ignore[call-overload]

    with pytest.raises(TraceError) as caught, fake():
        workflow(flow)(1)
    for diagnostic in caught.value.diagnostics:
        assert diagnostic.code in ("ORCH-D002", "ORCH-D012")
        assert diagnostic.fix
        assert diagnostic.where is not None
        assert diagnostic.where.file == __file__


def test_a_coroutine_that_nobody_awaits_is_a_wrong_result() -> None:
    wrapped = tool(decorated(waiting), effects="idempotent", name="wrapped")

    def flow(x: int) -> int:
        return wrapped(x)

    with pytest.raises(RunError) as caught, fake():
        workflow(flow)(1)
    assert caught.value.code == "ORCH-R002"
    assert "async def" in (caught.value.diagnostics[0].why or "")


NAMES = [
    "été", "名前", "class", "__init__", "x" * 199, "a-b", "a.b", "a b", "🚀", "None", "default", "f'{x}'", "%s",
    "$x", "a:b", "--help", "..", "#a", "é" * 150,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_of_every_kind(name: str) -> None:
    def same(x: str) -> str:
        return x

    named = tool(same, name=name, effects="idempotent")
    of_op = name.replace(".", "_").replace("#", "_")  # which have a meaning in the paths of ops

    def flow(x: str) -> str:
        return llm(named.options(name=of_op)(named(x)), name=f"{of_op}2"[-200:])

    with fake(["reply"]):
        assert workflow(name=name)(flow)("x") == "reply"
