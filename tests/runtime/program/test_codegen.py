"""Which op failed is told by the line of generated code, and wrong results are blamed on the op that returned them."""

from __future__ import annotations

import pickle
from typing import Any, Literal

import pytest

from orchestrator import tool, workflow
from orchestrator.errors import RunError, SourceLoc
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.program.builder import RegionBuilder, Val
from orchestrator.runtime.program.codegen import OneOf, ResultTypeError, check_result
from orchestrator.runtime.program.inline import InlineMap
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import ToolCall
from orchestrator.runtime.result import RunResult
from orchestrator.runtime.services import Engines, Services
from orchestrator.testing import fake
from tests.runtime.executing import execute


def called(f: str, *args: str) -> str:
    return f"{f}({', '.join(args)})"


def at(line: int) -> SourceLoc:
    return SourceLoc("app.py", line)


def half(n: int) -> int:
    if n % 2:
        raise ValueError("odd")
    return n // 2


def text(n: int) -> Any:
    return str(n)


async def wait(n: int) -> int:
    return n


async def run(builder: RegionBuilder, result: Val, *inputs: object) -> RunResult:
    program = Program("test", "hash", ("x",), builder.finish([result]), int)
    return await execute(program, inputs, Services(Engines({})), MemoryJournal(), "run")


async def test_a_chain_runs_as_one_segment_and_leaves_nothing_in_the_journal() -> None:
    body = RegionBuilder("", 1)
    value = body.args[0]
    for n in range(1000):
        value = body.inline(f"inc_{n}", lambda x: f"{x}+1", [value])
    done = await run(body, value, 0)
    assert done.value == 1000
    assert [type(event).__name__ for event in done.events] == ["RunStarted", "RunDone"]


async def test_the_failing_op_is_named_with_its_place() -> None:
    body = RegionBuilder("", 1)
    value = body.args[0]
    for n in range(3):
        value = body.inline(f"half_{n}", called, [value], bind=half, where=at(n), check=int)
    with pytest.raises(RunError) as raised:
        await run(body, value, 12 // 2)
    assert raised.value.code == "ORCH-R001"
    assert "`half_1` failed: ValueError: odd" in raised.value.message
    assert raised.value.diagnostics[0].where == at(1)
    assert isinstance(raised.value.__cause__, ValueError)


async def test_a_failure_inside_an_inline_map_names_the_inner_op() -> None:
    body = RegionBuilder("", 1)
    inner = RegionBuilder("each/", 1, body)
    inner_region = inner.finish([inner.inline("half", called, inner.args, bind=half, where=at(9))])
    out = body.inline("each", called, body.args, bind=InlineMap(inner_region, 1, 10, True), where=at(8))
    assert (await run(body, out, [2, 4])).value == [1, 2]
    body = RegionBuilder("", 1)
    out = body.inline("each", called, body.args, bind=InlineMap(inner_region, 1, 10, True), where=at(8))
    with pytest.raises(RunError) as raised:
        await run(body, out, [2, 3])
    assert raised.value.diagnostics[0].where == at(9)


async def test_a_wrong_result_is_blamed_on_who_returned_it() -> None:
    body = RegionBuilder("", 1)
    wrong = body.inline("text", called, body.args, bind=text, where=at(1), check=int)
    out = body.inline("half", called, [wrong], bind=half, where=at(2), check=int)
    with pytest.raises(RunError) as raised:
        await run(body, out, 4)
    assert raised.value.code == "ORCH-R002"
    assert raised.value.diagnostics[0].where == at(1)


async def test_a_wrong_result_that_nobody_trips_over_is_found_at_the_end_of_the_segment() -> None:
    body = RegionBuilder("", 1)
    wrong = body.inline("text", called, body.args, bind=text, where=at(1), check=int)
    (out,) = body.suspend("wait", ToolCall(wait, "wait", "idempotent", True, "async"), [wrong])
    with pytest.raises(RunError) as raised:
        await run(body, out, 4)
    assert raised.value.code == "ORCH-R002"


async def test_a_map_over_its_limit_fails() -> None:
    body = RegionBuilder("", 1)
    inner = RegionBuilder("each/", 1, body)
    region = inner.finish([inner.inline("half", called, inner.args, bind=half)])
    out = body.inline("each", called, body.args, bind=InlineMap(region, 1, 2, True), where=at(3))
    with pytest.raises(RunError) as raised:
        await run(body, out, [2, 2, 2])
    assert raised.value.code == "ORCH-R005"
    assert raised.value.diagnostics[0].where == at(3)


def test_ops_of_one_trigger_share_a_segment_and_joins_count() -> None:
    body = RegionBuilder("", 1)
    tool = ToolCall(wait, "wait", "idempotent", True, "async")
    (left,) = body.suspend("left", tool, body.args)
    (right,) = body.suspend("right", tool, body.args)
    after_left = body.inline("a", lambda x: f"{x}+1", [left])
    more = body.inline("b", lambda x, y: f"{x}+{y}", [after_left, body.args[0]])
    both = body.inline("c", lambda x, y: f"{x}+{y}", [more, right])
    region = body.finish([body.inline("d", lambda x, y: f"{x}*{y}", [both, left])])
    counts = [(segment.count, pending) for segment, pending in zip(region.segments, region.pending, strict=True)]
    assert counts == [(0, 0), (2, 0), (0, 0), (2, 2)]
    assert not region.sequential


async def test_a_program_survives_pickling_compiled_or_not() -> None:
    body = RegionBuilder("", 1)
    value = body.inline("half", called, body.args, bind=half, check=int)
    (out,) = body.suspend("wait", ToolCall(wait, "wait", "idempotent", True, "async"), [value])
    program = Program("test", "hash", ("x",), body.finish([out]), int)
    for _ in range(2):
        copy: Program = pickle.loads(pickle.dumps(program))
        assert (await execute(copy, (8,), Services(Engines({})), MemoryJournal(), "r")).value == 4
        await execute(program, (8,), Services(Engines({})), MemoryJournal(), "r")


@pytest.mark.parametrize(
    ("declared", "value", "is_right"),
    [
        (OneOf(("é", 'a"b')), 'a"b', True),
        (OneOf(("é", 'a"b')), "e", False),
        (OneOf((1,)), True, False),
        ((int, OneOf(("auto",))), "auto", True),
        ((int, OneOf(("auto",))), "manual", False),
    ],
)
def test_a_literal_takes_its_own_values_only(declared: Any, value: object, is_right: bool) -> None:
    if is_right:
        check_result(value, declared)
        return
    with pytest.raises(ResultTypeError) as caught:
        check_result(value, declared)
    assert repr(value) in str(caught.value)


def test_a_cheap_tool_that_returns_none_of_its_literals_is_blamed() -> None:
    @tool(effects="pure", cheap=True)
    def grade(n: int) -> Literal["gut", "ungenügend"]:
        return "gut" if n > 1 else "genügend"  # type: ignore[return-value]

    @workflow
    def graded(n: int) -> Literal["gut", "ungenügend"]:
        return grade(n)

    with fake():
        assert graded(2) == "gut"
        with pytest.raises(RunError, match=r"it returned 'genügend', and declares 'gut' \| 'ungenügend'") as raised:
            graded(1)
    assert raised.value.code == "ORCH-R002"
