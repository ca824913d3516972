"""Invalid modules: the code, and the user's line."""

from __future__ import annotations

import pytest

from orchestrator.errors import CompileError, IRError
from orchestrator.ir.text import parse
from orchestrator.ir.verify import verify
from orchestrator.passes.pipeline import run_pipeline

STR = '!agent.value<"str">'
PROMPT = f'"agent.prompt"() {{id = "p", parts = ["x"], opts = {{}}}} : () -> {STR} loc("p"("app.py":3:0))'


def module(*ops: str, last: str = '"agent.yield"() : () -> ()') -> str:
    return '"agent.workflow"() ({\n' + "\n".join([*ops, last]) + '\n}) {sym_name = "w", opts = {}} : () -> ()'


@pytest.mark.parametrize(
    ("code", "op"),
    [
        ("ORCH-I011", PROMPT),
        ("ORCH-I012", f'"agent.prompt"() {{id = "b", parts = ["x", "y"], opts = {{}}}} : () -> {STR}'),
        ("ORCH-I017", '"agent.nonsense"() {id = "b"} : () -> ()'),
        ("ORCH-I018", f'"agent.const"() {{id = "b", opts = {{}}}} : () -> {STR}'),
        ("ORCH-I019", '"agent.chat"() {id = "b", opts = {}} : () -> ()'),
        ("ORCH-I016", '"agent.arm"() {id = "b"} : () -> ()'),
        ("ORCH-I014", '"agent.arm"() ({\n^bb0:\n}) {id = "b"} : () -> ()'),
    ],
)
def test_a_violation_has_its_code_and_line(code: str, op: str) -> None:
    text = module(PROMPT, op if op is PROMPT else f'{op} loc("b"("app.py":7:0))')
    with pytest.raises(IRError) as caught:
        verify(parse(text))
    where = caught.value.diagnostics[0].where
    assert where is not None
    assert (caught.value.code, where.file, where.line) == (code, "app.py", 3 if op is PROMPT else 7)


def test_all_violations_are_reported() -> None:
    with pytest.raises(IRError) as caught:
        verify(parse(module(PROMPT, PROMPT, PROMPT)))
    assert len(caught.value.diagnostics) == 2


def test_a_loop_needs_a_bound() -> None:
    region = '{\n"agent.yield"() : () -> ()\n}'
    with pytest.raises(IRError, match="max is 0"):
        verify(
            parse(module(f'"agent.loop"() ({region}, {region}) {{id = "l", max = 0 : i64, opts = {{}}}} : () -> ()'))
        )


def test_text_that_is_not_mlir_names_line_and_column() -> None:
    with pytest.raises(IRError, match="line 2, column 6") as caught:
        parse('\n "b"({x = } : () -> ()', file="flow.mlir")
    assert caught.value.code == "ORCH-I002"
    where = caught.value.diagnostics[0].where
    assert where is not None
    assert (where.file, where.line) == ("flow.mlir", 2)


def test_a_module_without_a_workflow() -> None:
    with pytest.raises(IRError) as caught:
        verify(parse("module {}"))
    assert caught.value.code == "ORCH-I001"


def test_a_pass_that_breaks_the_module_is_named() -> None:
    class Breaker:
        name = "breaker"

        def run(self, broken: object) -> None:
            from orchestrator.ir.walk import tree

            del tree(broken).bodies[0].nodes[0].op.attributes["parts"]

    with pytest.raises(CompileError, match="`breaker` broke the IR") as caught:
        run_pipeline(parse(module(PROMPT)), passes=[Breaker()])
    assert caught.value.code == "ORCH-C001"
