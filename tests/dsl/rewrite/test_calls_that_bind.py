# ruff: noqa: B023, PERF401, RUF015 - programs as people write them
"""Functions in a workflow that bind its names or change its lists when they are called, and conditions that bind."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.dsl.workflow import workflow
from orchestrator.errors import TraceError
from tests.dsl.rewrite.both import noting, same, say


def _words(text: str) -> list[str]:
    return text.split()


def _ok(text: str) -> bool:
    return len(text) % 2 == 0


words, ok = (noting(each, effects="pure") for each in (_words, _ok))
TEXTS = ["", "a", "ab", "one two three", "a b a"]


def counted_in_a_loop(text: str) -> int:
    count = 0

    def add(word: str) -> None:
        nonlocal count
        count += len(word)

    for word in words(text):
        add(word)
    return count


def appended_in_a_loop(text: str) -> list[str]:
    found = ["first"]

    def add(word: str) -> None:
        found.append(f"{word}!")

    for word in words(text):
        add(word)
    return found


def through_another(text: str) -> list[int]:
    sizes: list[int] = []

    def note(word: str) -> None:
        sizes.append(len(word))

    def twice(word: str) -> None:
        note(word)
        note(word + word)

    for word in words(text):
        if word != "a":
            twice(word)
    return sizes


def two_levels_down(text: str) -> int:
    count = 0

    def outer(word: str) -> None:
        def inner() -> None:
            nonlocal count
            count += 1

        if ok(word):
            inner()
        inner()

    for word in words(text):
        outer(word)
    return count


def in_arms(text: str) -> str:
    count, seen = 0, dict[str, int]()

    def note(key: str) -> int:
        nonlocal count
        count += 1
        seen[key] = count
        return count

    if ok(text):
        note("even")
    elif len(text) > 2:
        note("long")
        note("odd")
    match text:
        case "a" | "ab":
            note("short")
        case _:
            pass
    return f"{count} {','.join(seen)} {note('end')}"


def in_a_condition(text: str) -> str:
    count = 0

    def more() -> bool:
        nonlocal count, text
        count += 1
        text += "x"
        return count < 5

    while more() and len(text) < 8:
        pass
    return f"{text} {count}"


def read_while_it_grows(text: str) -> list[str]:
    found: list[str] = []

    def so_far() -> int:
        return len(found)

    for word in words(text):
        found.append(f"{word}{so_far()}")
    return found


def asked_until(text: str) -> str:
    said = text
    while len(reply := say(said)) < 12:
        said += reply
    return f"{said}/{reply}"


def asked_with_an_else(text: str) -> str:
    said = text
    while (reply := say(said)) != "STOP":
        if len(said) > 6:
            said += "-left"
            break
        said += reply[:2]
        if ok(said):
            continue
        said += "."
    else:
        said += "-over"
    return f"{said}/{reply}"


PROGRAMS = [
    counted_in_a_loop, appended_in_a_loop, through_another, two_levels_down, in_arms, in_a_condition,
    read_while_it_grows, asked_until, asked_with_an_else,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("text", TEXTS)
def test_it_means_what_python_means(program: Any, text: str) -> None:
    same(program, text)


def test_a_loop_of_as_many_turns_as_are_allowed_may_ask_once_more() -> None:
    def program(text: str) -> str:
        while len(longer := f"{text}.") < 4:
            text = longer
        return text

    assert same(program, "", max_iterations=3).value == "..."


def _first_error(program: Any) -> tuple[str, str]:
    with pytest.raises(TraceError) as caught:
        workflow(program).trace()
    error = caught.value.diagnostics[0]
    return error.code, error.message


def test_a_comprehension_hands_nothing_on() -> None:
    def over_what_is_not_known(text: str) -> list[int]:
        count = 0

        def more(word: str) -> int:
            nonlocal count
            count += len(word)
            return count

        return [more(word) for word in words(text)]

    def under_a_condition(text: str) -> list[int]:
        count = 0

        def more(by: int) -> int:
            nonlocal count
            count += by
            return count

        return [more(each) for each in (1, 2) if ok(f"{text}{each}")]

    for program in (over_what_is_not_known, under_a_condition):
        code, message = _first_error(program)
        assert code == "ORCH-D052"
        assert message == "`count` is bound anew by a function that is called in a comprehension"


def test_a_comprehension_over_what_is_known_is_pythons_own() -> None:
    def program(text: str) -> list[int]:
        count = 0

        def more(by: int) -> int:
            nonlocal count
            count += by
            return count

        return [more(each) for each in (1, 2, 3)]

    assert same(program, "a").value == [1, 3, 6]


def test_behind_and_a_function_that_binds_names_is_refused() -> None:
    def program(text: str) -> str:
        count = 0

        def more() -> bool:
            nonlocal count
            count += 1
            return True

        passed = ok(text) and more()
        return f"{passed} {count}"

    assert _first_error(program)[0] == "ORCH-D052"


def test_a_function_that_a_comprehension_makes_of_its_items_is_refused() -> None:
    def late(text: str) -> int:
        return [lambda: each for each in range(3)][0]() + len(text)

    def bound(text: str) -> int:
        return [lambda each=each: each for each in range(3)][0]() + len(text)

    assert _first_error(late)[0] == "ORCH-D050"
    assert same(bound, "a").value == 1
