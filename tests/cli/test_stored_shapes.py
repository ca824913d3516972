"""A text means what its source does, whatever its types, names and values are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator import compiler
from orchestrator.cli.stored import stored_text
from orchestrator.cli.target import load_target
from orchestrator.dsl.workflow import Workflow
from orchestrator.errors import UsageError
from orchestrator.ir.hash import module_hash, op_hashes
from orchestrator.testing import fake
from tests.cli import stored_shapes

FLOWS = {name: each for name, each in vars(stored_shapes).items() if isinstance(each, Workflow)}
INPUTS: dict[str, Any] = {"n": 3, "keys_given": {"a": 1}, "given": [{"role": "user", "content": "hü"}]}
CALL = {"thought": "t", "action": {"tool": "lookup", "args": {"key": "k"}}}
FINISH = {"thought": "t", "action": {"tool": "finish", "answer": "40"}}
REPLIES: dict[str, list[Any]] = {
    "typed_dict_replies": [{"a": 4}],
    "literal_replies": ['say "hi"'],
    "fancy_replies": [{"money": "2.50", "either": "q", "key": 'b"'}],
    "generic_replies": ['[{"held": {"wert": 2}, "More": [{}]}]'],
    "described_replies": ["4"],
    "bounded_replies": ['no "way"', '12"'],
    "offered": [CALL],
    "agent_with_deps": [CALL, FINISH],
}


def outcome(flow: Workflow[..., Any], replies: list[Any]) -> tuple[str, list[Any]]:
    """What a workflow gives, and what its model was told."""
    given = {name: INPUTS.get(name, "ab") for name in flow.boundary.params if name not in flow.defaults}
    with fake(replies) as engine:
        value = flow(**given)
    return repr(value), [(request.messages, request.sampling) for request in engine.requests]


@pytest.mark.parametrize("name", FLOWS)
def test_its_text_gives_the_same_and_asks_the_same(name: str, tmp_path: Path) -> None:
    source, file = FLOWS[name], tmp_path / "flow.mlir"
    traced = source.trace()
    file.write_text(stored_text(traced, source.defaults, file), encoding="utf-8")
    text = load_target(str(file)).workflow
    assert op_hashes(text.trace().module) == op_hashes(traced.module)
    assert module_hash(text.trace().module) == module_hash(traced.module)
    assert compiler.compile(text).hash == compiler.compile(source).hash
    replies = REPLIES.get(name, ["one", "two"])
    assert outcome(text, replies) == outcome(source, replies)


def test_a_default_that_is_no_text_is_refused(tmp_path: Path) -> None:
    source = stored_shapes.part
    with pytest.raises(UsageError, match="the default of `x` cannot be written: text with the lone surrogate") as error:
        stored_text(source.trace(), {"x": "\ud83d"}, tmp_path / "flow.mlir")
    assert {each.code for each in error.value.diagnostics} == {"ORCH-U017"}
