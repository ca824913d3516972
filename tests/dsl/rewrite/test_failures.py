# ruff: noqa: BLE001 - programs as people write them
"""``try``, ``raise``, ``assert`` and ``finally`` mean what they mean in Python."""

from __future__ import annotations

import asyncio
from asyncio import to_thread
from contextlib import nullcontext
from typing import Any

import pytest

from orchestrator import llm, loop, workflow
from orchestrator.errors import TraceError
from tests.dsl.rewrite.both import compiled, noting, same, say

TEXTS = ["", "a", "no", "key", "deep", "one two"]


class TooDeepError(ValueError):
    """An exception of the user's."""


def _look(text: str) -> str:
    if text == "no":
        raise ValueError("no such text")
    if text == "key":
        raise KeyError("key")
    if text == "deep":
        raise TooDeepError("too deep")
    return text.upper()


def _send(text: str) -> None:
    return None


def _even(text: str) -> bool:
    return len(text) % 2 == 0


look, send, even = noting(_look), noting(_send), noting(_even, effects="pure")


def handled(text: str) -> str:
    try:
        found = look(text)
    except ValueError:
        found = "handled"
    return found


def default_before(text: str) -> str:
    found = "default"
    try:
        found = look(text)
    except Exception:
        send("failed")
    return found


def several(text: str) -> str:
    try:
        found = look(text)
    except TooDeepError as error:
        return f"deep: {error}"
    except (KeyError, IndexError):
        found = "key"
    except ValueError as error:
        found = str(error)
    return found


def unhandled(text: str) -> str:
    try:
        return look(text)
    except KeyError:
        return "key"


def orelse(text: str) -> str:
    try:
        found = look(text)
    except ValueError:
        found = "handled"
    else:
        found = look(found + "!")
        send(found)
    return found


def cleanup(text: str) -> str:
    try:
        found = look(text)
    finally:
        send("closed")
    return found


def cleanup_and_handler(text: str) -> str:
    try:
        found = look(text)
        send(found)
    except KeyError:
        found = "key"
    finally:
        send("closed")
    return found


def nested(text: str) -> str:
    try:
        try:
            found = look(text)
        except KeyError:
            found = look("no")
    except ValueError:
        found = "outer"
    return found


def again(text: str) -> str:
    try:
        return look(text)
    except TooDeepError:
        send("deep")
        raise
    except ValueError:
        return "value"


def another(text: str) -> str:
    try:
        return look(text)
    except ValueError as error:
        raise RuntimeError(f"worse: {error}") from error


def raised_under_a_condition(text: str) -> str:
    if even(text):
        raise TooDeepError(f"{text} is even")
    send(text)
    return say(text)


def caught_own(text: str) -> str:
    try:
        if even(text):
            raise TooDeepError("even")
        found = "odd"
    except ValueError:
        found = "even"
    return found


def asserted(text: str) -> str:
    assert not even(text), f"{text} is even"
    send(text)
    return text


def in_a_loop(text: str) -> list[str]:
    found = []
    for word in text.split():
        try:
            found.append(look(word))
        except ValueError:
            continue
    return found


def until_it_works(text: str) -> str:
    found = "none"
    for word in ["no", text, "key"]:
        try:
            found = look(word)
            break
        except (ValueError, KeyError):
            send(word)
    return found


def concrete(text: str) -> str:
    try:
        number = int("zz")
    except ValueError:
        number = 3
    return f"{text}{number}"


def returns_within(text: str) -> str:
    for word in ["x", "no", "y"]:
        try:
            look(word + text)
        except ValueError:
            return "failed"
        finally:
            send(word)
    return "done"


PROGRAMS = [
    handled, default_before, several, unhandled, orelse, cleanup, cleanup_and_handler, nested, again, another,
    raised_under_a_condition, caught_own, asserted, in_a_loop, until_it_works, concrete, returns_within,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda each: each.__name__)
def test_it_means_what_python_means(program: Any) -> None:
    for text in TEXTS:
        same(program, text)


def _errors(program: Any) -> list[str]:
    with pytest.raises(TraceError) as caught:
        workflow(program).trace()
    return [each.code for each in caught.value.diagnostics]


def test_what_the_body_assigned_is_not_known_to_a_handler() -> None:
    def program(text: str) -> str:
        try:
            found = look(text)
            send(found)
        except ValueError:
            pass
        return found

    assert _errors(program) == ["ORCH-D051"]


def test_a_name_bound_on_one_path_is_an_error_where_it_is_read() -> None:
    def program(text: str) -> str:
        if even(text):
            reply = llm(text)
        return reply

    def unread(text: str) -> str:
        if even(text):
            reply = llm(text)
            send(reply)
        return text

    assert _errors(program) == ["ORCH-D051"]
    workflow(unread).trace()


def test_types_that_do_not_join_are_an_error_where_the_name_is_read() -> None:
    def program(text: str) -> str:
        if even(text):
            reply: Any = 1
        else:
            reply = "one"
        return f"{reply}"

    assert _errors(program) == ["ORCH-D051"]


def test_an_expression_that_may_be_one_of_two_functions_is_refused() -> None:
    def program(text: str) -> str:
        said = (lambda one: one) if even(text) else (lambda one: f"{one}!")
        return said(text)

    assert _errors(program)[0] == "ORCH-D022"


def test_names_that_a_called_function_binds_anew_are_refused_in_a_region() -> None:
    def counted(text: str) -> str:
        count = 0

        def body(state: str) -> str:
            nonlocal count
            count += 1
            return llm(f"{state}{count}")

        return loop(body, text, max=3)

    def outside(text: str) -> int:
        count = 0

        def bump() -> None:
            nonlocal count
            count += 1

        bump()
        bump()
        return count

    assert _errors(counted)[0] == "ORCH-D052"
    assert compiled(outside, "a").value == 2


def test_what_only_some_turns_bind_is_unbound_behind_the_loop() -> None:
    def program(text: str) -> str:
        for _ in range(3):
            try:
                found = look(text)
                break
            except ValueError:
                send("again")
        else:
            return "never"
        return found

    assert "ORCH-D051" in _errors(program)


def test_a_change_that_others_would_not_see_is_refused() -> None:
    seen: list[str] = []

    def outside(text: str) -> str:
        if even(text):
            seen.append("even")
        return text

    def alias(text: str) -> list[str]:
        first = ["x"]
        second = first
        if even(text):
            first.append("even")
        return first + second

    assert _errors(outside) == ["ORCH-D052"]
    assert _errors(alias) == ["ORCH-D052"]
    assert not seen


def test_constructs_that_cannot_be_compiled() -> None:
    def walrus(text: str) -> str:
        return str(any((other := each) > "b" for each in text.split())) + other

    def pattern(text: str) -> str:
        match {"a": text.split()}["a"]:
            case {"first": first}:
                return first
        return "none"

    def context(text: str) -> str:
        with nullcontext():
            return llm(text)

    def changes_behind(text: str) -> str:
        try:
            found = look(text)
        finally:
            found = look("x")
        return found

    async def waits(text: str) -> str:
        await to_thread(str, "x")
        return text

    assert _errors(walrus) == ["ORCH-D050"]
    assert _errors(pattern) == ["ORCH-D054"]
    assert _errors(context) == ["ORCH-D055"]
    assert _errors(changes_behind)[0] == "ORCH-D056"
    assert _errors(waits) == ["ORCH-D053"]


def test_awaiting_is_left_out() -> None:
    async def program(text: str) -> list[str]:
        first = await look(text)
        return [first, *await asyncio.gather(look(first), look("x"))]

    assert compiled(program, "a").value == ["A", "A", "X"]
