"""Tokens: where they may stand, and that they mean nothing for the hash of an op."""

from __future__ import annotations

import pytest

from orchestrator import branch, loop, parallel, tool, workflow
from orchestrator.dsl.workflow import Workflow
from orchestrator.errors import IRError
from orchestrator.ir.hash import module_hash, op_hashes
from orchestrator.ir.text import parse, to_text
from orchestrator.ir.verify import verify
from orchestrator.ir.views import data_flow, levels
from orchestrator.passes.pipeline import run_pipeline

STR, TOKEN = '!agent.value<"str">', "!agent.token"


DECLARED = "".join(
    f'"agent.declare_tool"() {{name = "{effects}", path = "", code = "", effects = "{effects}", params = ["x"], '
    'types = ["str"], required = ["x"], returns = "str", opts = {}} : () -> ()\n'
    for effects in ("pure", "reads", "once")
)


def call(name: str, effects: str, takes: str, gives: str) -> str:
    attrs = f'callee = "{effects}", effects = "{effects}", id = "{name}", opts = {{}}, params = ["x"]'
    return f'"agent.tool"({takes}) {{{attrs}}} : ({", ".join([STR, *[TOKEN] * takes.count(",")])}) -> {gives}'


def flow(*ops: str, last: str = '"agent.yield"() : () -> ()') -> str:
    return (
        f'{DECLARED}"agent.workflow"() ({{\n^bb0(%q: {STR}):\n'
        + "\n".join([*ops, last])
        + '\n}) {sym_name = "w", opts = {}} : () -> ()'
    )


FIRST = "%a, %t = " + call("first", "once", "%q", f"({STR}, {TOKEN})")
COND = '%c = "agent.const"() {id = "c", opts = {}, value = "true"} : () -> !agent.value<"bool">'


@pytest.mark.parametrize(
    ("wrong", "op", "text"),
    [
        ("it gives a token, and has no effects", "b", flow("%b:2 = " + call("b", "pure", "%q", f"({STR}, {TOKEN})"))),
        (
            "a token stands before another operand",
            "b",
            flow(
                FIRST,
                f'"agent.prompt"(%t, %q) {{id = "b", opts = {{}}, parts = ["", "", ""]}} : ({TOKEN}, {STR}) -> {STR}',
            ),
        ),
        ("a token leaves its region", "w", flow(FIRST, last=f'"agent.yield"(%t) : ({TOKEN}) -> ()')),
        (
            "it takes a token from outside of its region",
            "b",
            flow(
                FIRST,
                COND,
                '"agent.branch"(%c) ({\n' + call("b", "once", "%q, %t", f"({STR}, {TOKEN})")
                + '\n"agent.yield"() : () -> ()\n}, {\n"agent.yield"() : () -> ()\n}) {id = "br", opts = {}} '
                ': (!agent.value<"bool">) -> ()',
            ),
        ),
    ],
)  # fmt: skip
def test_a_token_where_none_may_be_is_refused(wrong: str, op: str, text: str) -> None:
    with pytest.raises(IRError) as raised:
        verify(parse(text))
    assert (raised.value.code, raised.value.message) == ("ORCH-I028", f"`{op}`: {wrong}")


def test_tokens_do_not_count_as_operands_or_results() -> None:
    verify(parse(flow(FIRST, "%b:2 = " + call("second", "reads", "%q, %t", f"({STR}, {TOKEN})"))))
    with pytest.raises(IRError) as raised:
        asked = f'"agent.ask"(%q, %q, %t) {{id = "x", opts = {{}}, returns = "str"}} : ({STR}, {STR}, {TOKEN}) -> {STR}'
        verify(parse(flow(FIRST, asked)))
    assert "agent.ask has 2 operands; 1 to 1 are allowed" in str(raised.value)


@tool(effects="once")
def write(x: str) -> str:
    return x


@tool(effects="reads")
def read(x: str) -> str:
    return x


@workflow
def one(q: str) -> str:
    return read(q)


@workflow
def behind(q: str) -> str:
    write(q)
    return read(q)


@workflow
def looped(q: str) -> str:
    write(q)
    return loop(lambda s: write(read(s)), q, max=2)


@workflow
def loop_alone(q: str) -> str:
    return loop(lambda s: write(read(s)), q, max=2)


@workflow
def in_order(q: str) -> str:
    write(q)
    return write(q)


@workflow
def in_any_order(q: str) -> str:
    with parallel():
        write(q)
        return write(q)


@workflow
def arms(q: str, go: bool) -> str:
    write(q)
    return branch(go, lambda: write(read(q)), lambda: q)


def test_the_hash_of_an_op_is_that_of_what_it_computes_whatever_stands_before_it() -> None:
    alone, after = op_hashes(one.trace().module), op_hashes(behind.trace().module)
    assert alone["read_1"] == after["read_1"]
    alone, after = op_hashes(loop_alone.trace().module), op_hashes(looped.trace().module)
    assert alone["loop_1"] == after["loop_1"]


def test_the_hash_of_a_module_tells_who_waits_for_whom() -> None:
    first, second = in_order.trace().module, in_any_order.trace().module
    rename = lambda module: to_text(module).replace("in_any_order", "in_order")  # noqa: E731
    named = module_hash(parse(rename(first))), module_hash(parse(rename(second)))
    assert named[0] != named[1]
    assert set(op_hashes(first).values()) & set(op_hashes(second).values())


@pytest.mark.parametrize("wf", [one, behind, looped, in_any_order, arms])
def test_tokens_survive_text_and_passes(wf: Workflow[..., str]) -> None:
    module = wf.trace().module
    again = parse(to_text(module))
    verify(again)
    assert to_text(again) == to_text(module)
    level2, _ = run_pipeline(again)
    assert to_text(level2).count("!agent.token)") == to_text(module).count("!agent.token)")


def test_views_know_the_order() -> None:
    assert ("write_1", "write_2") in data_flow(in_order.trace().module).edges
    assert levels(in_any_order.trace().module) == [["write_1", "write_2"]]
