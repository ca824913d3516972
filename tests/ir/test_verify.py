"""Invalid modules: the code, and the user's line."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import orchestrator.ir
from orchestrator.errors import CompileError, IRError
from orchestrator.ir.codes import CODES
from orchestrator.ir.text import parse
from orchestrator.ir.verify import verify
from orchestrator.ir.walk import Node
from orchestrator.passes.canonicalise import Canonicalise
from orchestrator.passes.decompose import Decompose
from orchestrator.passes.pipeline import run_pipeline

IR = Path(orchestrator.ir.__path__[0])
STR = '!agent.value<"str">'
NONE = '!agent.value<"None">'
B = 'id = "b", opts = {}'
PROMPT = f'"agent.prompt"() {{id = "p", parts = ["x"], opts = {{}}}} : () -> {STR} loc("p"("app.py":3:0))'
ZIPPED = (
    '%l = "agent.const"() {{value = "[]", id = "l", opts = {{}}}} : () -> !agent.value<"list[str]">\n'
    '%z = "agent.tool"(%l) {{callee = "builtin.zip", effects = "pure", params = ["{param}"], id = "b", opts = {{}}}} '
    ': (!agent.value<"list[str]">) -> !agent.value<"list[tuple[str]]">'
)
DOUBLED = (
    '%l = "agent.const"() {value = "1", id = "l", opts = {}} : () -> !agent.value<"int">\n'
    '%d = "agent.tool"(%l, %l) {callee = "builtin.dict", effects = "pure", params = ["a", "a"], id = "b", opts = {}} '
    ': (!agent.value<"int">, !agent.value<"int">) -> !agent.value<"dict[str, int]">'
)
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
        ("ORCH-I021", f'"agent.tool"() {{callee = "builtin.x", effects = "pure", params = ["x"], {B}}} : () -> {STR}'),
        ("ORCH-I022", f'"agent.tool"() {{callee = "builtin.x", effects = "prue", params = [], {B}}} : () -> {STR}'),
        ("ORCH-I018", LOWERED.format(kind="prompt", opts="{}", type="str")),
        ("ORCH-I012", LOWERED.format(kind="prompt", opts='{parts = ["x", "y"]}', type="str")),
        ("ORCH-I020", LOWERED.format(kind="prompt", opts='{parts = ["x"]}', type="int")),
        ("ORCH-I020", LOWERED.format(kind="chat", opts="{}", type="str")),
        ("ORCH-I018", LOWERED.format(kind="ask", opts="{}", type="str")),
        ("ORCH-I027", LOWERED.format(kind="const", opts="{value = 3 : i64}", type="int")),
        ("ORCH-I026", f'"agent.const"() {{value = "{{", {B}}} : () -> {STR}'),
        ("ORCH-I020", f'"agent.const"() {{value = "3", {B}}} : () -> {STR}'),
        ("ORCH-I020", f'"agent.const"() {{value = "[1, null]", {B}}} : () -> !agent.value<"list[int]">'),
        ("ORCH-I024", f'"agent.const"() {{value = "3", {B}}} : () -> !agent.value<"Banana">'),
        ("ORCH-I024", f'"agent.const"() {{value = "3", {B}}} : () -> !agent.value<"list[">'),
        ("ORCH-I024", f'"agent.const"() {{value = "3", {B}}} : () -> i32'),
        ("ORCH-I025", f'"agent.tool"() {{callee = "builtin.x", effects = "pure", params = [], {B}}} : () -> {STR}'),
        ("ORCH-I021", f'"agent.tool"() {{callee = "builtin.len", effects = "pure", params = [], {B}}} : () -> {STR}'),
        ("ORCH-I021", ZIPPED.format(param="list[str]")),
        ("ORCH-I021", ZIPPED.format(param="class")),
        ("ORCH-I021", DOUBLED),
        ("ORCH-I029", f'"agent.prompt"() {{parts = [""], {B}, colour = 1}} : () -> {STR}'),
        ("ORCH-I029", f'"agent.prompt"() {{parts = [""], id = "b", opts = {{retry = 1}}}} : () -> {STR}'),
        ("ORCH-I027", '"agent.chat"() {id = "b", opts = {model = 1}} : () -> !agent.value<"Chat">'),
        ("ORCH-I025", f'"agent.tool"() {{callee = "nobody", effects = "pure", params = [], {B}}} : () -> {STR}'),
        ("ORCH-I027", f'"agent.tool"() {{callee = 3 : i64, effects = "pure", params = [], {B}}} : () -> {STR}'),
        ("ORCH-I027", f'"agent.tool"() {{callee = "f", effects = "pure", params = [1], {B}}} : () -> {STR}'),
        ("ORCH-I027", '"agent.const"() {value = "3", id = 3 : i64, opts = {}} : () -> !agent.value<"int">'),
        ("ORCH-I027", '"agent.const"() {value = "3", id = [], opts = {}} : () -> !agent.value<"int">'),
        ("ORCH-I027", '"agent.const"() {value = "3", id = unit, opts = {}} : () -> !agent.value<"int">'),
        ("ORCH-I027", '"agent.const"() {value = "3", id = {}, opts = unit} : () -> !agent.value<"int">'),
        ("ORCH-I027", '"agent.const"() {value = "3", id = "", opts = {}} : () -> !agent.value<"int">'),
        ("ORCH-I027", '"agent.const"() {value = "3", id = "a\\1B[2J", opts = {}} : () -> !agent.value<"int">'),
        ("ORCH-I019", f'"agent.sleep"() {{{B}}} : () -> {NONE}'),
        ("ORCH-I019", LOWERED.format(kind="sleep", opts="{}", type="None")),
        ("ORCH-I019", '"agent.sleep"() {id = "b", opts = {seconds = 1.0}} : () -> ()'),
        ("ORCH-I020", f'"agent.sleep"() {{id = "b", opts = {{seconds = 1.0}}}} : () -> {STR}'),
        ("ORCH-I027", f'"agent.sleep"() {{id = "b", opts = {{seconds = -1.0}}}} : () -> {NONE}'),
        ("ORCH-I027", f'"agent.sleep"() {{id = "b", opts = {{seconds = 0x7FF0000000000000 : f64}}}} : () -> {NONE}'),
        ("ORCH-I027", f'"agent.sleep"() {{id = "b", opts = {{seconds = 1.0e12}}}} : () -> {NONE}'),
        ("ORCH-I027", f'"agent.sleep"() {{id = "b", opts = {{seconds = "soon"}}}} : () -> {NONE}'),
        ("ORCH-I029", f'"agent.sleep"() {{id = "b", opts = {{timeout_s = 1.0}}}} : () -> {NONE}'),
        ("ORCH-I016", f'"agent.race"() ({{\n^bb0:\n}}, {{\n^bb0:\n}}) {{{B}}} : () -> ()'),
        ("ORCH-I016", f'"agent.loop"() ({{}}, {{}}) {{max = 3 : i64, {B}}} : () -> ()'),
    ],
)
def test_a_violation_has_its_code_and_line(code: str, op: str) -> None:
    text = module(PROMPT, op if op is PROMPT else f'{op} loc("b"("app.py":7:0))')
    with pytest.raises(IRError) as caught:
        verify(parse(text))
    where = caught.value.diagnostics[0].where
    assert where is not None
    assert (caught.value.code, where.file, where.line) == (code, "app.py", 3 if op is PROMPT else 7)


@pytest.mark.parametrize(("taken", "more"), [("str", ""), ("datetime", "seconds = 1.0"), ("float", "seconds = 1.0")])
def test_a_sleep_takes_seconds_or_a_moment_or_says_how_long_it_is(taken: str, more: str) -> None:
    moment = """"agent.type"() {name = "datetime", kind = "class", path = "datetime:datetime", bases = [], params = [],
    fields = {}, schema = ""} : () -> ()\n"""

    def text(taken: str, more: str) -> str:
        given = f'!agent.value<"{taken}">'
        op = f'"agent.sleep"(%x) {{id = "b", opts = {{{more}}}}} : ({given}) -> {NONE} loc("b"("app.py":7:0))'
        return moment + module(f"^bb0(%x: {given}):", op)

    for right in ("float", "int", "datetime", "Any"):
        verify(parse(text(right, "")))
    with pytest.raises(IRError) as caught:
        verify(parse(text(taken, more)))
    assert caught.value.code == ("ORCH-I019" if more else "ORCH-I020")


CHAT, END = '!agent.value<"Chat">', '"agent.yield"() : () -> ()'
P = f'%0 = "agent.prompt"() {{id = "p", parts = ["x"], opts = {{}}}} : () -> {STR}'
CALL = '%1:2 = "agent.generate"(%p) {model = "m", returns = "str", samples = 1 : i64, id = "b", opts = OPTS}'
CALL += f" : ({STR}) -> ({STR}, {CHAT})"


@pytest.mark.parametrize(
    ("code", "op", "column"),
    [
        ("ORCH-I017", f'"agent.workflow"() ({{\n{END}\n}}) {{sym_name = "b", opts = {{}}}} : () -> ()', 1),
        ("ORCH-I017", f'"agent.arm"() ({{\n{END}\n}}) {{id = "b"}} : () -> ()', 1),
        ("ORCH-I030", f'%1 = "agent.prompt"(%0) {{parts = ["", ""], {B}}} : ({STR}) -> {STR}\n{P}', 6),
        ("ORCH-I019", CALL.replace("OPTS", "{logprobs = 2 : i64}"), 8),
        ("ORCH-I019", CALL.replace("OPTS", '{late = ["model"]}'), 8),
        ("ORCH-I002", f'%1 = "agent.chat"() <{{model = "m"}}> {{{B}}} : () -> {CHAT}', 21),
        ("ORCH-I016", f'"agent.race"() ({{}}) {{{B}}} : () -> ()', 1),
        (
            "ORCH-I014",
            f'"agent.attempt"() ({{\n"agent.yield"() {{a = 1}} : () -> ()\n}}) {{catches = [], {B}}} : () -> ()',
            1,
        ),
    ],
)
def test_a_violation_has_its_place_in_the_text(code: str, op: str, column: int) -> None:
    with pytest.raises(IRError) as caught:
        parse(module(f"^bb0(%p: {STR}):", op), file="flow.mlir")
    where = caught.value.diagnostics[0].where
    assert where is not None
    assert (caught.value.code, where.file, where.line, where.column) == (code, "flow.mlir", 3, column)


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


WRONG = """
"agent.workflow"() ({
^bb0(%q: !agent.value<"str">, %n: !agent.value<"int">):
  %c = "agent.chat"() {id = "chat_1", opts = {}} : () -> !agent.value<"Chat">
  %r:2 = "agent.generate"(%c, %q) {id = "llm_1", model = "m", opts = {}, returns = "int", samples = 1 : i64}
    : (!agent.value<"Chat">, !agent.value<"str">) -> (!agent.value<"str">, !agent.value<"int">)
  %f = "agent.field"(%n) {id = "field_1", path = "no.such field", opts = {}}
    : (!agent.value<"int">) -> !agent.value<"Banana">
  %t = "agent.tool"(%f) {id = "t_1", callee = "nobody", params = ["a", "b", "c"], effects = "prue", opts = {}}
    : (!agent.value<"Banana">) -> !agent.value<"str">
  %b = "agent.branch"(%q) ({
    "agent.yield"(%n) : (!agent.value<"int">) -> ()
  }, {
    "agent.yield"(%q) : (!agent.value<"str">) -> ()
  }) {id = "branch_1", opts = {}} : (!agent.value<"str">) -> !agent.value<"Chat">
  %l = "agent.loop"(%n) ({
  ^bb0(%s: !agent.value<"str">):
    "agent.yield"(%q) : (!agent.value<"str">) -> ()
  }, {
  ^bb0(%s: !agent.value<"list[int]">):
    "agent.yield"(%q) : (!agent.value<"str">) -> ()
  }) {id = "loop_1", max = 3 : i64, opts = {}} : (!agent.value<"int">) -> !agent.value<"bool">
  "agent.yield"(%b) : (!agent.value<"Chat">) -> ()
}) {sym_name = "demo", opts = {params = ["q", "n"], returns = "str"}} : () -> ()
"""


def test_reading_names_every_mistake_with_its_line() -> None:
    with pytest.raises(IRError) as caught:
        parse(WRONG, file="flow.mlir")
    found = [(each.where and each.where.line, each.code, each.message) for each in caught.value.diagnostics]
    assert found == [
        (2, "ORCH-I020", "`demo`: the result is Chat, and must be str"),
        (5, "ORCH-I020", "`llm_1`: the prompt is Chat, and must be str"),
        (5, "ORCH-I020", "`llm_1`: the conversation is str, and must be Chat"),
        (5, "ORCH-I020", "`llm_1`: the reply is str, and must be int"),
        (5, "ORCH-I020", "`llm_1`: the new conversation is int, and must be Chat"),
        (7, "ORCH-I024", "`field_1`: the type `Banana` names `Banana`, which is neither builtin nor declared"),
        (7, "ORCH-I023", "`field_1`: int has no field 'no.such field'"),
        (9, "ORCH-I021", "`t_1`: 1 arguments for 3 parameters"),
        (9, "ORCH-I022", "`t_1`: effects are 'prue', and must be pure, reads, idempotent, once"),
        (9, "ORCH-I025", "`t_1`: there is no tool `nobody` among the declarations"),
        (11, "ORCH-I020", "`branch_1`: the condition is str, and must be bool"),
        (11, "ORCH-I020", "`branch_1`: what an arm yields is int, and must be Chat"),
        (11, "ORCH-I020", "`branch_1`: what an arm yields is str, and must be Chat"),
        (16, "ORCH-I020", "`loop_1`: the initial state is int, and must be bool"),
        (16, "ORCH-I020", "`loop_1`: the next state is str, and must be bool"),
        (16, "ORCH-I020", "`loop_1`: the state inside is str, and must be bool"),
        (16, "ORCH-I020", "`loop_1`: the state inside is list[int], and must be bool"),
        (16, "ORCH-I020", "`loop_1`: the condition is str, and must be bool"),
    ]
    assert {each.where and each.where.file for each in caught.value.diagnostics} == {"flow.mlir"}


TOOL = '"agent.declare_tool"() {{name = "f", path = "", code = "", effects = "{0}", params = ["q"], types = ["{1}"], '
TOOL += 'required = ["q"], returns = "{2}", opts = {{}}}} : () -> ()\n'
RECORD = '"agent.type"() {kind = "record", path = "", params = [], schema = "", '
ROW = RECORD + 'name = "Row", bases = ["Base"], fields = {sql = "str"}}'
BASE = RECORD + 'name = "Base", bases = [], fields = {}} : () -> ()\n'
CLASSES = f"{BASE}{ROW} : () -> ()\n"


def calling(params: str, argument: str, result: str, effects: str = "pure", code: str = "") -> str:
    opts = f'{{code = "{code}"}}' if code else "{}"
    names = f'["{params}"]' if params else "[]"
    given = f'{{id = "f_1", callee = "f", params = {names}, effects = "{effects}", opts = {opts}}}'
    taken = ("%q", f'!agent.value<"{argument}">') if params else ("", "")
    call = f'"agent.tool"({taken[0]}) {given} : ({taken[1]}) -> !agent.value<"{result}">'
    argument = argument or "str"
    return module(call).replace("({\n", f'({{\n^bb0(%q: !agent.value<"{argument}">):\n', 1)


@pytest.mark.parametrize(
    ("declared", "call", "message"),
    [
        (TOOL.format("pure", "Base", "Row"), calling("q", "Row", "Base"), None),
        (TOOL.format("pure", "Row", "Row"), calling("q", "Base", "Base"), "the argument `q` is Base, and must be Row"),
        (TOOL.format("pure", "Any", "Base"), calling("q", "str", "Row"), "the result is Row, and `f` gives Base"),
        (TOOL.format("pure", "str", "str"), calling("r", "str", "str"), "`f` has no parameter `r`"),
        (TOOL.format("pure", "str", "str"), calling("", "", "str"), "`f` is called without `q`"),
        (TOOL.format("pure", "str", "str"), calling("q", "str", "str", code="5f"), "code is '5f', and `f` declares"),
        (TOOL.format("once", "str", "str"), calling("q", "str", "str"), "effects are 'pure', and `f` declares 'once'"),
        (TOOL.format("prue", "str", "str"), calling("q", "str", "str"), "effects are 'prue'"),
        (TOOL.format("pure", "Thing", "str"), calling("q", "str", "str"), "names `Thing`, which is neither"),
        (2 * TOOL.format("pure", "str", "str"), calling("q", "str", "str"), "`f` is declared twice"),
        (BASE, calling("q", "str", "str"), "`Base` is declared twice"),
        (BASE.replace("record", "thing").replace("Base", "B"), calling("q", "str", "str"), "the kind is 'thing'"),
        (BASE.replace("fields = {}", "fields = {a = 3}").replace("Base", "B"), calling("q", "str", "str"), "no type"),
        (BASE.replace("Base", "B").replace('"B"', "[]"), calling("q", "str", "str"), "has something else"),
        (BASE.replace("record", "alias").replace("Base", "B"), calling("q", "str", "str"), "an alias has one base"),
        ('"agent.const"() {id = "c"} : () -> ()\n', calling("q", "str", "str"), "agent.const stands beside"),
        (
            TOOL.format("pure", "str", "str").replace('required = ["q"]', 'required = ["r"]'),
            calling("q", "str", "str"),
            "r are required, and the parameters are q",
        ),
        (TOOL.format("pure", "str", "str").replace('"f"', '"builtin.eq"'), calling("q", "str", "str"), "by nobody"),
        (
            TOOL.format("pure", "str", "str").replace("code", "cod = 1, code"),
            calling("q", "str", "str"),
            "no attribute `cod`",
        ),
        (
            TOOL.format("pure", "str", "str").replace("opts = {}", "opts = {chep = true}"),
            calling("q", "str", "str"),
            "no option `chep`",
        ),
        (
            RECORD.replace("record", "alias") + 'name = "A", bases = ["A"], fields = {}} : () -> ()',
            calling("q", "str", "str"),
            "`A` is an alias of itself",
        ),
        (TOOL.format("pure", "str", "str").replace(", path", ", to"), calling("q", "str", "str"), "lacks path"),
        (module().replace('"w"', '"v"'), calling("q", "str", "str"), "`w` is a second workflow"),
    ],
)
def test_a_call_is_as_its_tool_is_declared(declared: str, call: str, message: str | None) -> None:
    text = f"{CLASSES}{declared}\n{call}"
    if message is None:
        parse(text)
        return
    with pytest.raises(IRError) as caught:
        parse(text)
    assert any(message in each.message for each in caught.value.diagnostics), caught.value


def test_nothing_stands_behind_the_end_of_a_region() -> None:
    with pytest.raises(IRError, match=r"agent.prompt stands behind the agent.yield") as caught:
        parse(module(f'"agent.yield"() : () -> ()\n{PROMPT}'))
    assert caught.value.code == "ORCH-I014"


def test_every_code_is_in_the_table() -> None:
    source = "".join(path.read_text() for path in IR.glob("*.py") if path.name != "codes.py")
    assert set(re.findall(r"ORCH-I\d+", source)) == set(CODES)


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


@pytest.mark.parametrize("attribute", ['value = "\\FF"', '"\\C3" = 3', 'id = "\\ED\\A0\\80"'])
def test_bytes_that_are_no_text_are_refused_where_they_stand(attribute: str) -> None:
    with pytest.raises(IRError, match="no UTF-8") as caught:
        parse(f'module {{ // \\FF in a comment\n  "agent.const"() {{{attribute}}} : () -> ()\n}}')
    assert caught.value.code == "ORCH-I002"
    assert caught.value.diagnostics[0].where is not None
    assert caught.value.diagnostics[0].where.line == 2


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
