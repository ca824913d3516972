"""Digests of values: the same for equal ones in any process, and no error for any."""

from __future__ import annotations

import marshal
import subprocess
import sys
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from hashlib import blake2b
from math import inf, nan
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretBytes, SecretStr

from orchestrator.dsl.models.messages import Message
from orchestrator.runtime.journal.lines.secrets import named
from orchestrator.runtime.journal.value_digest import DEEPEST, PLAIN_DEPTH, PLAIN_PARTS, value_digest
from orchestrator.runtime.values.at_run_time import Conversation


class Colour(Enum):
    RED = 1
    BLUE = 2


class Card(BaseModel):
    number: str = Field(repr=False)
    note: str = Field("", exclude=True)
    tags: set[str] = set()


@dataclass
class Point:
    x: object
    y: object = 0


class Ordinary:
    def __init__(self, **own: object) -> None:
        self.__dict__.update(own)


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: object) -> None:
        self.a = a


class Unwilling:
    def __reduce_ex__(self, protocol: object) -> Any:
        raise ValueError("no")


def made() -> list[object]:
    return [
        None, True, 1, 1.0, 10**5000, "1", b"1", "", [], (), {}, set(), frozenset(), [1], (1,), [[1]], [1, "1"],
        ["1", 1], {1: 2}, {2: 1}, {"a": {"b", "c"}}, {"abc", "def", "ghi"}, {b"\xff", "\ud800"}, inf, -inf, nan,
        1j, bytearray(b"1"), Decimal("1"), Decimal("1.0"), date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC),
        UUID(int=1), Path("a/b"), range(3), Colour.RED, Colour.BLUE, Card(number="1"), Card(number="2"),
        Card(number="1", note="n"), Card(number="1", tags={"x", "y"}), Point(1), Point(2), Point({"p", "q",
        "r"}), Ordinary(), Ordinary(a=1), Ordinary(a=[Ordinary(b=2)]), Slotted(1), Slotted(2), deque([1]),
        deque([2]), OrderedDict(a=1), OrderedDict(a=2), np.arange(3), np.arange(4), np.float32(1), int, str,
        len, Conversation(model="a"), Conversation(model="b"),
    ]  # fmt: skip


def digests() -> list[str]:
    return [value_digest(value) for value in made()]


def test_values_that_differ_have_other_digests() -> None:
    assert len(set(digests())) == len(digests()) > 50


@pytest.mark.parametrize("seed", ["1", "2"])
def test_they_are_the_same_in_another_process(seed: str) -> None:
    script = f"from {__name__} import digests; print(*digests())"
    environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))}
    printed = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert printed.stdout.split() == digests()


def test_they_say_nothing_of_how_a_value_came_about() -> None:
    shared = ["a"]
    assert value_digest([shared, shared]) == value_digest([["a"], ["a"]])
    assert value_digest({"a": 1, "b": 2}) == value_digest({"b": 2, "a": 1})
    assert value_digest(Card(number="1")) == value_digest(Card(number="1", note="", tags=set()))
    used = Path("a/b")
    assert (str(used), hash(used)) and value_digest(used) == value_digest(Path("a/b"))
    here, there = Conversation(session="run/x"), Conversation(session="run/x#2")
    assert value_digest([here]) == value_digest([there])


def test_they_say_nothing_of_a_secret() -> None:
    assert value_digest(SecretStr("a")) == value_digest(SecretStr("b")) == value_digest(named(SecretStr("b"), "key"))
    assert value_digest([SecretBytes(b"a"), 1]) == value_digest([SecretBytes(b"b"), 1])
    assert value_digest([SecretStr("a"), 1]) != value_digest([SecretStr("a"), 2])


def test_nothing_raises() -> None:
    around: list[object] = []
    around.append({"itself": around})
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    for value in (Unwilling(), threading.Lock(), sys, (each for each in ()), lambda: 1, object(), around):
        assert value_digest(value) == value_digest(value) != value_digest([value])
    assert value_digest(deep) == value_digest(deep)
    assert value_digest(Unwilling()) == value_digest(Unwilling()) != value_digest(object())


def test_plain_data_is_digested_as_one_unless_it_is_deep_or_large() -> None:
    """What decides which way is taken is what a value is made of, and not how."""
    for size in (PLAIN_PARTS - 1, PLAIN_PARTS, PLAIN_PARTS + 1):
        shared = {"b": 1, "a": 2}
        assert value_digest([shared] * size) == value_digest([{"a": 2, "b": 1} for _ in range(size)])
        assert value_digest([{"a": [each]} for each in range(size)]) != value_digest([{"a": [0]}] * size)
    deep: object = {"z": 1, "a": [2]}
    seen = {value_digest(deep)}
    for _ in range(2 * PLAIN_DEPTH):
        deep = {"z": deep, "a": 0}
        seen.add(value_digest(deep))
        assert value_digest(_anew(deep)) == value_digest(deep)
    assert len(seen) == 1 + 2 * PLAIN_DEPTH
    assert len({value_digest(each) for each in ([{}], ({},), [()], [[]], {"a": {}}, {"a": ()}, {"a": None})}) == 7


def test_what_is_counted_of_a_long_list_is_what_is_nested_in_it() -> None:
    """Logs that were written have such digests."""
    long = [*range(2 * PLAIN_PARTS), {"a": 1}]
    assert value_digest(long) == blake2b(b"plain" + marshal.dumps(long, 2), digest_size=16).hexdigest()


def test_shared_parts_are_visited_once() -> None:
    wide: object = ["a", ["b"]]
    for _ in range(DEEPEST - 10):
        wide = [wide, wide]
    assert value_digest(wide) != value_digest([wide])


@given(
    st.recursive(
        st.none() | st.text() | st.integers() | st.floats(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_copies_have_the_digest_of_what_they_are_of(value: Any) -> None:
    assert value_digest(_anew(value)) == value_digest(value)


def _anew(value: Any) -> Any:
    if isinstance(value, list):
        return [_anew(each) for each in value]
    if isinstance(value, dict):
        return {_anew(key): _anew(each) for key, each in reversed(value.items())}
    return value.encode(errors="surrogatepass").decode(errors="surrogatepass") if isinstance(value, str) else value


def test_a_conversation_has_the_same_digest_however_it_came_about() -> None:
    one, two, reply = Message("user", "one"), Message("user", "two"), Message("assistant", "yes")
    grown = Conversation((one,))
    value_digest(grown)
    grown = grown.then((two,), reply, "s", None)
    assert value_digest(grown) == value_digest(Conversation((one, two, reply)))
    assert value_digest(grown) != value_digest(Conversation((two, one, reply)))
    assert value_digest(grown) != value_digest(Conversation((one, two)))
