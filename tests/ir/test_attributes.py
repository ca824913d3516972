"""What the IR cannot hold is an error at the user's line."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import branch, llm, tool, workflow
from orchestrator.errors import TraceError, UnrepresentableError
from orchestrator.ir._mlir import ir
from orchestrator.ir.attributes import to_attribute
from orchestrator.ir.walk import to_python


@tool(effects="pure")
def length(text: str) -> int:
    return len(text)


def a_prompt(question: str) -> str:
    return branch(llm(question, returns=bool), then=lambda: llm(f"{question} \ud83d"), otherwise=lambda: "no")


def a_constant(question: str) -> str:
    return f"{length(chr(0xDC00))}"


@pytest.mark.parametrize("function", [a_prompt, a_constant])
def test_text_with_a_lone_surrogate(function: Any) -> None:
    flow = workflow(function)
    with pytest.raises(TraceError, match="lone surrogate") as caught:
        flow.trace()
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "ORCH-D013"
    assert diagnostic.where is not None
    assert diagnostic.where.line == flow.where.line + 1


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, {"": 1}, {"a\0b": 1}, [{"deep": "\udc00"}]])
def test_values_without_an_attribute(value: object) -> None:
    with ir.Context(), pytest.raises(UnrepresentableError):
        to_attribute(value)


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 0.1, True, "a\0é\n", {"k": [{"a": []}, {}]}])
def test_values_come_back_as_they_were(value: object) -> None:
    with ir.Context():
        assert to_python(to_attribute(value)) == value
