"""Lists that change while they are gone through: as in Python, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.dsl.rewrite.both import noting, refused_at_its_mark, same


def _words(text: str) -> list[str]:
    return text.split()


def _lengths(text: str) -> dict[str, int]:
    return {word: len(word) for word in text.split()}


def _note(text: str) -> int:
    return len(text)


words, lengths = noting(_words, effects="pure"), noting(_lengths, effects="pure")
note = noting(_note)


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


WRONG = [growing, growing_below_enumerate, next_item_assigned, growing_in_a_branch, growing_until_a_break]


@pytest.mark.parametrize("program", WRONG, ids=lambda program: program.__name__)
def test_a_change_that_the_loop_would_see_is_refused_at_its_line(program: Callable[[str], Any]) -> None:
    refused_at_its_mark(program, "ORCH-D052")


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
    known_list_that_grows,
    item_of_the_turn_assigned,
    items_of_a_dict_assigned,
    copy_gone_through,
]


@pytest.mark.parametrize("text", ["", "a", "a bb a"])
@pytest.mark.parametrize("program", RIGHT, ids=lambda program: program.__name__)
def test_what_looks_the_same_is_compiled(program: Callable[[str], Any], text: str) -> None:
    same(program, text)
