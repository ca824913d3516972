"""An exception is raised where and when Python raises it, be it by the user's ``raise`` or by Python itself."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import workflow
from orchestrator.errors import RunError, TraceError
from tests.dsl.rewrite.both import noting, same


def _ok(text: str) -> bool:
    return len(text) % 2 == 0


def _words(text: str) -> list[str]:
    return text.split()


def _look(text: str) -> str:
    if text == "no":
        raise ValueError(text)
    return text.upper()


ok, words, look = noting(_ok, effects="pure"), noting(_words, effects="pure"), noting(_look)


def at_the_end(text: str) -> str:
    if ok(text):
        return "ok"
    raise ValueError(f"bad {text}")


def behind_an_op(text: str) -> str:
    look(text)
    raise KeyError(text)


def in_a_nested_function(text: str) -> str:
    def boom(given: str) -> str:
        raise RuntimeError(f"boom {given}")

    try:
        look(text)
        boom(text)
    except RuntimeError as error:
        return f"{error} of {text}"
    except ValueError:
        return "none"


def by_python_in_a_branch(text: str) -> str:
    try:
        if ok(text):
            int("zz")
        found = look(text)
    except ValueError:
        found = "bad"
    return found


def by_python_in_a_loop(text: str) -> list[str]:
    found = []
    try:
        for word in words(text):
            if word == "a":
                found.append(str(list[int]()[1]))
            found.append(word)
    except IndexError:
        return ["bad"]
    return found


def by_python_before_a_finally(text: str) -> str:
    found = "none"
    try:
        if ok(text):
            {}["key"]
        look(text)
    except KeyError as error:
        return f"{error}"
    finally:
        look("end")
    return found


def key_in_quotes(text: str) -> str:
    try:
        if ok(text):
            raise KeyError(text)
    except KeyError as error:
        return f"{error}"
    return "none"


PROGRAMS = [
    at_the_end, behind_an_op, in_a_nested_function, by_python_in_a_branch, by_python_in_a_loop,
    by_python_before_a_finally, key_in_quotes,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda each: each.__name__)
def test_it_means_what_python_means(program: Any) -> None:
    for text in ["", "a", "no", "a b"]:
        same(program, text)


def test_a_workflow_that_always_raises_fails_when_it_runs() -> None:
    @workflow
    def inner(text: str) -> str:
        raise ValueError(f"no {look(text)}")

    @workflow
    def outer(text: str) -> str:
        try:
            return inner(text)
        except ValueError as error:
            return f"caught: {error}"

    with pytest.raises(RunError, match="no A"):
        inner("a")
    assert outer("a") == "caught: no A"


def test_what_is_raised_before_anything_is_asked_is_an_error_of_the_program() -> None:
    def program(text: str) -> str:
        raise ValueError("not yet")

    assert _codes(program) == ["ORCH-D001"]


def test_the_name_of_a_caught_error_holds_nothing_behind_its_handler() -> None:
    def program(text: str) -> str:
        error = "none"
        try:
            look(text)
        except ValueError as error:  # noqa: F841
            look("x")
        return error

    assert _codes(program) == ["ORCH-D051"]


def test_a_finally_that_drops_a_failure_is_refused() -> None:
    def returning(text: str) -> str:
        try:
            look(text)
        finally:
            return "end"  # noqa: B012

    def breaking(text: str) -> str:
        for each in ["a", text]:
            try:
                look(each)
            finally:
                break  # noqa: B012
        return text

    assert _codes(returning) == _codes(breaking) == ["ORCH-D050"]


def _codes(program: Any) -> list[str]:
    with pytest.raises(TraceError) as caught:
        workflow(program).trace()
    return [each.code for each in caught.value.diagnostics]
