"""The grammar of types: what is read is written again, and anything else is refused."""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Never

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from orchestrator.dsl.types.typing import type_string
from orchestrator.ir.types import Type, TypeSyntaxError, class_of_literal, parse_type, union_of

T = typing.TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


class Envelope(BaseModel, Generic[T]):
    content: T


@pytest.mark.parametrize(
    ("tp", "names"),
    [
        (list[Path] | None, {"list", "Path", "None"}),
        (Literal["no]", "yes, 'sir'", 3, True, None, b"x"], set()),
        (Literal[Colour.RED, Colour.BLUE], {"Colour"}),
        (dict[str, tuple[int, ...]], {"dict", "str", "tuple", "int"}),
        (tuple[()], {"tuple"}),
        (tuple, {"tuple"}),
        (Annotated[list[int], Field(max_length=3), "a ] b"], {"list", "int"}),
        (Callable[[int, str], bool], {"Callable", "int", "str", "bool"}),
        (Callable[[], None], {"Callable", "None"}),
        (Callable[..., Any], {"Callable", "Any"}),
        (Envelope[list[Colour] | int], {"Envelope", "list", "Colour", "int"}),
        (typing.List, {"list"}),  # noqa: UP006 - users write it
        (Sequence[Never], {"Sequence", "Never"}),
    ],
)
def test_what_annotations_are_called_can_be_read(tp: object, names: set[str]) -> None:
    text = type_string(tp)
    assert str(parse_type(text)) == text
    assert set(parse_type(text).names()) == names


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "list[", "list[]", "list[a]]", "a |b", "a | ", "| a", "[a]", "a,", "a b]", " a", "Literal[x]",
        "Literal[1.5]", "Literal[]", "Annotated[int", "Literal['a", "list[a,b]", "a[b][c]", "list[" * 5000,
        "a[" * 200 + "b" + "]" * 200,
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(TypeSyntaxError):
        parse_type(text)


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from("ab[],| .'\"\\Literal()0-1éNone\n"), max_size=30))
def test_no_text_is_read_as_another(text: str) -> None:
    try:
        read = parse_type(text)
    except TypeSyntaxError:
        return
    assert parse_type(str(read)) == read


def test_unions_are_flat_and_in_order() -> None:
    parts = [parse_type(each) for each in ("None", "str | int", "int")]
    assert str(union_of(parts)) == type_string(None | str | int) == "int | str | None"
    assert union_of([]) == Type("Never")
    assert [class_of_literal(each) for each in ("'x'", "3", "True", "None", "Colour.RED")] == [
        "str", "int", "bool", "None", "Colour",
    ]  # fmt: skip
