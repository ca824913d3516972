"""Workflows that call themselves: bounded, or on conditions that are known while tracing."""

from __future__ import annotations

import pytest

from orchestrator import Static, attempt, branch, llm, tool, workflow
from orchestrator.errors import RunError, TraceError
from orchestrator.testing import fake
from tests.dsl.diagnosing import errors_of
from tests.dsl.recording import record

calls: list[int] = []


@tool(effects="idempotent")
def note(x: int) -> int:
    calls.append(x)
    return x


@workflow(max_depth=3)
def countdown(x: int) -> int:
    return branch(x <= 0, lambda: 0, lambda: countdown(note(x) - 1) + 1)


def test_it_goes_as_deep_as_it_may() -> None:
    with fake():
        assert [countdown(0), countdown(2)] == [0, 2]


def test_a_level_more_fails_when_the_workflow_runs() -> None:
    calls.clear()
    with fake(), pytest.raises(RunError, match=r"`countdown` calls itself more than max_depth=3 levels deep"):
        countdown(3)
    assert calls == [3, 2, 1]


def test_the_failure_can_be_caught_as_in_python() -> None:
    @workflow
    def flow(x: int) -> int:
        return attempt(lambda: countdown(x), lambda error: -1, catching=RecursionError)

    with fake():
        assert [flow(2), flow(5)] == [2, -1]


def test_what_needs_the_result_of_the_last_call_does_not_run() -> None:
    @workflow(max_depth=1)
    def forever(text: str) -> str:
        return llm(f"after {forever(text)}")

    with fake(["never"]) as engine, pytest.raises(RunError, match="max_depth=1"):
        forever("x")
    assert engine.requests == []


def test_static_parameters_end_a_recursion_while_tracing() -> None:
    @workflow
    def power(x: int, n: Static[int]) -> int:
        return x * power(x, n - 1) if n > 0 else 1

    @workflow
    def endless(x: int, n: Static[int] = 0) -> int:
        return endless(x, n)

    with fake():
        assert [power(3, 0), power(3, 4)] == [1, 81]
    (error,) = errors_of(endless)
    assert (error.code, error.fix) == (
        "ORCH-D032",
        "bound it, @workflow(max_depth=3), or repeat with `for` or loop(body, init, max=...)",
    )


def test_mutual_recursion_is_bounded_too() -> None:
    @workflow(max_depth=2)
    def even(x: int) -> bool:
        return branch(x == 0, lambda: True, lambda: odd(x - 1))

    @workflow
    def odd(x: int) -> bool:
        return branch(x == 0, lambda: False, lambda: even(x - 1))

    with fake():
        assert [even(0), even(2), odd(1)] == [True, True, True]
        with pytest.raises(RunError, match="`even` calls itself"):
            even(4)


def test_recursions_that_double_are_stopped() -> None:
    @workflow(max_depth=30)
    def tree(x: int) -> int:
        return branch(x <= 1, lambda: 1, lambda: tree(x - 1) + tree(x - 2))

    with pytest.raises(TraceError, match="ORCH-D032") as caught:
        record(tree)
    assert "lower max_depth=" in str(caught.value)


def test_a_helper_without_an_end_is_an_error_and_no_crash() -> None:
    def helper(x: int) -> int:
        return branch(x <= 0, lambda: 0, lambda: helper(x - 1))

    @workflow
    def flow(x: int) -> int:
        return helper(x)

    (error,) = errors_of(flow)
    assert error.code == "ORCH-D032"
    assert "@workflow(max_depth=3)" in (error.fix or "")


@pytest.mark.parametrize("depth", [0, -1, "3", True])
def test_the_bound_is_a_count(depth: int) -> None:
    with pytest.raises(TraceError, match="ORCH-D041"):
        workflow(max_depth=depth)(lambda: None).trace()
