"""Every workflow of the gallery can be written to a text, which runs as its source does."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from pydantic.warnings import ArbitraryTypeWarning

from orchestrator import compiler
from orchestrator.cli.stored import stored_text
from orchestrator.cli.target import load_target
from orchestrator.dsl.workflow import Workflow
from orchestrator.errors import UsageError
from orchestrator.ir.hash import op_hashes
from orchestrator.testing import fake
from tests.examples.test_gallery import FOLDER, NAMES, RUNS, flow

CALL = {"thought": "t", "action": {"tool": "price", "args": {"article": "A-17"}}}
WRONG = {"thought": "t", "action": {"tool": "stock", "args": {"town": "Berlin"}}}
ANSWER = {"thought": "t", "action": {"tool": "finish", "answer": "40"}}
ASKED: list[tuple[str, tuple[Any, ...], dict[str, Any], Any]] = [
    *((name, inputs, {"engine": replies}, expected) for name, inputs, replies, expected, _ in RUNS),
    ("rag", ("When?",), {"engine": {"answer": {"text": "1932", "sources": ["p1"]}}},
     {"text": "1932", "sources": ["p1"]}),
    ("triage", ("I paid twice", "A-17"),
     {"engine": {"read": {"wants_refund": True, "amount": 80.0}, "tell": "done", "refuse": "no"},
      "answers": {"approve": "no"}}, "no"),
    ("react_agent", ("What does A-17 cost?",), {"engine": [CALL, WRONG, ANSWER]}, "40"),
]  # fmt: skip


def text_of(workflow: Workflow[..., Any], file: Path) -> Workflow[..., Any]:
    """The workflow that its text holds, once that is written to a file."""
    file.write_text(stored_text(workflow.trace(), workflow.defaults, file), encoding="utf-8")
    return load_target(str(file)).workflow


def answered(workflow: Workflow[..., Any], inputs: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, list[str]]:
    """What a workflow gives, and what its model was asked."""
    with fake(**given) as engine:
        value = workflow(**dict(zip(workflow.boundary.params, inputs, strict=False)))
    asked = [message.content for request in engine.requests for message in request.messages]
    return value.model_dump() if hasattr(value, "model_dump") else value, asked


def test_all_of_the_gallery_is_tried() -> None:
    assert sorted({each[0] for each in ASKED}) == NAMES


@pytest.mark.parametrize(
    ("name", "inputs", "given", "expected"), ASKED, ids=[f"{n}-{each[0]}" for n, each in enumerate(ASKED)]
)
def test_its_text_means_the_same(
    name: str, inputs: tuple[Any, ...], given: dict[str, Any], expected: Any, tmp_path: Path
) -> None:
    source, text = flow(name), text_of(flow(name), tmp_path / "flow.mlir")
    assert op_hashes(text.trace().module) == op_hashes(source.trace().module)
    assert compiler.compile(text).hash == compiler.compile(source).hash
    with warnings.catch_warnings():
        warnings.simplefilter("error", ArbitraryTypeWarning)  # a type that pydantic does not check
        assert answered(text, inputs, given) == answered(source, inputs, given)
    assert answered(text, inputs, given)[0] == expected


def test_a_tool_of_an_agent_that_has_changed_is_named(tmp_path: Path) -> None:
    source = tmp_path / "agent.py"
    source.write_text((FOLDER / "react_agent.py").read_text(encoding="utf-8"), encoding="utf-8")
    text_of(load_target(str(source)).workflow, file := tmp_path / "flow.mlir")
    other = tmp_path / "other.mlir"
    other.write_text(file.read_text().replace('of = ["price", "percent"', 'of = ["percent", "price"'))
    with pytest.raises(UsageError) as caught:
        load_target(str(other))
    assert [each.code for each in caught.value.diagnostics] == ["ORCH-U016"]
    assert "builtin.read_call_" in str(caught.value)
    other.write_text(file.read_text().replace('of = ["price"', 'of = ["prise"'))
    with pytest.raises(UsageError, match="made of `prise`, which is none of the other tools"):
        load_target(str(other))


def test_tools_of_a_text_can_be_replaced(tmp_path: Path) -> None:
    text = text_of(flow("react_agent"), tmp_path / "flow.mlir")
    with fake([CALL, ANSWER], tools={"price": lambda article: 7.25}) as engine:
        text(question="What does A-17 cost?")
    assert "7.25" in engine.requests[1].messages[-1].content
    with fake([CALL, ANSWER]) as engine:
        text(question="What does A-17 cost?")
    assert "40" in engine.requests[1].messages[-1].content
