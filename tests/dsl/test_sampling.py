"""Options of model calls: each is checked where it is written, and reaches the op under its own name."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import llm, options, workflow
from orchestrator.dsl.options import ACCEPTED
from orchestrator.dsl.sampling import PASSED, Sampling, matches
from tests.dsl.diagnosing import diagnose, the_error
from tests.dsl.recording import record

RIGHT: dict[str, Any] = {
    "frequency_penalty": -2, "presence_penalty": 0.5, "repetition_penalty": 1.1, "top_k": -1, "min_p": 0.05,
    "logit_bias": {50256: -100}, "min_tokens": 3, "stop_token_ids": [1, 2], "bad_words": ["no"],
    "allowed_token_ids": (7,),
    "ignore_eos": True, "skip_special_tokens": False, "spaces_between_special_tokens": True,
    "include_stop_str_in_output": True, "thinking_token_budget": 0, "reasoning_effort": "minimal", "verbosity": "low",
    "service_tier": "flex",
}  # fmt: skip
WRONG: dict[str, Any] = {
    "frequency_penalty": 2.1, "presence_penalty": "high", "repetition_penalty": 0, "top_k": True, "min_p": -0.1,
    "logit_bias": {"the": 1}, "min_tokens": -1, "stop_token_ids": [], "bad_words": "no", "allowed_token_ids": [-1],
    "ignore_eos": "yes", "skip_special_tokens": 1, "spaces_between_special_tokens": 0,
    "include_stop_str_in_output": "x",
    "thinking_token_budget": 1.5, "reasoning_effort": " ", "verbosity": "loud", "service_tier": 1,
}  # fmt: skip


def test_every_option_has_a_test_and_is_in_the_types() -> None:
    assert set(PASSED) == set(RIGHT) == set(WRONG)
    assert set(PASSED) <= set(Sampling.__annotations__) <= set(ACCEPTED)


def test_options_reach_the_op_as_they_are() -> None:
    @workflow
    def flow(question: str) -> str:
        with options(top_k=20):
            return llm(question, extra_body={"guard": {"on": True}}, **{**RIGHT, "top_k": None})

    op = record(flow)["llm_1"]
    assert op.opts["top_k"] == 20
    assert op.opts["logit_bias"] == {"50256": -100.0}
    assert op.opts["allowed_token_ids"] == [7]
    assert op.opts["extra_body"] == '{"guard": {"on": true}}'
    assert {name: op.opts[name] for name in ("ignore_eos", "verbosity")} == {"ignore_eos": True, "verbosity": "low"}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_options_are_reported(name: str) -> None:
    def flow(question: str) -> str:
        return llm(question, **{name: WRONG[name]})  # D041

    error = the_error(flow)
    assert error.message == f"{name}={WRONG[name]!r}"
    assert (error.fix or "").startswith(f"{name} is ")


@pytest.mark.parametrize(
    "wrong",
    [{1: 2}, {"a": float("nan")}, {"a": object()}, ["a"], {"a": (1,)}],
    ids=["key", "nan", "object", "list", "tuple"],
)
def test_an_extra_body_is_json(wrong: Any) -> None:
    def flow(question: str) -> str:
        return llm(question, extra_body=wrong)  # D041

    assert (the_error(flow).fix or "").startswith("extra_body is a dict that is JSON")


def test_a_choice_is_the_type_of_the_reply() -> None:
    @workflow
    def flow(question: str) -> str:
        return llm(question, choice=["yes", "no"])

    op = record(flow)["llm_1"]
    assert op.results[0].type == "Literal['no', 'yes']"
    assert op.opts["choice"] == ["yes", "no"]
    assert "schema" not in op.opts


def test_what_says_the_same_twice_is_refused() -> None:
    def flow(question: str) -> str:
        llm(question, choice=["a", "b"], regex="a|b")  # D041
        llm(question, returns=int, regex="[0-9]+")  # D041
        llm(question, min_tokens=5, max_tokens=4)  # D041
        return question

    assert [error.message for error in diagnose(flow)] == [
        "choice= and regex= in one call",
        "returns= and regex= in one call",
        "min_tokens=5, and max_tokens=4",
    ]


@pytest.mark.parametrize("wrong", [r"(", r"(a)\1", r"(?=a)b", "", "a)|(b", "\ud800"], ids=ascii)
def test_a_pattern_that_takes_more_than_linear_time_or_is_none_is_refused(wrong: str) -> None:
    def flow(question: str) -> str:
        return llm(question, regex=wrong)  # D041

    assert "without look-around" in (the_error(flow).fix or "")


def test_options_of_other_libraries_are_named() -> None:
    def flow(question: str) -> str:
        llm(question, n=3)  # type: ignore[call-overload]  # D041
        llm(question, guided_choice=["a"])  # type: ignore[call-overload]  # D041
        llm(question, response_format={})  # type: ignore[call-overload]  # D041
        return question

    assert [(error.fix or "").partition(":")[0] for error in diagnose(flow)] == [
        "write samples=n",
        "did you mean `choice`?",
        "write returns= and a type, such as a pydantic model",
    ]


def test_a_pattern_matches_whole_texts_only() -> None:
    assert matches("a|bc", "bc")
    assert not matches("a|bc", "abc")
    assert not matches("a", "a\n")
    assert not matches("(a+)+", "a" * 50_000 + "b")
