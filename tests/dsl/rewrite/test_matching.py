"""Patterns over symbolic values take what they take in Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.dsl.rewrite.both import noting, same


@dataclass
class Point:
    x: int
    y: int


def _ok(text: str) -> bool:
    return len(text) % 2 == 0


def _words(text: str) -> list[str]:
    return text.split()


def _point(text: str) -> Point:
    return Point(len(text), 2)


def _pair(text: str) -> tuple[str, int]:
    return text, len(text)


def _open(text: str) -> Any:
    return {"": None, "a": 1, "no": True, "a b": [1, "two"]}.get(text, text)


ok, words, point, pair, anything = (noting(each, effects="pure") for each in (_ok, _words, _point, _pair, _open))


def several_at_once(text: str) -> str:
    match (text[:1], ok(text)):
        case ("a", True):
            return "even a"
        case ("a", _):
            return "a"
        case (first, True):
            return f"{first} even"
        case _:
            return "other"


def lists(text: str) -> str:
    match words(text):
        case []:
            return "none"
        case [one]:
            return f"one {one}"
        case ["a", *_, last]:
            return f"a to {last}"
        case [first, *rest]:
            return f"{first} and {len(rest)}"
        case _:
            return "other"


def classes(text: str) -> str:
    match anything(text):
        case bool():
            return "bool"
        case int(number):
            return f"int {number}"
        case str(found):
            return f"str {found}"
        case [first, _]:
            return f"two {first}"
        case None:
            return "none"
        case _:
            return "other"


def fields_in_order(text: str) -> str:
    match point(text):
        case Point(0, y):
            return f"zero {y}"
        case Point(x, y=2):
            return f"{x} two"
        case _:
            return "other"


def tuples(text: str) -> str:
    match pair(text):
        case ("a", count):
            return f"a{count}"
        case (_, 0):
            return "empty"
        case (found, count):
            return f"{found}{count}"
        case _:
            return "other"


@pytest.mark.parametrize("program", [several_at_once, lists, classes, fields_in_order, tuples])
def test_it_means_what_python_means(program: Any) -> None:
    for text in ["", "a", "no", "a b", "b a c", "a b c"]:
        same(program, text)
