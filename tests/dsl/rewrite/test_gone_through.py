"""Lazy values and lists that change while they are gone through: as in Python, or refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.errors import TraceError
from tests.dsl.rewrite.both import compiled, noting, same


def _words(text: str) -> list[str]:
    return text.split()


def _lengths(text: str) -> dict[str, int]:
    return {word: len(word) for word in text.split()}


def _note(text: str) -> int:
    return len(text)


words, lengths = noting(_words, effects="pure"), noting(_lengths, effects="pure")
note = noting(_note)


def generator_twice(text: str) -> list[int]:
    found = (len(word) for word in words(text))  # D050
    return [sum(found), sum(found)]


def generator_later(text: str) -> int:
    found = (note(word) for word in words(text))  # D050
    note("first")
    return sum(found)


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


def growing(text: str) -> list[str]:
    found = words(text)
    for word in found:  # D052
        if len(found) < 5:
            found.append(word + "!")
    return found


def growing_below_enumerate(text: str) -> list[str]:
    found = words(text)
    for number, word in enumerate(found):  # D052
        if number < 2:
            found += [word]
    return found


def next_item_assigned(text: str) -> list[str]:
    found = words(text)
    for number, word in enumerate(found, 1):  # D052
        if number < len(found):
            found[number] = word + found[number]
    return found


def growing_in_a_branch(text: str) -> int:
    found, turns = ["a", "b"], 0
    if "a" in text:
        for word in found:  # D052
            turns += 1
            if len(found) < 4:
                found.append(word)
    return turns


def growing_until_a_break(text: str) -> int:
    found, turns = ["a", "b"], 0
    for word in found:  # D052
        if len(words(text)) == turns:
            break
        turns += 1
        if len(found) < 4:
            found.append(word)
    return turns


WRONG = {
    "ORCH-D050": [
        generator_twice,
        generator_later,
        generator_before_its_name_changes,
        generator_in_a_loop,
        generator_by_next,
        generator_in_a_test_first,
        pairs_twice,
        pairs_of_a_list_that_changes,
        mapped_in_a_function,
    ],
    "ORCH-D052": [growing, growing_below_enumerate, next_item_assigned, growing_in_a_branch, growing_until_a_break],
}


@pytest.mark.parametrize(
    ("code", "program"),
    [(code, program) for code, programs in WRONG.items() for program in programs],
    ids=lambda given: given if isinstance(given, str) else given.__name__,
)
def test_what_would_be_seen_of_laziness_is_refused_at_its_line(code: str, program: Callable[[str], Any]) -> None:
    with pytest.raises(TraceError) as caught:
        compiled(program, "a b")
    assert {each.code for each in caught.value.diagnostics} == {code}
    (line, *_), first = caught.value.diagnostics, program.__code__.co_firstlineno
    marked = [number for number, each in enumerate(inspect.getsource(program).splitlines()) if code[5:] in each]
    assert line.where is not None
    assert line.where.line - first in marked


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


def known_list_that_grows(text: str) -> list[str]:
    found = [text]
    for word in found:
        if len(found) < 3:
            found.append(word + "!")
    return found


def item_of_the_turn_assigned(text: str) -> list[str]:
    found = words(text)
    for number, word in enumerate(found):
        found[number] = word + "!"
    return found


def items_of_a_dict_assigned(text: str) -> dict[str, int]:
    found = lengths(text)
    for word in found:
        found[word] = found[word] + 1
    return found


def copy_gone_through(text: str) -> list[str]:
    found = words(text)
    for word in list(found):
        found.append(word)
    return found


RIGHT = [
    taken_at_once,
    of_known_things,
    known_list_that_grows,
    item_of_the_turn_assigned,
    items_of_a_dict_assigned,
    copy_gone_through,
]


@pytest.mark.parametrize("text", ["", "a", "a bb a"])
@pytest.mark.parametrize("program", RIGHT, ids=lambda program: program.__name__)
def test_what_looks_the_same_is_compiled(program: Callable[[str], Any], text: str) -> None:
    same(program, text)


def read_before_any_turn_binds_it(text: str) -> str:
    found = ""
    for word in words(text):
        if len(word) > 1:
            found = seen  # noqa: F821  # D051
        else:
            seen = word  # noqa: F841
    return found


def bound_in_the_other_branch(text: str) -> str:
    if text:
        seen = "yes"
    else:
        note(seen)  # D051
    return "done"


@pytest.mark.parametrize(
    "program",
    [read_before_any_turn_binds_it, bound_in_the_other_branch],
    ids=lambda program: program.__name__,
)
def test_a_name_that_nothing_binds_on_the_way_is_named_at_its_line(program: Callable[[str], Any]) -> None:
    with pytest.raises(TraceError) as caught:
        compiled(program, "a b")
    (found,), lines = caught.value.diagnostics, inspect.getsource(program).splitlines()
    assert found.where is not None
    assert lines[found.where.line - program.__code__.co_firstlineno].endswith(f"# {found.code[5:]}")
