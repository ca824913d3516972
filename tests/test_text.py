"""``orchestrator.text``: Python's own on texts that are known, ops on others."""

from __future__ import annotations

from typing import Any

import pytest

import orchestrator
from orchestrator import llm, text, workflow
from orchestrator.testing import fake
from tests.dsl.operations.parity import run

DOC = " Ab c\nd "
CASES: list[tuple[str, tuple[Any, ...]]] = [
    ("cut", (DOC, 3)),
    ("cut", (DOC, 4, "…")),
    ("cut", (DOC, 0, "…")),
    ("cut", (DOC, 99, "…")),
    ("upper", (DOC,)),
    ("lower", (DOC,)),
    ("title", (DOC,)),
    ("strip", (DOC,)),
    ("strip", (DOC, " d")),
    ("replace", (DOC, "b", "--")),
    ("removeprefix", (DOC, " ")),
    ("removesuffix", (DOC, " ")),
    ("startswith", (DOC, " A")),
    ("endswith", (DOC, ("x", "d "))),
    ("find", (DOC, "z")),
    ("split", (DOC,)),
    ("split", (DOC, "b", 1)),
    ("splitlines", (DOC,)),
    ("join", (", ", ["a", "b"])),
    ("format", ("{} {x}", 1)),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_in_a_workflow_they_give_what_they_give_outside(case: int) -> None:
    name, args = CASES[case]
    function = getattr(text, name)
    kwargs = {"x": 2} if name == "format" else {}
    expected = function(*args, **kwargs)
    types = {str: str, int: int, list: list[str], tuple: tuple[str, ...]}
    arguments = {f"a{number}": (types[type(each)], each) for number, each in enumerate(args)}
    assert run(lambda *values: function(*values, **kwargs), **arguments) == expected


def test_every_function_is_tested() -> None:
    assert {name for name, _ in CASES} == set(text.__all__)
    assert orchestrator.text is text


def test_what_is_known_while_tracing_stays_python() -> None:
    @workflow
    def flow(topic: str) -> str:
        assert text.upper("abc") == "ABC"
        return llm(f"{text.upper(f'about {topic}')}")

    with fake(lambda messages: messages[-1].content):
        assert flow("x") == "ABOUT X"


def test_cut_keeps_within_its_length() -> None:
    assert text.cut("abcdef", 3, "…") == "ab…"
    assert text.cut("abcdef", 1, "...") == "."
    assert text.cut("abc", 3, "…") == "abc"
    with pytest.raises(ValueError, match="-1 characters"):
        text.cut("abc", -1)
