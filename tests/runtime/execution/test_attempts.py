"""What fails in a region, who may catch it, and what is done in the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator import Error, Retry, attempt, branch, map_, tool, workflow
from orchestrator.dsl.regions.failing import attempt_op
from orchestrator.dsl.regions.raising import fail_op, reraise_op
from orchestrator.dsl.tracing.tracer import require_tracer
from orchestrator.errors import RunError

log: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    log.clear()


class ApiError(ValueError):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")


@tool(effects="idempotent")
def check(n: int) -> int:
    log.append(f"check {n}")
    if n < 0:
        raise ApiError(400, f"{n} is negative")
    if n == 0:
        raise ZeroDivisionError("zero")
    return n


@tool(effects="pure", cheap=True)
def inline(n: int) -> int:
    if n < 0:
        raise ApiError(400, f"{n} is negative")
    return n


@tool(effects="idempotent")
def note(text: str) -> str:
    log.append(text)
    return text


def raises(error: BaseException) -> None:
    fail_op(require_tracer("raises"), error)


@pytest.mark.parametrize("checked", [check, inline])
def test_a_failure_is_a_value(checked: Callable[[int], int]) -> None:
    @workflow
    def flow(n: int) -> int | Error:
        return attempt(lambda: checked(n))

    assert flow(3) == 3
    error = flow(-1)
    assert isinstance(error, Error)
    assert (error.code, error.message, error.kind) == ("ORCH-R001", "400 -1 is negative", f"{__name__}.ApiError")
    assert error.bases == ("builtins.ValueError", "builtins.Exception", "builtins.BaseException")


def test_a_handler_gets_the_error_and_what_is_around_it() -> None:
    @workflow
    def flow(n: int) -> int | str:
        return attempt(lambda: check(n), lambda error: f"{n}: {error} ({error.kind})")

    assert flow(1) == 1
    assert flow(0) == "0: zero (builtins.ZeroDivisionError)"


@pytest.mark.parametrize(
    ("caught", "takes"),
    [
        (ApiError, True),
        (ValueError, True),
        (Exception, True),
        (BaseException, True),
        ((KeyError, ValueError), True),
        (KeyError, False),
        (ArithmeticError, False),
    ],
)
def test_a_handler_takes_a_class_and_those_that_derive_from_it(caught: Any, takes: bool) -> None:
    @workflow
    def flow(n: int) -> int:
        return attempt(lambda: check(n), lambda error: 7, catching=caught)

    if takes:
        assert flow(-1) == 7
    else:
        with pytest.raises(RunError) as raised:
            flow(-1)
        assert raised.value.message == "`attempt_1.try/check_1` failed: ApiError: 400 -1 is negative"
        assert isinstance(raised.value.__cause__, ApiError)


def test_the_first_handler_that_takes_a_failure_runs() -> None:
    def handlers() -> Any:
        name = f"{__name__}.ApiError"
        return [
            (("builtins.KeyError",), lambda error: "key"),
            ((name,), lambda error: "api"),
            (("builtins.ValueError",), lambda error: "value"),
            ((), lambda error: "any"),
        ]

    @workflow
    def flow(n: int) -> str:
        return attempt_op(require_tracer("f"), lambda: note(f"{check(n)}"), handlers(), None, opts={})  # type: ignore[no-any-return]

    assert (flow(1), flow(-1), flow(0)) == ("1", "api", "any")


def test_the_workflow_itself_raises() -> None:
    @workflow
    def flow(n: int) -> int:
        return branch(n < 3, lambda: check(n), lambda: raises(ApiError(409, f"{n} is too many")))

    assert flow(2) == 2
    with pytest.raises(RunError) as raised:
        flow(4)
    assert raised.value.code == "ORCH-R050"
    assert raised.value.message == f"`branch_1.otherwise/fail_1` raised {__name__}.ApiError: 409 4 is too many"
    assert raised.value.diagnostics[0].where.file == __file__  # type: ignore[union-attr]


def test_what_the_workflow_raises_is_caught_like_anything_else_and_raised_again() -> None:
    @workflow
    def flow(n: int) -> str:
        def inner() -> str:
            return attempt(
                lambda: branch(n > 3, lambda: raises(ApiError(404, f"no {n}")), lambda: note("fine")),
                lambda error: reraise_op(require_tracer("f"), error),  # type: ignore[arg-type]
                catching=ApiError,
            )

        return attempt(inner, lambda error: f"{error.kind}: {error.message}", catching=ValueError)

    assert flow(1) == "fine"
    assert flow(5) == f"{__name__}.ApiError: 404 no 5"


def test_attempts_of_the_ops_come_first() -> None:
    @workflow
    def flow(n: int) -> int:
        return attempt(lambda: check.options(retry=Retry(attempts=3, backoff_s=0))(n), lambda error: 7)

    assert flow(0) == 7
    assert log == ["check 0"] * 3


def test_cleanup_runs_whatever_happens() -> None:
    @workflow
    def flow(n: int) -> int:
        return attempt(lambda: check(n), lambda e: 7, catching=ValueError, cleanup=lambda: note("cleaned"))

    assert flow(1) == 1
    assert flow(-1) == 7
    with pytest.raises(RunError, match="zero"):
        flow(0)
    assert log == ["check 1", "cleaned", "check -1", "cleaned", "check 0", "cleaned"]


def test_a_failure_in_the_cleanup_replaces_the_first() -> None:
    @workflow
    def flow(n: int) -> int:
        return attempt(lambda: check(n), lambda e: 7, catching=KeyError, cleanup=lambda: raises(KeyError("oops")))

    with pytest.raises(RunError) as raised:
        flow(0)
    assert raised.value.message == "`attempt_1.finally[0]/fail_1` raised KeyError: 'oops'"
    assert raised.value.__cause__ is not None
    with pytest.raises(RunError, match="KeyError: 'oops'"):
        flow(1)


def test_a_map_collects_failures_in_their_places() -> None:
    @workflow
    def flow(numbers: list[int]) -> list[int | Error]:
        return map_(check, numbers, limit=9, on_error="collect")

    values = flow([3, -1, 4, 0])
    assert [each if isinstance(each, int) else each.message for each in values] == [3, "400 -1 is negative", 4, "zero"]


def test_a_map_of_several_results_collects_in_each_of_them() -> None:
    @workflow
    def flow(numbers: list[int]) -> str:
        twice, names = map_(lambda n: (check(n) * 2, note(f"n{n}")), numbers, limit=9, on_error="collect")
        return f"{twice[0]} {names[0]} | {twice[1]} {names[1]}"

    assert flow([3, 0]) == "6 n3 | zero zero"


def test_a_map_collects_what_only_computes_and_what_always_raises() -> None:
    @workflow
    def flow(numbers: list[int]) -> list[int | Error]:
        fine = map_(inline, numbers, limit=9, on_error="collect")
        raised = map_(lambda n: raises(ValueError(f"{n}")), numbers, limit=9, on_error="collect")
        return fine + raised  # type: ignore[return-value]

    assert [str(each) for each in flow([1, -1])] == ["1", "400 -1 is negative", "1", "-1"]


@pytest.mark.parametrize("n", [1, 0])
def test_effects_keep_their_order_in_and_around_attempts(n: int) -> None:
    @workflow
    def flow(n: int) -> str:
        note("a")

        def body() -> object:
            note("b")
            check(n)
            return note("c")

        attempt(body, lambda error: note(f"caught {error}"), cleanup=lambda: note("cleaned"))
        return note("d")

    assert flow(n) == "d"
    last = "c" if n else "caught zero"
    assert log == ["a", "b", f"check {n}", last, "cleaned", "d"]


def test_nothing_is_written_behind_what_raises() -> None:
    @workflow
    def flow(n: int) -> str:
        def body() -> str:
            note("before")
            branch(n > 1, lambda: raises(KeyError("too many")), lambda: None)
            return note("behind")

        return attempt(body, lambda error: note(f"{error}"))

    assert (flow(1), flow(2)) == ("behind", "'too many'")
    assert log == ["before", "behind", "before", "'too many'"]
