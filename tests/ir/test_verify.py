"""Invalid modules: the code, and the user's line."""

from __future__ import annotations

from collections import Counter

import pytest

from orchestrator.errors import CompileError, IRError
from orchestrator.ir.text import parse
from orchestrator.ir.typecheck import fits
from orchestrator.ir.verify import verify
from orchestrator.ir.walk import Node
from orchestrator.passes.canonicalise import Canonicalise
from orchestrator.passes.decompose import Decompose
from orchestrator.passes.pipeline import run_pipeline

STR = '!agent.value<"str">'
B = 'id = "b", opts = {}'
PROMPT = f'"agent.prompt"() {{id = "p", parts = ["x"], opts = {{}}}} : () -> {STR} loc("p"("app.py":3:0))'
LOWERED = (
    '"op.call"() {{callee = "", effects = "pure", id = "b", kind = "{kind}", opts = {opts}, params = [], place = ""}} '
    ': () -> !agent.value<"{type}">'
)


ILL_TYPED = """
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">, %n: !agent.value<"int">):
  %c = "agent.chat"() {id = "chat", opts = {}} : () -> !agent.value<"Chat">
  %r:2 = "agent.generate"(%c, %q) {id = "turn", model = "m", opts = {}, returns = "int", samples = 1 : i64}
    : (!agent.value<"Chat">, !agent.value<"str">) -> (!agent.value<"str">, !agent.value<"Chat">)
  %f = "agent.field"(%n) {id = "part", path = "a b", opts = {}} : (!agent.value<"int">) -> !agent.value<"Any">
  %b = "agent.branch"(%q) ({
    "agent.yield"(%n) : (!agent.value<"int">) -> ()
  }, {
    "agent.yield"(%f) : (!agent.value<"Any">) -> ()
  }) {id = "either", opts = {}} : (!agent.value<"str">) -> !agent.value<"list[int]">
  %l = "agent.loop"(%n) ({
  ^bb0(%s: !agent.value<"int">):
    "agent.yield"(%s) : (!agent.value<"int">) -> ()
  }, {
  ^bb0(%s: !agent.value<"str">):
    "agent.yield"(%s) : (!agent.value<"str">) -> ()
  }) {id = "again", max = 3 : i64, opts = {}} : (!agent.value<"int">) -> !agent.value<"int">
  "agent.yield"(%l) : (!agent.value<"int">) -> ()
}) {sym_name = "demo", opts = {params = ["q", "n"]}} : () -> ()
"""


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
        ("ORCH-I020", '"agent.prompt"() {id = "b", parts = ["x"], opts = {}} : () -> !agent.value<"int">'),
        ("ORCH-I021", f'"agent.tool"() {{callee = "f", effects = "pure", params = ["x"], {B}}} : () -> {STR}'),
        ("ORCH-I022", f'"agent.tool"() {{callee = "f", effects = "prue", params = [], {B}}} : () -> {STR}'),
        ("ORCH-I018", LOWERED.format(kind="prompt", opts="{}", type="str")),
        ("ORCH-I012", LOWERED.format(kind="prompt", opts='{parts = ["x", "y"]}', type="str")),
        ("ORCH-I020", LOWERED.format(kind="prompt", opts='{parts = ["x"]}', type="int")),
        ("ORCH-I020", LOWERED.format(kind="chat", opts="{}", type="str")),
    ],
)
def test_a_violation_has_its_code_and_line(code: str, op: str) -> None:
    text = module(PROMPT, op if op is PROMPT else f'{op} loc("b"("app.py":7:0))')
    with pytest.raises(IRError) as caught:
        verify(parse(text))
    where = caught.value.diagnostics[0].where
    assert where is not None
    assert (caught.value.code, where.file, where.line) == (code, "app.py", 3 if op is PROMPT else 7)


@pytest.mark.parametrize(
    ("source", "target", "may"),
    [
        ("int", "float", True),
        ("float", "int", False),
        ("Row", "Base", True),
        ("str", "str | None", True),
        ("list[str]", "str | None", True),
        ("bool", "str | None", False),
        ("list[int]", "dict[str, int]", False),
        ("Any", "Chat", True),
        ("Row", "Chat", False),
        ("Chat", "list[Chat]", False),
    ],
)
def test_types_that_may_fit(source: str, target: str, *, may: bool) -> None:
    assert fits(source, target) is may


def test_every_edge_of_an_op_is_checked() -> None:
    """Conversations where text is wanted, an arm and a loop that yield something else, and a path that is no name."""
    with pytest.raises(IRError) as caught:
        verify(parse(ILL_TYPED))
    found = [(error.code, error.message.partition(":")[0]) for error in caught.value.diagnostics]
    assert Counter(found) == {
        ("ORCH-I020", "`turn`"): 3,
        ("ORCH-I023", "`part`"): 1,
        ("ORCH-I020", "`either`"): 2,
        ("ORCH-I020", "`again`"): 3,
    }


def test_regions_that_are_nested_too_deep() -> None:
    def chain(length: int) -> str:
        around = f'"agent.race"() ({{\n"agent.arm"() ({{ {{}} }}) {{{B[:8]}}} : () -> () }}) {{{B}}} : () -> ()'
        text = '"agent.yield"() : () -> ()'
        for _ in range(length):
            text = around.replace("{}", f'{text}\n"agent.yield"() : () -> ()', 1)
        return module(text)

    for length in (150, 100_000 // 20):
        with pytest.raises(IRError) as caught:
            verify(parse(chain(length)))
        assert caught.value.code == "ORCH-I003"


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

        def run(self, root: Node) -> None:
            del root.bodies[0].nodes[0].op.attributes["parts"]

    class Stumbler:
        name = "stumbler"

        def run(self, root: Node) -> None:
            print(root.bodies[0].nodes[0].op.attributes["parts"])

    used = module(f"%p = {PROMPT}", last=f'"agent.yield"(%p) : ({STR}) -> ()')
    for passes in ([Breaker()], [Canonicalise(), Breaker(), Decompose()], [Breaker(), Stumbler()]):
        with pytest.raises(CompileError, match="`breaker` broke the IR") as caught:
            run_pipeline(parse(used), passes=passes)
        assert caught.value.code == "ORCH-C001"


def test_what_a_pass_raises_is_not_hidden() -> None:
    class Raiser:
        name = "raiser"

        def run(self, root: Node) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_pipeline(parse(module(PROMPT)), passes=[Canonicalise(), Raiser()])


def test_what_was_wrong_before_the_passes_is_no_fault_of_theirs() -> None:
    """Also where nobody has looked at it before: then it is found in what comes out."""
    found = []
    for is_traced in (False, True):
        with pytest.raises(IRError) as caught:
            run_pipeline(parse(ILL_TYPED), is_traced=is_traced)
        found.append([(error.code, error.message) for error in caught.value.diagnostics])
    assert found[0] == found[1]
    assert len(found[0]) == 9
