"""What coverage, breakpoints and tracebacks know a program by: on concrete values a rewritten function runs the lines
that it runs in plain Python, and no others."""

# ruff: noqa: RET504, PLW0120, PLW2901 - the functions are written for their lines

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from orchestrator import tool, workflow
from orchestrator.dsl.rewrite.function import rewrite
from orchestrator.errors import TraceError
from orchestrator.ir.walk import nodes, op_id, source, tree


def if_else(flag: bool) -> int:
    x = 0
    if flag:
        x = 1
        x += 1
    elif x:
        x = 2
    else:
        x = 3
        x += 1
    return x


def leaves_early(flag: bool) -> int:
    if flag:
        return 1
    if not flag:
        x = 2
        return x
    return 3


def falls_off_the_end(flag: bool) -> int | None:
    x = 1
    if flag:
        x = 2
        return x
    if x == 2:
        return 3
    return None


def loops(flag: bool) -> int:
    total = 0
    for x in [1, 2] if flag else []:
        total += x
        total += 1
    else:
        total += 5
    while total > 100:
        total -= 1
        total -= 2
    return total


def breaks(flag: bool) -> int:
    total = 0
    for x in [1, 2, 3]:
        if flag:
            break
        if x == 2:
            continue
        total += x
        total += 1
    return total


def returns_in_a_loop(flag: bool) -> int:
    for x in [1, 2]:
        if flag:
            return x
        x += 1
    x = 5
    return x


def fails(flag: bool) -> int:
    x = 0
    try:
        x = 1
        if flag:
            raise KeyError
        x = 2
    except ValueError:
        x = 3
    except KeyError as error:
        x = len(error.args)
    else:
        x = 4
    finally:
        x += 1
    return x


def checks(flag: bool) -> int:
    assert flag in (
        True,
        False,
    )
    x = 1 if flag else 2
    return x


FUNCTIONS = [if_else, leaves_early, falls_off_the_end, loops, breaks, returns_in_a_loop, fails, checks]


def lines_of(function: Callable[[bool], Any], flag: bool) -> set[int]:
    """The lines at which statements begin or go on, as ``sys.settrace`` tells them."""
    file, seen = function.__code__.co_filename, set()

    def local(frame: FrameType, event: str, _: object) -> Any:
        if event == "line":
            seen.add(frame.f_lineno)
        return local

    def told(frame: FrameType, event: str, argument: object) -> Any:
        return local if frame.f_code.co_filename == file else None

    before = sys.gettrace()
    sys.settrace(told)
    try:
        function(flag)
    finally:
        sys.settrace(before)
    return seen


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda each: each.__name__)
def test_only_lines_that_python_would_run_are_run(function: Callable[[bool], Any], flag: bool) -> None:
    made = rewrite(function)
    assert made is not function
    assert made(flag) == function(flag)
    assert lines_of(made, flag) - {function.__code__.co_firstlineno} == lines_of(function, flag)


@tool(effects="reads")
def rows(query: str) -> list[str]:
    return [query]


@workflow(max_items=4)
def counted(query: str) -> int:
    total = 0
    for row in rows(query):
        if row:
            total += 1
        total += 2
    return total


def test_an_op_of_several_lines_is_at_its_first_one() -> None:
    first = counted.fn.__code__.co_firstlineno
    ops = [node.op for node in nodes(tree(counted.trace().module).bodies[0])]
    lines = {op_id(op): where.line for op in ops if (where := source(op)) is not None}
    assert lines["loop_1"] == first + 3
    assert lines["branch_1"] == first + 4


def fragile(value: object) -> str:
    raise KeyError(f"{type(value).__name__} here")


@workflow
def calls(query: str) -> str:
    text = ""
    if query == "x":
        text = fragile(query)
    return text


def test_what_a_function_raises_while_it_is_traced_leads_along_the_users_lines() -> None:
    with pytest.raises(TraceError, match="ORCH-D001") as found:
        calls.trace()
    assert isinstance(found.value.__cause__, KeyError)
    frames = traceback.extract_tb(found.value.__cause__.__traceback__)
    lines = ['if query == "x":', "text = fragile(query)", 'raise KeyError(f"{type(value).__name__} here")']
    assert [frame.line for frame in frames] == lines
    assert found.value.__cause__.__context__ is None


def test_no_other_exception_was_being_handled_when_a_workflow_fails() -> None:
    with pytest.raises(TraceError) as found:
        calls("x")
    assert found.value.__context__ is None
