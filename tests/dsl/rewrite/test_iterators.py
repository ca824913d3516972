"""Iterators that Python has made: items are taken of them where they are made, or it is refused."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from orchestrator import workflow
from orchestrator.errors import TraceError
from tests.dsl.rewrite.both import noting, same


def _ok(text: str) -> bool:
    return len(text) % 2 == 0


ok = noting(_ok, effects="pure")


def drawn_where_it_is_made(text: str) -> str:
    letters = iter(["x", "y"])
    found = next(letters) + next(letters) + next(letters, "z") + text
    if ok(text):
        others = iter(["p", "q"])
        return next(others) + next(others) + found
    return found


def pairs_with_a_name(text: str) -> list[str]:
    pairs, found = zip(["a", "b"], [text, "c"], strict=True), []
    for first, second in pairs:
        if ok(second):
            break
        found.append(first + second)
    return found


def removed(text: str) -> list[str]:
    found = ["a", "no", "x"]
    if text in found:
        found.remove(text)
    return found


@pytest.mark.parametrize("program", [drawn_where_it_is_made, pairs_with_a_name, removed])
def test_it_means_what_python_means(program: Any) -> None:
    for text in ["", "a", "no", "a b"]:
        same(program, text)


def grown_by_a_branch(text: str) -> int:
    found, turns = ["a", text], 0
    for each in found:
        turns += 1
        if ok(each):
            found.append("b")
    return turns


def drawn_in_a_loop(text: str) -> str:
    letters, found = iter(["x", "y", "z", "w"]), ""
    while True:
        found += next(letters)
        if ok(text + found):
            break
    return found


def drawn_in_a_branch(text: str) -> str:
    letters, found = iter(["x", "y"]), text
    if ok(text):
        for each in letters:
            found += each
    return found + next(letters, "z")


def endless(text: str) -> int:
    for number in count():
        if ok(text * number):
            return number
    return 0


@pytest.mark.parametrize(
    ("program", "code"),
    [
        (grown_by_a_branch, "ORCH-D052"),
        (drawn_in_a_loop, "ORCH-D052"),
        (drawn_in_a_branch, "ORCH-D052"),
        (endless, "ORCH-D020"),
    ],
)
def test_what_would_give_another_answer_is_refused(program: Any, code: str) -> None:
    with pytest.raises(TraceError) as caught:
        workflow(program).trace()
    assert code in {each.code for each in caught.value.diagnostics}
