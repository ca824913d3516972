"""What ``@tool`` accepts, and what it says of the rest."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrator import tool, workflow
from orchestrator.errors import TraceError
from tests.dsl.recording import record


def fetch(url: str) -> str:
    return url


def opts_of(**options: Any) -> Any:
    @workflow
    def flow(url: str) -> str:
        return tool(fetch, **options)(url)

    return record(flow)["fetch_1"].opts


def problem_with(**options: Any) -> Any:
    with pytest.raises(TraceError) as caught:
        opts_of(**options)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.where is not None
    assert diagnostic.where.file == __file__
    assert diagnostic.fix
    return diagnostic


@pytest.mark.parametrize("five", [5, 5.0, "5s", "5000 ms", timedelta(seconds=5)])
def test_a_timeout_is_written_as_that_of_a_model_call(five: Any) -> None:
    assert opts_of(timeout=five)["timeout_s"] == 5.0


def test_the_former_name_of_the_timeout_means_the_same() -> None:
    assert opts_of(timeout_s=5)["timeout_s"] == 5.0
    error = problem_with(timeout=5, timeout_s=6)
    assert (error.code, error.fix) == ("ORCH-D041", "leave out `timeout_s`")


@pytest.mark.parametrize(
    ("options", "message", "fix"),
    [
        ({"effects": "prue"}, "tool `fetch`: effects='prue'", 'did you mean "pure"?'),
        ({"effects": None}, "tool `fetch`: effects=None", "effects is one of 'pure', 'reads', 'idempotent', 'once'"),
        (
            {"effects": ["pure"]},
            "tool `fetch`: effects=['pure']",
            "effects is one of 'pure', 'reads', 'idempotent', 'once'",
        ),
        ({"kind": "retreive"}, "tool `fetch`: kind='retreive'", 'did you mean "retrieve"?'),
        ({"typical_s": "0.5"}, "tool `fetch`: typical_s='0.5'", "typical_s is a number of seconds, such as 0.5"),
        ({"typical_s": -1}, "tool `fetch`: typical_s=-1", "typical_s is a number of seconds, such as 0.5"),
        ({"typical_s": float("nan")}, "tool `fetch`: typical_s=nan", "typical_s is a number of seconds, such as 0.5"),
        ({"typical_s": True}, "tool `fetch`: typical_s=True", "typical_s is a number of seconds, such as 0.5"),
        ({"effect": "pure"}, "tool has no option `effect`", "did you mean `effects`?"),
    ],
)
def test_options_that_are_wrong(options: dict[str, Any], message: str, fix: str) -> None:
    error = problem_with(**options)
    assert error.code == "ORCH-D041"
    assert (error.message, error.fix) == (message, fix)


def test_an_option_that_is_wrong_is_reported_once_however_often_the_tool_is_called() -> None:
    typo = tool(fetch, effects="prue")  # type: ignore[call-overload]

    @workflow
    def flow(url: str) -> str:
        return str(typo(typo(url)))

    with pytest.raises(TraceError) as caught:
        record(flow)
    assert len(caught.value.diagnostics) == 1


def test_two_tools_of_one_function_are_each_checked() -> None:
    first, second = tool(fetch, effects="prue"), tool(fetch, effects="onec")  # type: ignore[call-overload]

    @workflow
    def flow(url: str) -> str:
        return str(first(second(url)))

    with pytest.raises(TraceError) as caught:
        record(flow)
    assert [each.fix for each in caught.value.diagnostics] == ['did you mean "once"?', 'did you mean "pure"?']
