"""Static parameters are known while a workflow is traced, and each value is compiled on its own."""

from __future__ import annotations

import pickle
from enum import Enum
from typing import Any, Literal

import pytest

from orchestrator import Static, llm, run, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.workflow import Workflow
from orchestrator.errors import RunError, TraceError
from orchestrator.testing import fake
from tests.dsl.diagnosing import the_error
from tests.dsl.recording import record


class Style(Enum):
    PLAIN = "plain"
    LOUD = "loud"


@workflow
def answer(question: str, verbose: Static[bool], style: Static[Style] = Style.PLAIN) -> str:
    prompt = f"{question} At length." if verbose else f"{question}"
    return llm(prompt) if style is Style.PLAIN else llm(f"{prompt} LOUD")


def test_python_decides_while_tracing() -> None:
    with fake(lambda messages: messages[-1].content):
        assert answer("Why?", verbose=False) == "Why?"
        assert answer("Why?", True) == "Why? At length."
        assert answer("Why?", verbose=False, style=Style.LOUD) == "Why? LOUD"
        assert run(answer, {"question": "Why?", "verbose": True}).value == "Why? At length."


def test_each_value_is_compiled_once() -> None:
    loud, quiet = answer.given(verbose=True), answer.given(verbose=False)
    assert compile_workflow(loud) is compile_workflow(answer.given(verbose=True))
    assert compile_workflow(loud).hash != compile_workflow(quiet).hash
    assert list(compile_workflow(loud).params) == ["question"]
    assert list(compile_workflow(loud.given()).params) == ["question"]


def test_one_and_true_are_two_values() -> None:
    @workflow
    def flow(x: str, times: Static[int | bool]) -> str:
        return f"{x}{times}"

    with fake():
        assert [flow("a", 1), flow("a", True), flow("a", 1)] == ["a1", "aTrue", "a1"]


def test_values_are_checked_by_their_type() -> None:
    with fake(), pytest.raises(RunError, match=r"ORCH-R007.*`verbose` of workflow `answer`: 'maybe' is no bool"):
        answer("Why?", verbose="maybe")  # type: ignore[arg-type]
    with pytest.raises(TraceError, match=r"ORCH-D044.*`verbose` of workflow `answer` has no value"):
        compile_workflow(answer)
    with pytest.raises(TraceError, match="no static parameter `question`"):
        answer.given(verbose=True, question="Why?")


def test_what_is_no_json_cannot_be_static() -> None:
    @workflow
    def flow(x: str, how: Static[Any] = print) -> str:
        return x

    with pytest.raises(TraceError, match="cannot be written as JSON"):
        compile_workflow(flow)


def test_an_inlined_workflow_needs_a_value_that_is_known() -> None:
    def outer(question: str, verbose: bool) -> str:
        return answer(question, verbose)  # D044

    def fixed(question: str) -> str:
        return answer(question, verbose=True) + answer(question, verbose=False)

    def missing(question: str) -> str:
        return answer(question)  # type: ignore[call-arg]  # D012

    assert "`verbose` is only known when the workflow runs" in the_error(outer).message
    the_error(missing)
    with fake(lambda messages: messages[-1].content):
        assert workflow(fixed)("Why?") == "Why? At length.Why?"


def test_a_static_parameter_may_stand_before_others_and_in_methods() -> None:
    class Asking:
        @workflow
        def ask(self, loud: Static[bool], question: str) -> str:
            return llm(question + ("!" if loud else ""))

    with fake(lambda messages: messages[-1].content):
        assert Asking().ask(True, "Why") == "Why!"
        assert Asking().ask(loud=False, question="Why") == "Why"


def test_variants() -> None:
    @workflow
    def counted(x: str, mode: Static[Literal["a", "b"]], flag: Static[bool]) -> str:
        return x

    @workflow
    def endless(x: str, times: Static[int]) -> str:
        return x

    assert [each.static for each in answer.variants()] == [
        {"verbose": False, "style": Style.PLAIN},
        {"verbose": True, "style": Style.PLAIN},
    ]
    assert len(list(counted.variants())) == 4
    with pytest.raises(TraceError, match="ORCH-D044"):
        list(endless.variants())


def test_a_workflow_with_its_values_is_pickled_with_them() -> None:
    again: Workflow[..., str] = pickle.loads(pickle.dumps(answer.given(verbose=True)))
    assert again.static == {"verbose": True, "style": Style.PLAIN}
    assert repr(answer) == "<Workflow answer(question: str, verbose: Static[bool], style: Static[Style]) -> str>"
    assert record(again).body.arguments[0].type == "str"
