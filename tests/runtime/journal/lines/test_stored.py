"""Values come back as what they were, of the same classes all the way down."""

from __future__ import annotations

import datetime
import ipaddress
import pathlib
import re
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    Field,
    TypeAdapter,
)

from orchestrator import Chat, Error
from orchestrator.dsl.logprobs import Logprobs, Scored, TokenLogprob
from orchestrator.dsl.models.messages import Message, Reply, ToolCall
from orchestrator.dsl.models.parts import Part
from orchestrator.runtime.journal.lines.chats import Chats
from orchestrator.runtime.journal.lines.stored import decode, encode, loads, why_not
from orchestrator.runtime.journal.values.tree import NotKeptError
from orchestrator.runtime.values.at_run_time import Conversation
from tests.runtime.journal.lines.classes import (
    ERROR,
    MADE,
    Box,
    Checked,
    Colour,
    Crate,
    Doubling,
    Json,
    Level,
    Linked,
    Markup,
    Metres,
    Named,
    Numbers,
    Open,
    Options,
    Pair,
    Place,
    Point,
    Right,
    Row,
    Slim,
    Tree,
    Word,
    again,
    bag,
    made,
)

VALUES: list[tuple[Any, Any]] = [
    (dict[str, Any] | Error, ERROR),
    (dict[str, Any] | Error, {"code": "c", "message": "m", "kind": "k", "bases": []}),
    (list[dict[str, str] | Error], [{"a": "b"}, ERROR]),
    (Point | Place, Place(x=1)),
    (Point | Place, Point(x=1)),
    (Point | Named, Named(x=1, name="n")),
    (Point, Named(x=1)),
    (list[Point], [Point(), Named(x=1, name="n")]),
    (Any, Named(x=1, name="n")),
    (str | datetime.date, datetime.date(2024, 2, 3)),
    (datetime.date | str, "2024-02-03"),
    (Colour | str, Colour.RED),
    (Colour | str, "red"),
    (Any, [Level.LOW, Word.YES, Right.READ | Right.WRITE, Right(0)]),
    (dict[Colour, int], {Colour.RED: 1}),
    (list[int] | list[str], ["1"]),
    (tuple[Point | Place, dict[str, Point | Error]], (Place(x=1), {"a": ERROR, "b": Point(x=2)})),
    (Point | None, None),
    (int | str | None, "3"),
    (int | float, 3.0),
    (float, 1),
    (int | bool, True),
    (Literal["a", 1, True], True),
    (Annotated[int, Field(ge=0)], 3),
    (Metres, 2.5),
    (Any, [0.0, -0.0, 1e300, 5e-324, float("inf"), float("-inf"), 2**64, -(2**200)]),
    (str, "caf\udce9.txt"),
    (str, "\ud83d\ude00"),
    (dict[str, str], {"\udce9": "\ud800", "NaN": "Infinity", "": "\0\n\r\u2028"}),
    (bytes | str, b"\xff\0abc"),
    (Any, [bytearray(b"abc"), complex(-0.0, float("inf")), range(1, 9, 2)]),
    (dict, {1: 2, "1": 3, None: 4, (1, 2): 5, 1.5: 6}),
    (dict, {"~tuple": [1]}),
    (dict, {"~tuple": [1], "b": 2}),
    (list, ["~tuple", [1]]),
    (Any, [[], {}, (), set(), frozenset(), "", b"", [[]], {"": {}}]),
    (set[frozenset[int]], {frozenset({1}), frozenset()}),
    (list, [(1, [2, (3,)])]),
    (Options, {"depth": 1}),
    (Any, [deque([1, (2,)], maxlen=3), deque(), OrderedDict(b=1, a=2), Counter("abca"), defaultdict(list, a=[1])]),
    (Any, defaultdict(None, a=1)),
    (datetime.datetime, datetime.datetime(2024, 1, 2, 3, 4, 5, 6)),
    (datetime.datetime, datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)),
    (datetime.datetime, datetime.datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)),
    (datetime.datetime, datetime.datetime(1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(seconds=-5), "odd"))),
    (datetime.datetime, TypeAdapter(datetime.datetime).validate_python("2024-01-01T00:00:00+02:00")),
    (datetime.time, datetime.time(1, 2, 3, 4, tzinfo=datetime.UTC)),
    (datetime.timedelta, datetime.timedelta(days=-1, microseconds=3)),
    (Decimal, Decimal("-0.10")),
    (Any, [Decimal("Infinity"), Decimal("1E+9"), Fraction(1, 3), uuid.UUID(int=5)]),
    (pathlib.Path, pathlib.Path("a/caf\udce9")),
    (Any, [pathlib.PurePosixPath("/"), pathlib.PureWindowsPath("c:\\x")]),
    (Any, [ipaddress.ip_address("::1"), ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_interface("10.0.0.1/8")]),
    (Any, [re.compile("a+", re.IGNORECASE), re.compile(b"\xff", re.DOTALL)]),
    (Linked, Linked(page="https://a.example/ü?q#f", store="postgres://u:p@h1,h2/db")),
    (Tree, Tree(value=(1,), children=[Tree(children=[Tree(value={"a": b"b"})])])),
    (Box[int], Box[int](held=1)),
    (Box[list[tuple[int, str]]], Box[list[tuple[int, str]]](held=[(1, "a")])),
    (Numbers, Numbers([1, 2])),
    (Open, Open(a=2, json=(1,), more=(3,), **{"~odd": 1})),
    (Pair, Pair((1, 2), [Pair((3, 4))])),
    (Slim, Slim(1, frozenset({"a"}))),
    (Crate[int], Crate[int](1)),
    (Any, Checked(1)),
    (Row, Row(1, "a")),
    (Json, {"a": [Point(x=1), None]}),
    (Any, [np.float64(1.5), np.int8(-1), np.str_("é"), np.str_(""), np.datetime64("2024-01-01", "ns"), np.bool(True)]),
    (Any, [Row(1)]),
    (Any, made(Markup, "<b>", safe=True)),
    (Any, bag()),
    (list[Message], [Message("user", "hi", (Part("text", "hi"), Part("image", path="a.png")))]),
    (Message, Message("assistant", "", calls=(ToolCall("f", "{}", "1"),))),
    (Reply, Reply("text", [ToolCall("f")], "problem", False)),
    (Scored[str], Scored("a", Logprobs([TokenLogprob("a", -9999.0, {"b": -1.0})], -1.0))),
]  # fmt: skip


@pytest.mark.parametrize(("tp", "value"), VALUES, ids=lambda each: repr(each)[:60])
def test_a_value_comes_back_as_what_it_was(tp: Any, value: Any) -> None:
    assert why_not(tp) is None
    found = again(tp, value)
    assert type(found) is type(value)
    assert found == value
    assert repr(found) == repr(value)


def test_what_is_no_number_comes_back_as_that() -> None:
    found = again(list[float], [float("nan"), 1.0])
    assert found[0] != found[0]
    assert found[1] == 1.0


def test_an_int_may_have_more_digits_than_python_reads() -> None:
    value = [10**5000 + 7, -(10**4300), 10**4299]
    assert again(Any, value) == value
    assert again(Any, [*value, float("inf")]) == [*value, float("inf")]


def test_nothing_of_the_users_runs_to_write_or_to_read_a_value() -> None:
    value = Doubling(text="ab")
    value._seen.append("more")
    assert value.half == "aa"
    pair, many = Pair((1, 2)), bag()
    MADE.clear()
    found = again(Any, [value, pair, many])
    assert MADE == []
    assert found == [value, pair, many]
    assert found[0].text == "abab"
    assert found[0]._seen == ["built", "more"]
    assert "half" not in vars(found[0])


def test_it_is_known_again_which_fields_were_set() -> None:
    assert again(Named, Named(x=1)).model_fields_set == {"x"}
    assert again(Named, Named(x=1, name="")).model_fields_set == {"x", "name"}
    assert again(Open, Open(a=1, more=2)).model_fields_set == Open(a=1, more=2).model_fields_set


def test_attributes_beside_the_fields_stay() -> None:
    value = Pair((1, 2))
    vars(value)["index"] = {1: "a"}
    assert vars(again(Pair, value)) == vars(value)
    assert again(Any, made(Markup, "a", safe=True)).safe
    held = Crate[int](1)
    assert held.shown == "1"
    assert vars(again(Crate[int], held)) == {"held": 1}


def test_a_value_shares_nothing_with_the_data_that_it_was_read_from() -> None:
    data = loads(encode(Any, [[1], {"a": 1}], None))
    found = decode(Any, data, None)
    found[0].append(2)
    found[1]["b"] = 2
    assert data == [[1], {"a": 1}]


def test_a_value_is_written_at_once() -> None:
    value = [3, 1, 2]
    text = encode(list[int], value, None)
    value.clear()
    assert decode(list[int], loads(text), None) == [3, 1, 2]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3)),
        np.arange(6, dtype=">i2").reshape(2, 3).T,
        np.arange(10)[::2],
        np.array(5.0),
        np.array(["ab", "é"]),
        np.array([float("nan"), -0.0], dtype=np.float16),
        np.array(["2024-01-01"], dtype="M8[D]"),
    ],
    ids=str,
)
def test_an_array_comes_back_with_its_dtype_shape_and_order(array: Any) -> None:
    assert why_not(np.ndarray) is why_not(NDArray[np.float64]) is None
    found = again(Any, {"array": array})["array"]
    assert (type(found), found.dtype, found.shape) == (type(array), array.dtype, array.shape)
    assert found.tobytes("A") == array.tobytes("A")
    assert found.flags.fnc == array.flags.fnc
    found.flags.writeable = True


@pytest.mark.parametrize(
    "array", [np.array([{}]), np.zeros(2, dtype="i4,f8"), np.ma.masked_array([1], [True])], ids=str
)
def test_an_array_of_objects_or_records_is_refused(array: Any) -> None:
    with pytest.raises(NotKeptError):
        encode(Any, array, None)


def test_what_json_tells_is_written_as_it_is() -> None:
    assert encode(Any, {"a": [1, 2.5, None, True, "é"]}, None) == '{"a":[1,2.5,null,true,"é"]}'
    assert encode(Point | None, Point(x=3), None) == '{"~:Point":{"x":3}}'


def local() -> Any:
    class Local(BaseModel):
        x: int

    return Local


def test_a_class_in_the_declared_type_needs_no_place_where_it_can_be_found() -> None:
    cls = local()
    assert again(list[cls], [cls(x=1)]) == [cls(x=1)]
    with pytest.raises(NotKeptError, match="define it at the top of a module"):
        encode(Any, cls(x=1), None)


def test_classes_of_one_name_are_told_apart() -> None:
    first, second = local(), local()
    with pytest.raises(NotKeptError, match="cannot be found by that name"):
        encode(first | second, first(x=1), None)
    twin = type("Point", (Point,), {"__qualname__": "Point"})
    assert encode(Point | twin, Point(x=1), None) == '{"~tests.runtime.journal.lines.classes:Point":{"x":1}}'


@pytest.mark.parametrize("tp", [Chat | None, list[Chat | None], dict[str, Chat], tuple[int, Chat]])
def test_a_conversation_comes_back_wherever_it_is(tp: Any) -> None:
    talk = Conversation((Message("user", "hello"),), "m", "session")
    chats = Chats()
    for value in (talk, [talk, None], {"a": talk}, (1, talk)):
        assert decode(tp, loads(encode(tp, value, chats)), chats) == value
