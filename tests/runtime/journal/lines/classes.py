"""Classes as users write them, whose values are stored."""

from __future__ import annotations

import dataclasses
import enum
import json
from functools import cached_property
from typing import Any, Generic, NamedTuple, NewType, TypeVar

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    PostgresDsn,
    PrivateAttr,
    RootModel,
    computed_field,
    field_validator,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypeAliasType, TypedDict

from orchestrator import Error
from orchestrator.runtime.journal.lines.stored import decode, encode, loads

T = TypeVar("T")
MADE: list[str] = []
"""It has what user code has run."""


class Point(BaseModel):
    x: int = 0


class Place(BaseModel):
    x: int = 0


class Named(Point):
    name: str = ""


class Colour(enum.Enum):
    RED = "red"
    ROUGE = "red"


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    YES = "yes"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Doubling(BaseModel):
    """A validator that does not give the same twice, and other code that runs when it is built."""

    model_config = ConfigDict(validate_assignment=True)
    text: str
    _seen: list[str] = PrivateAttr(default_factory=list)

    @field_validator("text")
    @classmethod
    def _double(cls, value: str) -> str:
        MADE.append(value)
        return value + value

    def model_post_init(self, context: Any, /) -> None:
        MADE.append("built")
        self._seen.append("built")

    @computed_field
    @property
    def length(self) -> int:
        return len(self.text)

    @cached_property
    def half(self) -> str:
        return self.text[::2]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    given: int = Field(default=1, validation_alias=AliasChoices("a", "b"), serialization_alias="c")
    json_: tuple[int, ...] = Field(default=(), alias="json")


class Tree(BaseModel):
    value: Any = None
    children: list[Tree] = []


class Box(BaseModel, Generic[T]):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    held: T


class Numbers(RootModel[list[int]]):
    pass


class Linked(BaseModel):
    page: HttpUrl
    store: PostgresDsn


@dataclasses.dataclass
class Pair:
    both: tuple[int, int]
    more: list[Pair] = dataclasses.field(default_factory=list)
    fixed: int = dataclasses.field(default=3, init=False)

    def __post_init__(self) -> None:
        MADE.append("pair")


@dataclasses.dataclass(frozen=True, slots=True)
class Slim:
    x: float
    tags: frozenset[str] = frozenset()


@dataclasses.dataclass
class Crate(Generic[T]):
    held: T

    @cached_property
    def shown(self) -> str:
        return str(self.held)


@pydantic_dataclass
class Checked:
    x: int


class Row(NamedTuple):
    id: int
    name: str = ""


class Markup(str):
    """A text with an attribute."""

    safe: bool


class Bag(dict[str, int]):
    def __setitem__(self, key: str, value: int) -> None:
        MADE.append("set")
        super().__setitem__(key, value + 1)


class Options(TypedDict, total=False):
    depth: int
    name: str


Json = TypeAliasType("Json", "dict[str, Json] | list[Json] | Point | None")
Metres = NewType("Metres", float)
ERROR = Error("ORCH-R001", "no", "builtins.KeyError", ("builtins.LookupError",))


def again(tp: Any, value: Any) -> Any:
    text = encode(tp, value, None)
    assert "\n" not in text
    assert text.encode().decode() == text
    json.loads(text, parse_int=len, parse_constant=pytest.fail)
    return decode(tp, loads(text), None)


def made(cls: type, value: Any, **attributes: Any) -> Any:
    one = cls(value)
    vars(one).update(attributes)
    return one


def bag() -> Bag:
    one = Bag()
    dict.update(one, a=1, b=2)
    return one
