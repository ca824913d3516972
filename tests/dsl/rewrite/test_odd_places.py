"""Control flow in odd places: names that one part of a statement knows, failures in handlers, shared objects."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import tool, workflow
from orchestrator.errors import TraceError
from tests.dsl.rewrite.both import noting, same


def _kind(text: str) -> str:
    return "bug" if "b" in text else "other"


def _look(text: str) -> str:
    if "no" in text:
        raise KeyError(text)
    return text.upper()


def _parts(text: str) -> list[str]:
    return text.split()


kind, parts = noting(_kind, effects="pure"), noting(_parts, effects="pure")
look = noting(_look)


def captured_and_not_read(text: str) -> str:
    match kind(text):
        case "bug":
            found = "a bug"
        case other:  # noqa: F841 - what it is about
            found = "none"
    return found


def name_that_the_else_does_not_know(text: str) -> str:
    found = "default"
    try:
        found = look(text)
    except ValueError:
        pass
    else:
        look(text + "!")
    return found


def raised_in_a_handler_under_another(text: str) -> str:
    try:
        return look(text)
    except KeyError:
        try:
            raise RuntimeError(text)
        except ValueError:
            return "never"


def raised_again_in_python(text: str) -> str:
    try:
        return look(text)
    except KeyError:
        try:
            int("zz")
        except ValueError:
            raise
    return "never"


def left_before_the_else(text: str) -> str:
    try:
        if kind(text) == "bug":
            return "left"
    except KeyError:
        return "never"
    else:
        look(text)
    return "end"


def left_before_the_else_of_a_loop(text: str) -> list[str]:
    found = []
    for part in ["b", "c", text]:
        try:
            if kind(part + text) == "bug":
                continue
        except KeyError:
            break
        else:
            look("else")
        found.append(part)
    return found


def returned_from_the_handler(text: str) -> str:
    try:
        look(text)
        found = look(text + "!")
        look("x")
    except KeyError:
        return "none"
    else:
        look(found)
    return found


def first_of_a_generator(text: str) -> str:
    return next((each for each in ["x", "y"] if each != "x"), "z") + text


def sorted_backwards(text: str) -> list[str]:
    found = parts(text)
    found.sort(reverse=True)
    return found


def left_from_the_else_of_a_loop(text: str) -> str:
    for part in parts(text):
        look(part)
    else:  # noqa: PLW0120 - what it is about
        return "else"
    return "never"  # type: ignore[unreachable]


def left_from_all_of_a_try(text: str) -> str:
    try:
        return look(text)
    except KeyError:
        return "none"
    return "never"  # type: ignore[unreachable]


def failing_in_every_turn(text: str) -> list[str]:
    found = []
    for part in parts(text):
        found.append(part)
        raise ValueError(part)
    return found


def failing_whatever_comes(text: str) -> str:
    found = "old"
    try:
        if "a" in text:
            raise ValueError(text)
        raise ValueError(f"not {text}")
    except ValueError as error:
        return f"{error} {found}"


def failing_whatever_comes_and_cleaned(text: str) -> str:
    found = "old"
    try:
        look(text)
        raise ValueError(text)
    finally:
        look(f"{found}!")


def bound_last_on_each_path(text: str) -> str:
    found = "old"
    try:
        if text == "b":
            return "left"
        if "a" in text:
            found = look(text)
        elif text:
            found = look(text + "x")
    except KeyError:
        found += "!"
    return found


def key_that_is_missing(text: str) -> str:
    try:
        if text != "b":
            raise KeyError(text)
        raise KeyError(f"{text}'s")
    except KeyError as error:
        return f"{error}"


def display_with_the_items_of_a_dict(text: str) -> dict[str, int]:
    lengths = {part: len(part) for part in parts(text)}
    found = {"b": 0, "z": 1, **lengths, "a": 7}
    found["new"] = len(found)
    return {**found, **{"z": 2}}


def in_the_order_of_a_builtin(text: str) -> list[str]:
    return [*sorted(parts(text), key=len), max(["bb", *parts(text)], key=str.lower)]


def greatest_of_nothing(text: str) -> int:
    return max([], default=len(text))


def ended_by_what_the_body_sets(text: str) -> str:
    found = kind(text) == "bug"
    turns = 0
    while turns < 3 and not found:
        turns += 1
        found = True
        look(text)
    return text


def through_nothing(text: str) -> int:
    count = len(text)
    for word, other in zip([], parts(text), strict=False):
        count = count * 2 + len(word) + len(other)
    return count


PROGRAMS = [
    through_nothing,
    ended_by_what_the_body_sets,
    left_from_the_else_of_a_loop, left_from_all_of_a_try, failing_in_every_turn, failing_whatever_comes,
    failing_whatever_comes_and_cleaned, bound_last_on_each_path, key_that_is_missing, display_with_the_items_of_a_dict,
    in_the_order_of_a_builtin, greatest_of_nothing,
    captured_and_not_read, name_that_the_else_does_not_know, raised_in_a_handler_under_another,
    raised_again_in_python, left_before_the_else,
    left_before_the_else_of_a_loop, returned_from_the_handler, first_of_a_generator, sorted_backwards,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda each: each.__name__)
def test_it_means_what_python_means(program: Any) -> None:
    for text in ["", "b", "no", "a c b"]:
        same(program, text)


def _codes(program: Any) -> list[str]:
    with pytest.raises(TraceError) as caught:
        workflow(program).trace()
    return [each.code for each in caught.value.diagnostics]


@tool(effects="pure")
def listed(text: str) -> list[str]:
    return [text]


def test_a_list_that_two_names_hold_is_not_changed() -> None:
    def alias(text: str) -> list[str]:
        first = listed(text)
        second = first
        second.append("x")
        return first

    def of_the_caller(text: str) -> list[str]:
        def extend(given: list[str]) -> None:
            given.append("x")

        found = listed(text)
        extend(found)
        return found

    def item(text: str) -> list[str]:
        first = second = listed(text)
        second[0] = "x"
        return first

    def in_place(text: str) -> list[str]:
        first = second = listed(text)
        second += ["x"]
        return first

    for program in (alias, of_the_caller, item, in_place):
        assert _codes(program) == ["ORCH-D052"]


def test_a_change_with_arguments_that_are_not_known() -> None:
    def program(text: str) -> dict[str, int]:
        found = {"a": 1}
        found.pop(text, None)
        return found

    for text in ["a", "b"]:
        same(program, text)


def test_what_the_body_assigned_is_not_known_behind_an_else_or_a_finally() -> None:
    def with_else(text: str) -> str:
        found = "default"
        try:
            found = look(text)
            look(found)
        except KeyError:
            pass
        else:
            look("else")
        return found

    def with_finally(text: str) -> str:
        found = "default"
        try:
            found = look(text)
            look(found)
        except KeyError:
            pass
        finally:
            look("finally")
        return found

    for program in (with_else, with_finally):
        assert _codes(program) == ["ORCH-D051"]


def test_a_turn_that_may_lose_a_name_is_refused() -> None:
    def program(text: str) -> str:
        found = text
        for part in parts(text):
            try:
                found = look(part + found)
                look(part)
            except KeyError:
                pass
        return found

    assert _codes(program) == ["ORCH-D051"]
