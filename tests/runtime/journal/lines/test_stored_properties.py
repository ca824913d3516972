"""A value of any type comes back as what it was; any data is read, or refused as no value."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from collections import OrderedDict, deque
from contextlib import suppress
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, PrivateAttr

from orchestrator.dsl.models.messages import Message, Reply, ToolCall
from orchestrator.errors import Error
from orchestrator.runtime.journal.lines.chats import Chats
from orchestrator.runtime.journal.lines.stored import decode, encode, loads, why_not
from orchestrator.runtime.journal.values.builtin import OWN, READS
from orchestrator.runtime.journal.values.tree import NotReadError
from orchestrator.runtime.values.at_run_time import Conversation

T = TypeVar("T")
U = TypeVar("U")


class Box(BaseModel, Generic[T]):
    held: T
    note: str = ""
    _seen: Any = PrivateAttr(default=None)


class BiggerBox(Box[Any]):
    model_config = ConfigDict(extra="allow")
    more: Any = None


@dataclasses.dataclass(frozen=True)
class Pair(Generic[T, U]):
    one: T
    other: U


@dataclasses.dataclass(slots=True)
class Slim:
    x: Any = None


class Row(NamedTuple):
    id: Any
    name: str = ""


class Colour(enum.Enum):
    RED = (1, 2)
    GREEN = "g"


class Level(enum.IntFlag):
    LOW = 1
    HIGH = 2


class Word(str):
    __slots__ = ()


ZONES = st.sampled_from(
    [None, datetime.UTC, ZoneInfo("Europe/Berlin"), datetime.timezone(datetime.timedelta(hours=-3))]
)
TEXTS = st.text(st.one_of(st.sampled_from('~:"\\\n\0é\ud83d\ude00😀\u2028'), st.characters(codec=None)), max_size=8)
Typed = tuple[Any, st.SearchStrategy[Any]]

HASHABLE: list[Typed] = [
    (type(None), st.none()),
    (bool, st.booleans()),
    (int, st.integers() | st.integers(-(2**80), 2**80)),
    (float, st.floats() | st.integers(0, 2)),
    (str, TEXTS),
    (bytes, st.binary(max_size=5)),
    (Decimal, st.decimals(allow_nan=False)),
    (complex, st.complex_numbers(allow_nan=False)),
    (datetime.date, st.dates()),
    (datetime.datetime, st.datetimes(timezones=ZONES)),
    (datetime.time, st.times()),
    (datetime.timedelta, st.timedeltas()),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from([Level(0), Level.LOW, Level.LOW | Level.HIGH])),
    (Word, TEXTS.map(Word)),
]


def containers(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    one = inner
    two = st.tuples(inner, inner)
    return st.one_of(
        one.map(lambda a: (list[a[0]], st.lists(a[1], max_size=3))),  # type: ignore[name-defined]
        one.map(lambda a: (tuple[a[0], ...], st.lists(a[1], max_size=3).map(tuple))),  # type: ignore[name-defined]
        two.map(lambda ab: (tuple[ab[0][0], ab[1][0]], st.tuples(ab[0][1], ab[1][1]))),  # type: ignore[name-defined,misc]
        two.map(lambda ab: (ab[0][0] | ab[1][0], ab[0][1] | ab[1][1])),
        one.map(lambda a: (Any, a[1])),
        one.map(lambda a: (dict[str, a[0]], st.dictionaries(TEXTS, a[1], max_size=3))),  # type: ignore[name-defined]
        one.map(lambda a: (deque[a[0]], st.lists(a[1], max_size=3).map(deque))),  # type: ignore[name-defined]
        one.map(lambda a: (Any, st.dictionaries(TEXTS, a[1], max_size=3).map(OrderedDict))),
        one.map(lambda a: (Box[Any], a[1].map(boxed))),
        one.map(lambda a: (Box[Any], a[1].map(lambda value: BiggerBox(held=1, more=value, other=(value,))))),
        two.map(lambda ab: (Pair[ab[0][0], ab[1][0]], st.builds(Pair, ab[0][1], ab[1][1]))),  # type: ignore[name-defined,misc]
        one.map(lambda a: (Slim, st.builds(Slim, a[1]))),
        one.map(lambda a: (Row, st.builds(Row, a[1], TEXTS))),
    )


def boxed(value: Any) -> Box[Any]:
    made = Box[Any](held=value)
    made._seen = [value]
    return made


KEYS = st.sampled_from(HASHABLE)
SETS = KEYS.flatmap(
    lambda a: st.sampled_from([
        (set[a[0]], st.sets(a[1], max_size=3)),  # type: ignore[name-defined]
        (set[Any], st.sets(st.frozensets(a[1], max_size=2), max_size=2)),
        (dict[a[0], Any], st.dictionaries(a[1], st.integers(), max_size=3)),  # type: ignore[name-defined]
    ])
)  # fmt: skip
TYPED = st.recursive(KEYS | SETS, containers, max_leaves=6)


def alike(one: Any, other: Any) -> bool:
    """Whether two values are equal, and of the same classes all the way down; what is no number equals itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (float, complex)):
        return repr(one) == repr(other)
    if isinstance(one, datetime.datetime):
        return (one, one.fold, repr(one.tzinfo)) == (other, other.fold, repr(other.tzinfo))
    if isinstance(one, (list, tuple, deque)):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, (set, frozenset)):
        return one == other and all(any(alike(each, found) for found in other) for each in one)
    if isinstance(one, dict):
        return alike(list(one.items()), list(other.items()))
    if isinstance(one, BaseModel):
        sides = [[m.__dict__, m.__pydantic_extra__, m.__pydantic_private__, m.model_fields_set] for m in (one, other)]
        return alike(*sides)
    if dataclasses.is_dataclass(one):
        return all(
            alike(getattr(one, each.name), getattr(other, each.name))
            for each in dataclasses.fields(one)
            if each.compare
        )
    return bool(one == other)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_value_of_any_type_comes_back_as_what_it_was(data: st.DataObject) -> None:
    tp, values = data.draw(TYPED)
    value = data.draw(values)
    assert why_not(tp) is None
    text = encode(tp, value, None)
    assert text.encode().decode() == text
    assert "\n" not in text
    json.loads(text, parse_constant=lambda name: 1 / 0)
    assert alike(decode(tp, loads(text), None), value)
    assert alike(decode(tp, json.loads(text), None), value)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | TEXTS | st.just("RED"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        TEXTS | st.sampled_from([*READS, *OWN.values(), "~:Box", "~:Row", "~:Colour", "~os:system", "held", "note"]),
        inner, max_size=3,
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(JSON)
def test_any_data_is_read_or_refused(data: Any) -> None:
    for tp in (Box[Any], Row | Colour):
        with suppress(NotReadError):
            decode(tp, data, Chats())


MESSAGES = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant", "tool"]),
    TEXTS | st.just("a long reply " * 30),
    calls=st.lists(st.builds(ToolCall, TEXTS, TEXTS | st.just("x" * 70)), max_size=2).map(tuple),
)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.lists(MESSAGES, min_size=1, max_size=3)), max_size=8), st.integers(0, 9)
)
def test_conversations_that_fork_come_back_from_what_was_written_of_them(
    forks: list[tuple[int, list[Message]]], cut: int
) -> None:
    chats, stored, talks = Chats(), Chats(), [Conversation((), "m")]
    written: list[str] = []
    for number, (at, more) in enumerate(forks):
        *prompt, reply = more
        talks.append(talks[at % len(talks)].then(tuple(prompt), reply, "s", "e"))
        value = [talks[-1], reply.content, Reply(reply.content, list(reply.calls)), Error("c", reply.content, "k")]
        text = encode(list[Any], value, chats)
        written += chats.take_fresh()
        if number == cut:  # another process goes on
            chats = Chats()
            for each in written:
                chats.add(loads(each))
            talks = [decode(Conversation, loads(encode(Conversation, each, chats)), chats) for each in talks]
        while stored._last < len(written):
            stored.add(loads(written[stored._last]))
        assert alike(decode(list[Any], loads(text), stored), value)
    assert len({each.split(",")[0] for each in written}) == len(written)
