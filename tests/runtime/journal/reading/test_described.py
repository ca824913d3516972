"""What a store keeps of a version of a workflow, for people."""

from __future__ import annotations

import pytest

from orchestrator import map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.journal.lines.paths import paths_of
from orchestrator.runtime.journal.reading.described import Described, described, read


@tool(effects="idempotent")
def noted(text: str) -> str:
    """It notes a text."""
    return text


@workflow
def each(texts: list[str]) -> list[str]:
    return map_(noted, texts)


def test_a_path_of_keys_reads_as_one_of_names() -> None:
    compiled = compile_workflow(each)
    program = compiled.program
    found = read(described(program, compiled.plan))
    for region in program.regions.values():
        frame = region.key.replace("/", "[3]/")
        for op in region.ops():
            name, op_said = found.named(paths_of(program).written(frame, op.id))
            assert name == frame + op.id
            assert op_said is not None
            assert op_said.seconds is not None
            assert (op_said.where or "").partition(":")[0].endswith("test_described.py")


def test_a_key_that_nobody_knows_stays_as_it_is() -> None:
    assert Described().named("map[3]/9f3c01ab~2") == ("map[3]/9f3c01ab~2", None)


@pytest.mark.parametrize("data", [None, b"", b"\xff", b"[]", b'{"format": 2}', b'{"format": 1, "ops": {"a": {}}}'])
def test_what_cannot_be_read_describes_nothing(data: bytes | None) -> None:
    assert read(data) == Described()
