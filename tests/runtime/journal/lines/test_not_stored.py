"""What does not come back as what it was is refused: when it is written or read, or when a type is declared."""

from __future__ import annotations

import dataclasses
import datetime
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
)

from orchestrator import Chat
from orchestrator.runtime.journal.lines.stored import decode, encode, loads, why_not
from orchestrator.runtime.journal.values.tree import DEEPEST, NotKeptError, NotReadError
from orchestrator.runtime.values.at_run_time import Conversation
from tests.runtime.journal.lines.classes import Box, Crate, Json, Pair, Point, Row, Slim, T, Tree, again


class Key(SecretStr):
    """A secret of the user's own class."""


class Connection:
    pass


class Zone(datetime.tzinfo):
    pass


@pytest.mark.parametrize(
    "value",
    [
        Connection(),
        threading.Lock(),
        iter([1]),
        lambda: 1,
        int,
        Connection,
        Key("s"),
        object(),
        ValueError("no"),
        sys,
        datetime.datetime(2024, 1, 1, tzinfo=Zone()),
        defaultdict(lambda: 1),
        memoryview(b""),
        Conversation(),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_cannot_be_written_is_refused(value: Any) -> None:
    with pytest.raises(NotKeptError):
        encode(Any, [{"a": (value,)}], None)


def test_a_value_that_holds_itself_is_refused() -> None:
    for value in ([], {}):
        value.append(value) if isinstance(value, list) else value.update(a=value)
        with pytest.raises(NotKeptError, match="holds itself"):
            encode(Any, value, None)
    tree = Tree()
    tree.children.append(tree)
    with pytest.raises(NotKeptError, match="holds itself"):
        encode(Tree, tree, None)


def test_what_may_be_written_can_be_read_however_deep_it_is() -> None:
    tree = Tree(value=float("nan"))
    for _ in range(DEEPEST // 2 - 1):
        tree = Tree(value=(tree,))
    text = encode(Tree, tree, None)
    assert encode(Tree, decode(Tree, loads(text), None), None) == text
    with pytest.raises(NotKeptError, match="nested"):
        encode(Tree, Tree(value=(Tree(value=[tree]),)), None)


@pytest.mark.parametrize(
    "data",
    [
        {"~nothing": 1},
        {"~:Elsewhere": {}},
        {"~os:system": ["true"]},
        {"~os.path:join": {}},
        {"~subprocess:Popen": {"args": "true"}},
        {"~threading:Thread": [[]]},
        {"~not_imported_by_anything:Thing": {}},
        {"~:Point": 3},
        {"~:Point": {"x": 1, "gone": 2}},
        {"~:Point": [[], [], None, None]},
        {"~tests.runtime.journal.lines.classes:Colour": "BLUE"},
        {"~tests.runtime.journal.lines.classes:Row": []},
        {"~chat": [1, None, None, None, False]},
        {"~said": 3},
        {"~decimal": "x"},
        {"~date": 5},
        {"~path": ["os", "x"]},
        {"~text": "zz"},
        {"~dict": [[1], 2]},
        {"~dict": [1]},
        {"~defaultdict": ["eval", []]},
        {"~set": [[1]]},
        {"~bytes": "?"},
        {"~array": ["O", [1], "C", "AAAAAAAAAAA="]},
        {"~array": ["<f8", [9], "C", "AAAAAAAAAAA="]},
    ],
    ids=str,
)
def test_data_that_is_no_value_is_refused_and_imports_nothing(data: Any) -> None:
    before = set(sys.modules)
    with pytest.raises(NotReadError):
        decode(Point, [data], None)
    assert set(sys.modules) == before


def test_data_of_any_depth_and_size_is_refused_in_few_words() -> None:
    deep: Any = {"~:Point": {"x": 10**5000, "gone": "g" * 10_000}}
    for _ in range(20_000):
        deep = [deep]
    for data in (deep, {"~:Point": [10**5000] * 9}):
        with pytest.raises(NotReadError) as caught:
            decode(Point, data, None)
        assert len(str(caught.value)) < 300
    while isinstance(deep, list):  # Python frees it without recursion then
        deep = deep.pop()


def test_a_class_that_has_changed_gets_defaults_or_says_what_is_missing() -> None:
    class Point(BaseModel):
        x: int
        y: list[int] = Field(default_factory=list)

    found = decode(Point, {"~:Point": {"x": 1}}, None)
    assert (found, found.model_fields_set) == (Point(x=1), {"x"})
    with pytest.raises(NotReadError, match="had no `x` when it was stored"):
        decode(Point, {"~:Point": {"y": []}}, None)
    with pytest.raises(NotReadError, match="had no `id` when it was stored"):
        decode(Row, {"~:Row": {"name": "a"}}, None)

    class Later(BaseModel):
        x: int
        y: int = Field(default_factory=lambda given: given["x"] + 1)
        _known: int = PrivateAttr(default=5)
        _unset: int = PrivateAttr()

    late = decode(Later, {"~:Later": [{"x": 1}, ["x"], None, {}]}, None)
    assert (late, late.__pydantic_private__) == (Later(x=1), {"_known": 5})
    late._known = 6
    assert again(Later, late)._known == 6
    with pytest.raises(NotReadError, match="had no `id` when it was stored"):
        decode(Row, {"~:Row": {"name": "a"}}, None)
    assert decode(Row, {"~:Row": {"id": 1}}, None) == Row(1, "")
    assert decode(Row, {"~:Row": {"name": "a", "id": 1}}, None) == Row(1, "a")
    assert decode(Pair, {"~:Pair": {"both": 1}}, None) == Pair(1)  # type: ignore[arg-type]
    assert decode(Slim, {"~:Slim": {"x": 1}}, None) == Slim(1)
    with pytest.raises(NotReadError, match="had `z` when it was stored"):
        decode(Point, {"~:Point": {"x": 1, "z": 1}}, None)


class Locked(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    lock: threading.Event


class Hidden(BaseModel):
    _lock: threading.Event = PrivateAttr()


@dataclasses.dataclass
class Job:
    steps: list[Callable[[], int]]


@dataclasses.dataclass
class Fails(Exception):
    x: int


class Slotted(BaseModel):
    __slots__ = ("beside",)


class Lazy(BaseModel):
    items: Iterable[int]


class Login(BaseModel):
    password: Key | None


@pytest.mark.parametrize(
    ("tp", "why"),
    [
        (
            Connection,
            "test_not_stored.Connection`, of which nobody knows what is in it",
        ),
        (threading.Event, "it is a `threading.Event`"),
        (list[dict[str, Connection | None]], "Connection"),
        (Annotated[Connection, "x"], "Connection"),
        (Locked, "`Locked.lock` is a `threading.Event`"),
        (Hidden, "`Hidden._lock` is a `threading.Event`"),
        (Job, "`Job.steps` is a function"),
        (Fails, "Fails"),
        (Slotted, "Slotted"),
        (Lazy, "`Lazy.items` is an iterator"),
        (Login, "`Login.password` is a `Key`, and of secrets only pydantic's own classes have a name"),
        (type[int], "it is a class"),
        (tuple[int, type], "it is a class"),
        (Callable[[int], str], "it is a function"),
        (Box[Connection], "`Box[Connection].held` is a"),
        (Crate[Connection], "Connection"),
    ],
    ids=str,
)
def test_a_type_says_what_of_it_cannot_be_written(tp: Any, why: str) -> None:
    assert why in str(why_not(tp))


@pytest.mark.parametrize("tp", [Any, object, Iterator[int], Chat, list[Chat | None], T, "Undefined", Tree, dict, Json])
def test_a_type_that_allows_anything_is_left_to_the_values(tp: Any) -> None:
    assert why_not(tp) is None
