# ruff: noqa: C416, PERF401 - programs as people write them
"""What generator expressions, ``map`` and ``filter`` give is made in Python's order, or they are refused."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.dsl.workflow import workflow
from orchestrator.errors import TraceError
from tests.dsl.rewrite.both import noting, same, say


def _words(text: str) -> list[str]:
    return text.split()


def _send(text: str) -> str:
    return f"{text}!"


words = noting(_words, effects="pure")
send = noting(_send)


def joined_later(text: str) -> str:
    lines = (f"- {say(word)}" for word in words(text))
    return "\n".join(lines)


def used_up_where_they_stand(text: str) -> list[Any]:
    found = ["first"]
    found.extend(send(word) for word in words(text))
    return [*found, *(send(word) for word in words(text)), sum(len(say(word)) for word in words(text))]


def filtered(text: str) -> list[str]:
    return list(filter(lambda word: send(word) != "b!", words(text)))


def without_effects(text: str) -> list[Any]:
    found = []
    for word in map(str.upper, words(text)):
        found.append(send(word))
    return [found, "B" in (word.upper() for word in words(text)), [each for each in enumerate(w for w in words(text))]]


def one_by_one(text: str) -> str:
    sent = (send(word) for word in ("a", "b", "c"))
    first = next(sent)
    send(f"{text} {first}")
    return first + next(sent)


def in_one_arm(text: str) -> str:
    sent = (send(word) for word in ("a", "b", "c"))
    if len(words(text)) > 1:
        return next(sent)
    return "none"


def between_turns(text: str) -> str:
    for each in (send(word) for word in ("a", "b")):
        send(f"{text} {each}")
    for each in map(send, ["c", "d"]):
        send(f"{text} {each}")
    return text


ALIKE = [
    joined_later, used_up_where_they_stand, filtered, without_effects, one_by_one, in_one_arm, between_turns,
]  # fmt: skip


@pytest.mark.parametrize("program", ALIKE, ids=lambda each: each.__name__)
@pytest.mark.parametrize("text", ["", "a", "a b c"])
def test_it_means_what_python_means(program: Any, text: str) -> None:
    same(program, text)


def a_loop_over_it(text: str) -> None:
    for each in (send(word) for word in words(text)):
        send(each)


def a_loop_over_map(text: str) -> None:
    for each in map(send, words(text)):
        send(each)


def a_comprehension_over_it(text: str) -> list[str]:
    return [send(each) for each in (send(word) for word in words(text))]


def a_test_for_a_member(text: str) -> bool:
    return "a!" in (send(word) for word in words(text))


def made_before_something_else(text: str) -> str:
    sent = (send(word) for word in words(text))
    send("first")
    return ",".join(sent)


def gone_through_twice(text: str) -> list[str]:
    upper = (word.upper() for word in words(text))
    return [*upper, *upper]


def gone_through_in_each_turn(text: str) -> list[int]:
    upper = (word.upper() for word in words(text))
    return [len([*upper]) for _ in words(text)]


def left_early(text: str) -> str:
    for each in (send(word) for word in ("a", "b", "c")):
        if len(words(text)) > 2:
            return each
    return "none"


def in_two_places(text: str) -> str:
    sent = (send(word) for word in ("a", "b", "c"))
    first = next(sent) if len(words(text)) > 1 else "none"
    return first + next(sent)


REFUSED = [
    a_loop_over_it, a_loop_over_map, a_comprehension_over_it, a_test_for_a_member, made_before_something_else,
    gone_through_twice, gone_through_in_each_turn, left_early, in_two_places,
]  # fmt: skip


@pytest.mark.parametrize("program", REFUSED, ids=lambda each: each.__name__)
def test_what_could_be_told_apart_is_refused(program: Any) -> None:
    with pytest.raises(TraceError) as caught:
        workflow(program).trace()
    error = caught.value.diagnostics[0]
    assert error.code == "ORCH-D050"
    assert "write a list" in str(error.fix)
