# ruff: noqa: C416, PERF401 - programs as people write them
"""What generator expressions, ``map`` and ``filter`` give is made in Python's order, or they are refused."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.dsl.workflow import workflow
from orchestrator.errors import TraceError
from tests.dsl.rewrite.both import noting, refused_at_its_mark, same, say


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


def taken_at_once(text: str) -> list[int]:
    found = (len(word) for word in words(text))
    total = sum(found)
    pairs = zip(words(text), words(text), strict=True)
    for one, other in pairs:
        total += len(one + other)
    pairs = zip(words(text), [1, 2], strict=False)
    return [total, *[number for _, number in pairs]]


def of_known_things(text: str) -> list[Any]:
    pairs = zip(["a", "b"], [1, 2], strict=True)
    first = next(pairs)
    numbers = map(len, ["aa", "b"])
    return [first, list(pairs), list(numbers), list(numbers), len(text)]


ALIKE = [
    joined_later, used_up_where_they_stand, filtered, without_effects, one_by_one, in_one_arm, between_turns,
    taken_at_once, of_known_things,
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


def generator_twice(text: str) -> list[int]:
    found = (len(word) for word in words(text))  # D050
    return [sum(found), sum(found)]


def generator_before_its_name_changes(text: str) -> list[str]:
    end = "a"
    found = (word + end for word in words(text))  # D050
    end = "b"
    return list(found)


def generator_in_a_loop(text: str) -> int:
    total = 0
    found = (len(word) for word in words(text))  # D050
    for _ in range(2):
        total += sum(found)
    return total


def generator_by_next(text: str) -> str:
    found = (word for word in words(text))  # D050
    return next(found, "") + next(found, "")


def generator_in_a_test_first(text: str) -> list[str]:
    found = (word for word in words(text))  # D050
    if "b" in found:
        return list(found)
    return []


def pairs_twice(text: str) -> list[int]:
    pairs = zip(words(text), words(text), strict=True)  # D050
    return [len(list(pairs)), len(list(pairs))]


def pairs_of_a_list_that_changes(text: str) -> int:
    found = words(text)
    pairs = enumerate(found)  # D050
    found.append("more")
    return len(list(pairs))


def mapped_in_a_function(text: str) -> int:
    found = map(len, words(text))  # D050

    def total() -> int:
        return sum(found)

    return total() + total()


WITH_A_NAME = [
    generator_twice,
    generator_before_its_name_changes,
    generator_in_a_loop,
    generator_by_next,
    generator_in_a_test_first,
    pairs_twice,
    pairs_of_a_list_that_changes,
    mapped_in_a_function,
]


@pytest.mark.parametrize("program", WITH_A_NAME, ids=lambda each: each.__name__)
def test_what_has_a_name_is_refused_at_its_line_where_laziness_could_be_seen(program: Any) -> None:
    refused_at_its_mark(program, "ORCH-D050")
