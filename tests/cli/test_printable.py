"""Whatever a workflow returns becomes strict JSON."""

from __future__ import annotations

import enum
import json
import math
from collections import UserDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_serializer

from orchestrator.cli.printable import MAX_DEPTH, Printable


def printed(value: object) -> Any:
    """The value after a way through the strictest JSON there is."""
    text = json.dumps(Printable().of(value), allow_nan=False, ensure_ascii=False)
    return json.loads(text.encode())


class Colour(enum.Enum):
    RED = "red"


class Invoice(BaseModel):
    total: float = Field(alias="sumTotal")
    scan: bytes = b""


class Shouting(BaseModel):
    word: str

    @field_serializer("word")
    def louder(self, word: str) -> str:
        return word.upper()


@dataclass
class Pair:
    left: object
    right: object


class Plain:
    def __init__(self) -> None:
        self.found = {3, 1, 2}


class Slotted:
    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = {1}


class Table:
    def to_dict(self) -> dict[str, list[float]]:
        return {"a": [1.0, math.inf]}


class BadMapping(UserDict[str, int]):
    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no keys")

    def __repr__(self) -> str:
        return "bad"


class Mute:
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"a": math.nan, "b": [math.inf, -math.inf, 0.5]}, {"a": None, "b": [None, None, 0.5]}),
        (b"text", "text"),
        ([b"\xff\x00", bytearray(b"\xfe"), memoryview(b"ok")], ["/wA=", "/g==", "ok"]),
        ("\ud83d\ude00 \udc80", "😀 \ufffd"),
        ({"\udcff": 1}, {"\ufffd": 1}),
        ("caf\udcc3\udca9", "café"),
        ({"b", "a"}, ["a", "b"]),
        (frozenset({1, "a"}), [1, "a"]),
        ({2: "two", None: 0, True: 1, (1, 2): 3}, {"2": "two", "null": 0, "true": 1, "[1, 2]": 3}),
        ({1: "number", "1": "text"}, [[1, "number"], ["1", "text"]]),
        (Decimal("1.10"), "1.10"),
        (Decimal("NaN"), "NaN"),
        (date(2024, 2, 29), "2024-02-29"),
        (timedelta(hours=1), "PT1H"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (Path("/a/b"), "/a/b"),
        (Colour.RED, "red"),
        ({Colour.RED: Colour.RED}, {"red": "red"}),
        (Invoice(sumTotal=2), {"sumTotal": 2.0, "scan": ""}),
        (Invoice(sumTotal=math.nan, scan=b"\xff"), {"sumTotal": None, "scan": "/w=="}),
        ([Shouting(word="hi")], [{"word": "HI"}]),
        (Pair(1, b"\xff"), {"left": 1, "right": "/w=="}),
        (Plain(), {"found": [1, 2, 3]}),
        (Mute(), "<Mute without a text>"),
        (Slotted(), {"left": [1]}),
        ([Table()], [{"a": [1.0, None]}]),
        ({"x": BadMapping(a=1)}, {"x": "bad"}),
        (ValueError("no"), "no"),
        (np.array([[1.0, np.nan]]), [[1.0, None]]),
        (np.int64(4), 4),
        ((each for each in "ab"), ["a", "b"]),
    ],
)
def test_each_kind_has_a_form(value: object, shown: object) -> None:
    assert printed(value) == shown


@pytest.mark.parametrize("digits", [4_000, 4_300, 5_001, 40_000])
def test_a_number_too_long_for_readers_is_a_string_of_its_digits(digits: int) -> None:
    shown = printed({"n": 10 ** (digits - 1) + 7})["n"]
    assert isinstance(shown, str) == (digits > 4_214)
    if isinstance(shown, str):
        assert (len(shown), shown[0], shown[-1]) == (digits, "1", "7")


def test_what_holds_itself_is_cut_and_twins_are_not() -> None:
    ring: list[object] = [1]
    ring.append(ring)
    table: dict[str, object] = {}
    table["pair"] = Pair(table, ring)
    twin = [1]
    assert printed(ring) == [1, "[...]"]
    assert printed(table) == {"pair": {"left": "{...}", "right": [1, "[...]"]}}
    assert printed([twin, twin]) == [[1], [1]]


def test_any_depth_arrives_whole() -> None:
    deep: object = "bottom"
    for number in range(5_000):
        deep = [deep] if number % 2 else {"in": deep}
    shown = Printable()
    text = json.dumps(shown.of(deep))
    for _ in range(MAX_DEPTH):
        (text,) = json.loads(text).values() if text.startswith("{") else json.loads(text)
        text = text if isinstance(text, str) else json.dumps(text)
    assert text.count("[") + text.count("{") == 5_000 - MAX_DEPTH
    assert "bottom" in text
    assert any("deeper" in note for note in shown.notes)


def test_a_deep_cycle_ends() -> None:
    bottom: list[object] = []
    deep: list[object] = bottom
    for _ in range(500):
        deep = [deep]
    bottom.append(deep)
    assert "[...]" in json.dumps(printed(deep))


def test_what_was_changed_is_said_once_and_nothing_else_is() -> None:
    shown = Printable()
    shown.of([math.nan, math.inf, {"a": math.nan}, b"\xff"])
    assert len(shown.notes) == 2
    clean = Printable()
    clean.of({"a": [1, 2.5, "x", None, True, date(2024, 1, 1), b"text"]})
    assert clean.notes == ()


_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(codec=None)),
    st.binary(),
    st.decimals(),
    st.dates(),
    st.complex_numbers(),
    st.builds(Mute),
    st.builds(Plain),
)
_KEYS = st.one_of(
    st.text(), st.integers(), st.floats(), st.none(), st.booleans(), st.binary(), st.tuples(st.integers())
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(_KEYS, inner), st.tuples(inner, inner), st.builds(Pair, inner, inner)
    ),
)


@given(_VALUES)
def test_any_value_is_strict_json(value: object) -> None:
    printed(value)
