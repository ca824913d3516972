"""Legal workflows whose types, names and values are seldom written; each is run from its source and from its text."""

# ruff: noqa: PLC2401 - names of any alphabet are what is tried

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Generic, Literal, NamedTuple, NewType, Optional, TypedDict, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from orchestrator import Message, Reply, assistant, attempt, chat, llm, react, switch, system, tool, user, workflow

T = TypeVar("T")
UserId = NewType("UserId", str)
Quoted = Literal["it's", 'say "hi"', "back\\slash", "new\nline", "ü", ""]


class Größe(enum.Enum):
    KLEIN = "klein"
    GROSS = 'gr"oß\\'


class Level(enum.Flag):
    LOW = 1
    HIGH = 2


class Inner(BaseModel):
    wert: int = 1
    größe: Größe = Größe.KLEIN


class Outer(BaseModel):
    class Own(BaseModel):
        x: int = 1

    inner: Inner
    own: Own = Own()
    maybe: Optional[Inner] = None  # noqa: UP045 - as some write it
    by_name: dict[str, list[Inner | None]] = {}


class Fancy(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    created: datetime = datetime(2026, 1, 1)
    money: Decimal = Decimal("1.10")
    key: Literal["a", 'b"', 3, True, None] = "a"
    where: Path = Path("x/ü")
    either: int | str | list[int] = 3


class Box(BaseModel, Generic[T]):
    model_config = ConfigDict(populate_by_name=True)

    held: T
    more: list[T] = Field(default_factory=list, alias="More")


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"


class Keys(TypedDict, total=False):
    a: int
    b: str


class Row(NamedTuple):
    left: str
    right: int = 3


@dataclass
class Point:
    x: float
    tags: tuple[str, ...] = field(default=())


@tool(effects="pure", name="odd 'name' ü")
def echo(x: str) -> str:
    return x


@tool(effects="pure")
def outer(n: int) -> Outer:
    return Outer(inner=Inner(wert=n, größe=Größe.GROSS), by_name={'a "b"': [None, Inner()]})


@tool(effects="pure")
def own(n: int) -> Outer.Own:
    return Outer.Own(x=n)


@tool(effects="pure")
def boxed(n: int) -> Box[int]:
    return Box[int](held=n, More=[n, n + 1])


@tool(effects="pure")
def tree(n: int) -> Tree:
    return Tree(name="ü", children=[Tree(name="leaf")] * n)


@tool(effects="pure")
def pet(n: int) -> Cat | Dog | None:
    return (Cat(), Dog(), None)[n % 3]


@tool(effects="pure")
def keys(given: Keys) -> Keys:
    return {**given, "b": "ü"}


@tool(effects="pure")
def row(n: int) -> Row:
    return Row("l", n)


@tool(effects="pure")
def quoted(n: int) -> Quoted:
    return ("it's", 'say "hi"', "back\\slash", "new\nline")[n]


@tool(effects="pure")
def many(n: int) -> tuple[date, timedelta, Decimal, UUID, set[int], frozenset[str], Level]:
    return date(2026, 1, n), timedelta(hours=n), Decimal("1.50"), UUID(int=n), {n}, frozenset({"x"}), Level.LOW


@tool(effects="pure")
def user_id(x: UserId) -> UserId:
    return UserId(x + "!")


@tool(effects="pure")
def twice(x: T) -> list[T]:
    return [x, x]


@tool(effects="pure")
def fails(x: str) -> str:
    raise KeyError(x)


@tool(effects="pure")
def lookup(key: str, point: Point, prefix: str = "p") -> str:
    return f"{prefix}{key}{point.x}"


@workflow(name="Größte 'x'")
def unicode_names(größe: str) -> str:
    return echo(f"Grüße, {größe} \u2028 \U0001f600 \x07 \"q\" 'q' \\ %s {{}}")


@workflow
def nested(n: int) -> Outer:
    return outer(n)


@workflow
def parts_of_nested(n: int) -> str:
    found = outer(n)
    return f"{found.inner.größe} {own(n).x} {boxed(n).held + boxed(n).more[1]} {found.maybe}"


@workflow
def generic(n: int) -> Box[int]:
    return boxed(n)


@workflow
def recursive(n: int) -> list[str]:
    return [each.name for each in tree(n).children]


@workflow
def classes(n: int) -> str:
    found = pet(n)
    if found is None:
        return "none"
    match found:
        case Cat():
            return "cat"
        case Dog(kind=kind):
            return kind


@workflow
def typed_dicts(keys_given: Keys) -> Keys:
    return keys(keys_given)


@workflow
def typed_dict_replies(x: str) -> Keys:
    return llm(x, returns=Keys)


@workflow
def rows(n: int) -> tuple[Row, str]:
    found = row(n)
    return found, found.left


@workflow
def literals(n: int) -> str:
    match quoted(n):
        case "it's":
            return "1"
        case 'say "hi"':
            return "2"
        case "back\\slash":
            return "3"
        case _:
            return "4"


@workflow
def literal_replies(x: str) -> Quoted:
    return llm(x, returns=Quoted)


@workflow
def others(n: int) -> tuple[date, timedelta, Decimal, UUID, set[int], frozenset[str], Level]:
    return many(n)


@workflow
def new_types(x: UserId) -> list[UserId]:
    return twice(user_id(x))


@workflow
def defaults(
    x: str,
    größe: Größe = Größe.GROSS,
    pair: tuple[int, str] = (1, 'a"b'),
    day: date = date(2026, 1, 2),
    point: Point | None = None,
    inner: Inner = Inner(wert=4),  # noqa: B008
    big: int = -(2**70),
    low: float = float("-inf"),
) -> str:
    return f"{x} {größe} {pair} {day} {point} {inner} {big} {low}"


@workflow
def fancy_replies(x: str) -> Fancy:
    return llm(x, returns=Fancy)


@workflow
def generic_replies(x: str) -> list[Box[Inner]]:
    return llm(x, returns=list[Box[Inner]])


@workflow
def described_replies(x: str) -> int:
    return llm(x, returns=Annotated[int, Field(ge=0, description='a "number"')])


@workflow
def bounded_replies(x: str) -> str:
    said = llm(x, choice=["yes", 'no "way"', "ü"])
    return said + llm(x, regex=r"\d+\"", stop=["\n", "#"], extra_body={"a": {"b": [1, None, "ü"]}})


@workflow
def offered(x: str) -> Reply:
    return llm([system("S"), user("U", x), assistant("A"), user(x)], tools=[lookup], deps={"point": Point(1.0)})


@workflow
def agent_with_deps(x: str) -> str:
    return react(x, [lookup], max_steps=2, deps={"point": Point(2.0), "prefix": x})


@workflow
def conversation(x: str) -> str:
    first = chat('Be "brief" ü.').say(f"One: {x}")
    return first.reply + first.chat.say("Two?").reply


@workflow
def messages(given: list[Message]) -> str:
    return llm([*given, user("ü")])


@workflow
def part(x: str, n: int = 2) -> str:
    return echo(x) * n


@workflow
def sub_workflows(x: str) -> str:
    return part(x) + part(x, 3)


@workflow(max_depth=3)
def factorial(n: int) -> int:
    return 1 if n <= 1 else n * factorial(n - 1)


@workflow
def failures(x: str) -> str:
    return attempt(lambda: fails(x), lambda error: f"{error.kind} {error.code} {error.message}")


@workflow
def switched(x: str) -> str:
    return switch(echo(x), {"a": lambda: "A", 'b"': lambda: "B"}, lambda: "other")


@workflow
def prompt_of_a_file(x: str) -> str:
    return llm(Path(__file__).read_text(encoding="utf-8")[:80] + x)
