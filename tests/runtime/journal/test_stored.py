"""Values come back as what they were, also where they may be one of several things."""

from __future__ import annotations

import json
from datetime import date
from enum import Enum
from typing import Any, Literal, get_origin

import pytest
from pydantic import BaseModel

from orchestrator import Chat, Error
from orchestrator.dsl.models.messages import Message
from orchestrator.runtime.journal.stored import dump, load
from orchestrator.runtime.values import Conversation, at_run_time


class Point(BaseModel):
    x: int = 0


class Place(BaseModel):
    x: int = 0


class Named(Point):
    name: str = ""


class Colour(Enum):
    RED = "red"


ERROR = Error("ORCH-R001", "no", "builtins.KeyError", ("builtins.LookupError",))


@pytest.mark.parametrize(
    ("tp", "value"),
    [
        (dict[str, Any] | Error, ERROR),
        (dict[str, Any] | Error, {"code": "c", "message": "m", "kind": "k", "bases": []}),
        (list[dict[str, str] | Error], [{"a": "b"}, ERROR]),
        (Point | Place, Place(x=1)),
        (Point | Place, Point(x=1)),
        (Point | Named, Named(x=1, name="n")),
        (str | date, date(2024, 2, 3)),
        (str | date, "2024-02-03"),
        (Colour | str, Colour.RED),
        (Colour | str, "red"),
        (list[int] | list[str], ["1"]),
        (tuple[Point | Place, dict[str, Point | Error]], (Place(x=1), {"a": ERROR, "b": Point(x=2)})),
        (Point | None, None),
        (Point | None, Point(x=3)),
        (int | str | None, "3"),
        (int | float, 3.0),
        (Literal["a", "b"] | int, "a"),
        (Error | Any, ERROR),
    ],
)
def test_a_value_comes_back_as_what_it_was(tp: Any, value: Any) -> None:
    again = load(tp, json.loads(json.dumps(dump(tp, value))))
    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize("tp", [Chat | None, list[Chat | None], dict[str, Chat], tuple[int, Chat]])
def test_a_conversation_comes_back_wherever_it_is(tp: Any) -> None:
    talk = Conversation((Message("user", "hello"),), "m", "session")
    value: Any = {None: talk, list: [talk, None], dict: {"a": talk}, tuple: (1, talk)}[
        get_origin(tp) if get_origin(tp) in (list, dict, tuple) else None
    ]
    concrete = at_run_time(tp)
    assert load(concrete, json.loads(json.dumps(dump(concrete, value)))) == value


def test_what_may_be_one_thing_or_none_is_written_as_it_is() -> None:
    assert dump(Point | None, Point(x=3)) == {"x": 3}
    assert dump(int | str, "3") == "3"
    assert dump(Point | Place, Place(x=3)) == ["Place", {"x": 3}]
