"""Values as text in a prompt: Python's own text, and JSON for what has parts."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from orchestrator import tool, workflow
from orchestrator.runtime.values.at_run_time import prompt_text


class Colour(Enum):
    RED = "red"


class Named(StrEnum):
    RED = "red"


class Mixed(str, Enum):  # noqa: UP042 - what older code has
    RED = "red"


class Numbered(IntEnum):
    ONE = 1


class Rights(Flag):
    READ = 1
    WRITE = 2


class Row(BaseModel):
    name: str


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    "value",
    [
        "text", None, True, 3, 1.0, 1e22, float("nan"), b"raw", 1 + 2j, Decimal("1.50"), date(2026, 1, 2), time(1, 2),
        datetime(2026, 1, 2, 3, 4), datetime(2026, 1, 2, tzinfo=UTC), timedelta(seconds=5), UUID(int=1),
        PurePosixPath("a/b"), Colour.RED, Named.RED, Mixed.RED, Numbered.ONE, Rights.READ | Rights.WRITE,
    ],
)  # fmt: skip
def test_what_has_no_parts_is_written_as_an_f_string_writes_it(value: object) -> None:
    text = prompt_text(value)
    assert text == f"{value}"
    assert type(text) is str


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, "a"], '[1,"a"]'),
        ((1, None), "[1,null]"),
        ({1}, "[1]"),
        (frozenset(), "[]"),
        (deque([1]), "[1]"),
        ({"a": date(2026, 1, 2)}, '{"a":"2026-01-02"}'),
        (Row(name="x"), '{"name":"x"}'),
        (Point(1), '{"x":1}'),
        ([Point(1), Decimal("1.50")], '[{"x":1},"1.50"]'),
    ],
)
def test_what_has_parts_is_written_as_json(value: object, text: str) -> None:
    assert prompt_text(value) == text


@pytest.mark.parametrize("value", [Decimal("1.50"), date(2026, 1, 2), Colour.RED, UUID(int=1)])
def test_a_workflow_writes_it_as_python_does(value: Any) -> None:
    def get(of: str) -> Any:
        return value

    get.__annotations__["return"] = type(value)
    fetch = tool(get, effects="reads")

    @workflow
    def flow(q: str) -> tuple[str, str, str, bool]:
        got = fetch(q)
        text = f"{got}"
        return text, "%s" % got, "<{}>".format(got), text == str(got)  # noqa: UP031, UP032 - other ways to write it

    assert flow("q") == (f"{value}", f"{value}", f"<{value}>", True)
