"""The pure functions of texts are the methods of their names, for whatever arguments."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dsl.pure.texts import METHODS, cut

TEXTS = st.text(max_size=12) | st.text("ab \n,é", max_size=12)
BOUNDS = st.none() | st.integers(-5, 15)
NO_ARGUMENT = sorted(
    name for name in METHODS if name.startswith("is") or name in ("upper", "lower", "title", "casefold", "swapcase")
)


def outcome(function: Any, *args: Any) -> Any:
    """What a call gives, or the class of what it raises."""
    try:
        return function(*args)
    except Exception as error:  # noqa: BLE001 - whatever Python raises
        return type(error)


@pytest.mark.parametrize("name", NO_ARGUMENT)
@given(text=TEXTS)
def test_without_arguments(name: str, text: str) -> None:
    assert METHODS[name](text=text) == getattr(text, name)()


@pytest.mark.parametrize("name", ["find", "rfind", "index", "rindex", "count", "startswith", "endswith"])
@given(text=TEXTS, sub=TEXTS, start=BOUNDS, end=BOUNDS)
def test_seeking(name: str, text: str, sub: str, start: int | None, end: int | None) -> None:
    assert outcome(METHODS[name], text, sub, start, end) == outcome(getattr(text, name), sub, start, end)


@pytest.mark.parametrize("name", ["split", "rsplit"])
@given(text=TEXTS, sep=st.none() | TEXTS, most=st.integers(-2, 4))
def test_splitting(name: str, text: str, sep: str | None, most: int) -> None:
    assert outcome(METHODS[name], text, sep, most) == outcome(getattr(text, name), sep, most)


@pytest.mark.parametrize(
    "name", ["strip", "lstrip", "rstrip", "partition", "rpartition", "removeprefix", "removesuffix"]
)
@given(text=TEXTS, other=TEXTS)
def test_parting(name: str, text: str, other: str) -> None:
    assert outcome(METHODS[name], text, other) == outcome(getattr(text, name), other)


@given(text=TEXTS, old=TEXTS, new=TEXTS, most=st.integers(-1, 3))
def test_replacing(text: str, old: str, new: str, most: int) -> None:
    assert METHODS["replace"](text, old, new, most) == text.replace(old, new, most)


@pytest.mark.parametrize("name", ["center", "ljust", "rjust"])
@given(text=TEXTS, width=st.integers(-2, 20), fill=TEXTS)
def test_padding(name: str, text: str, width: int, fill: str) -> None:
    assert outcome(METHODS[name], text, width, fill) == outcome(getattr(text, name), width, fill)


@given(text=TEXTS, length=st.integers(0, 20), end=TEXTS)
def test_cutting(text: str, length: int, end: str) -> None:
    found = cut(text, length, end)
    assert len(found) <= length
    assert found == text if len(text) <= length else found.endswith(end[:length])
