"""Names that an exit of a loop leaves unbound are read nowhere behind it, and as ever where it was not taken."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from orchestrator.errors import TraceError
from tests.dsl.rewrite.both import compiled, noting, refused_at_its_mark, same


def _note(text: str) -> str:
    return f"{text}."


def _look(text: str) -> str:
    if "no" in text:
        raise KeyError(text)
    return text.upper()


def _words(text: str) -> list[str]:
    return text.split()


words = noting(_words, effects="pure")
note, look = noting(_note), noting(_look)


def first_turn_breaks(text: str) -> str:
    while True:
        found = note(text)
        if len(found) > 3:
            break
        last = found
        text = found
    return last  # D051


def first_item_breaks(text: str) -> str:
    for word in ["a", "b", "c"]:
        if text == word:
            break
        last = note(word)
    return last  # D051


def first_number_breaks(text: str) -> str:
    for number in range(4):
        if len(text) + number > 3:
            break
        last = note(str(number))
    return last  # D051


def constant_before_a_break(text: str) -> str:
    for word in words(text):
        if word == "b":
            break
        last = "known"
    return last  # D051


def handler_breaks(text: str) -> str:
    found = ""
    for word in words(text):  # D051
        try:
            if word == "b":
                continue
            found = look(word)
        except KeyError:
            break
    return found


def handler_goes_on(text: str) -> str:
    found = ""
    for word in words(text):  # D051
        try:
            note(word)
            found = look(word)
            note(found)
        except KeyError:
            continue
    return found


def handler_breaks_before_the_else(text: str) -> str:
    found = ""
    for word in words(text):  # D051
        try:
            found = note(word)
            look(word)
        except KeyError:
            break
        else:
            note(found)
    return found


def handler_breaks_before_the_finally(text: str) -> str:
    found = ""
    for word in words(text):  # D051
        try:
            found = note(word)
            look(word)
        except KeyError:
            break
        finally:
            note("end")
    return found


def continued_over_known_items(text: str) -> str:
    for word in ["a", "b"]:
        if text == word:
            continue
        last = note(word)
    return last  # D051


WRONG = [
    first_turn_breaks,
    first_item_breaks,
    first_number_breaks,
    constant_before_a_break,
    handler_goes_on,
    handler_breaks_before_the_else,
    handler_breaks_before_the_finally,
    continued_over_known_items,
]


@pytest.mark.parametrize("program", WRONG, ids=lambda program: program.__name__)
def test_a_name_that_an_exit_may_leave_unbound_is_no_null(program: Callable[[str], str]) -> None:
    with pytest.raises(TraceError) as caught:
        compiled(program, "a b")
    assert {each.code for each in caught.value.diagnostics} == {"ORCH-D051"}
    assert "may come before it is bound" in str(caught.value) or "does not bind it" in str(caught.value)


def bound_before(text: str) -> str:
    last = "none"
    for number in range(4):
        if len(text) + number > 3:
            break
        last = note(str(number))
    return last


def read_in_the_turn_only(text: str) -> str:
    last = ""
    for word in words(text):
        if word == "no":
            continue
        mine = word + "!"
        last = mine
    return last


def read_behind_the_guard(text: str) -> list[str]:
    found = []
    for word in words(text):
        try:
            seen = note(word)
            mine = look(seen)
        except KeyError:
            continue
        found.append(seen + mine)
    return found


def nested_known_items(text: str) -> str:
    last = "none"
    for word in ["a", "b", "c", "d"]:
        last = note(word)
        if text == word:
            break
        last = last + "!"
    return last


def handler_returns(text: str) -> str:
    found = ""
    for word in words(text):
        try:
            note(word)
            found = look(word)
            note(found)
        except KeyError:
            return "failed"
    return found


RIGHT = [
    bound_before,
    read_in_the_turn_only,
    read_behind_the_guard,
    nested_known_items,
    handler_returns,
    handler_breaks,
]


@pytest.mark.parametrize("text", ["", "a", "b", "no", "a no b", "a b c d e"])
@pytest.mark.parametrize("program", RIGHT, ids=lambda program: program.__name__)
def test_what_is_bound_wherever_it_is_read_is_compiled(program: Callable[[str], object], text: str) -> None:
    same(program, text)


@pytest.mark.parametrize("program", WRONG, ids=lambda program: program.__name__)
def test_the_line_is_that_of_the_loop_or_of_what_reads_the_name(program: Callable[[str], str]) -> None:
    with pytest.raises(TraceError) as caught:
        compiled(program, "a b")
    lines, first = inspect.getsource(program).splitlines(), program.__code__.co_firstlineno
    for each in caught.value.diagnostics:
        assert each.where is not None
        assert "# D051" in lines[each.where.line - first]


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
def test_a_name_that_nothing_binds_on_the_way_is_named_at_its_line(program: Callable[[str], object]) -> None:
    refused_at_its_mark(program, "ORCH-D051")
