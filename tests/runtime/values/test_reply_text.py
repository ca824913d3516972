"""The one JSON value in a reply, wherever models put it."""

from __future__ import annotations

import gc
import json
import pickle
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from orchestrator.runtime.failures import ReplyError
from orchestrator.runtime.values import at_run_time as values
from orchestrator.runtime.values import decimals
from orchestrator.runtime.values.at_run_time import from_json, parsed_reply, prompt_text
from orchestrator.runtime.values.reply_text import json_in

VALUE = '{"name": "Ada", "tags": ["a", "b"]}'
VALUES = st.recursive(
    st.integers() | st.booleans() | st.none() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
).filter(lambda value: isinstance(value, dict | list))


@pytest.mark.parametrize(
    "text",
    [
        VALUE,
        f"\ufeff{VALUE}",
        f"```json\n{VALUE}\n```",
        f"```\n{VALUE}\n```\n",
        f"```json\n{VALUE}",
        f"```json {VALUE}```",
        f"```json\n{VALUE}```",
        f"```JSON\n{VALUE}``` I hope this helps.",
        f"<think>\nIs it {{Ada}}? [yes]\n</think>\n\n{VALUE}",
        f"the template opened the block</think>{VALUE}",
        f"<think>hm</think>\n```json\n{VALUE}\n```\nI hope this helps.",
        f"Here is the person:\n\n```JSON\n{VALUE}\n```\n\nAnything else?",
        f"Here you are: {VALUE}",
        f"{VALUE}\n\nLet me know what else you need.",
        f"\ufeff\n```json\n\ufeff{VALUE}\n```",
    ],
)
def test_found(text: str) -> None:
    assert parsed_reply(dict[str, object], text) == json.loads(VALUE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I do not know.",
        f"{VALUE} or {VALUE}",
        f"```json\n{VALUE}\n```\nor\n```json\n{VALUE}\n```",
        '{"name": "Ad',
        "<think>only thoughts",
        f"<think>maybe {VALUE}",
        f"<reasoning>\n```json\n{VALUE}\n```",
        '{"n": ' + "9" * 5_000 + ", }",
        "[1, 2, {",
        "[" * 100_000,
    ],
)
def test_what_is_ambiguous_or_cut_is_no_value(text: str) -> None:
    with pytest.raises(ReplyError):
        parsed_reply(dict[str, object], text)


@pytest.mark.parametrize(("text", "value"), [("7", 7), ("```\n7\n```", 7), ("<think>6+1</think> 7", 7)])
def test_a_scalar(text: str, value: int) -> None:
    assert parsed_reply(int, text) == value


@pytest.mark.parametrize(
    "text", ['"yes"', "yes", " yes\n", "<think>no? yes!</think>\nyes", "\ufeffyes", '```json\n"yes"\n```']
)
def test_a_word_needs_no_quotation_marks(text: str) -> None:
    assert parsed_reply(Literal["yes", "no"], text) == "yes"


@pytest.mark.parametrize("text", ["yes, because", '{"answer": "yes"', "[yes]", "```\nyes", ""])
def test_but_it_must_be_the_word(text: str) -> None:
    with pytest.raises(ReplyError):
        parsed_reply(Literal["yes", "no"], text)


def test_free_text_is_left_alone() -> None:
    text = "\ufeff<think>no</think>```json\n{}\n```"
    assert parsed_reply(str, text) == text


@given(VALUES)
def test_fences_and_thoughts_change_no_value(value: object) -> None:
    plain = json.dumps(value)
    for text in (plain, f"```json\n{plain}\n```", f"<think>\nwell\n</think>\n{plain}", f"\ufeff{plain}\n"):
        found = json_in(text)
        assert found is not None
        assert json.loads(found) == value


def test_an_escaped_half_of_a_character_is_replaced() -> None:
    assert parsed_reply(dict[str, str], '```json\n{"a": "\\ud83d!", "b": "\\ud83d\\ude00", "c": "\\\\ud83d"}\n```') == {
        "a": "\ufffd!",
        "b": "\U0001f600",
        "c": "\\ud83d",
    }


class Price(BaseModel):
    usd: Decimal
    rate: float
    more: dict[str, Any] = {}


class Open(BaseModel, extra="allow"):
    usd: Decimal
    more: dict[str, Any] = {}
    pair: tuple[Any, ...] = ()


def test_beside_a_decimal_a_number_is_a_float_for_everybody() -> None:
    read = parsed_reply(Open, '{"usd": 1.10, "more": {"x": 1e2, "y": [{"z": 0.50}]}, "pair": [2e1], "w": 3.0e0}')
    others = [read.more["x"], read.more["y"][0]["z"], read.pair[0], read.w]
    assert (str(read.usd), list(map(str, others))) == ("1.10", ["100.0", "0.5", "20.0", "3.0"])
    assert all(type(each) is float for each in others)
    assert prompt_text(read.more["x"]) == f"{read.more['x']}" == prompt_text(pickle.loads(pickle.dumps(read.more["x"])))


def test_types_that_are_not_known_again_are_not_kept() -> None:
    kept = len(decimals._KNOWN)
    for number in range(50):
        assert from_json(Annotated[Decimal, {"unit": number}], "1.50") == Decimal("1.50")
    gc.collect()
    assert len(decimals._KNOWN) < kept + 5


def test_such_a_type_is_looked_at_once_for_each_value(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(
        values, "TypeAdapter", lambda *given, **named: made.append(given) or TypeAdapter(*given, **named)
    )
    assert str(from_json(Annotated[Decimal, {"unit": "m"}], "1.50")) == "1.50"
    assert len(made) == 1


class Strict(BaseModel, strict=True):
    usd: Decimal
    at: date


def test_a_decimal_has_the_digits_of_the_reply() -> None:
    read = parsed_reply(list[Price], '[{"usd": 1234567890123456.780, "rate": 0.50, "more": {"x": 1.50}}]')[0]
    assert (str(read.usd), repr(read.rate)) == ("1234567890123456.780", "0.5")
    assert type(pickle.loads(pickle.dumps(read.more))["x"]) is float
    assert parsed_reply(Strict, '{"usd": 0.5, "at": "2026-02-03"}') == Strict(usd=Decimal("0.5"), at=date(2026, 2, 3))
