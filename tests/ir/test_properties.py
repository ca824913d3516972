"""What holds for every module: text round trips, hashes are stable, passes keep effects and places in the source."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import SourceLoc
from orchestrator.ir.build import Builder
from orchestrator.ir.effects import has_effects
from orchestrator.ir.hash import module_hash, op_hashes
from orchestrator.ir.text import parse, read, to_text
from orchestrator.ir.walk import Node, attr, bodies, nodes, op_id, opts, source, tree, type_string
from orchestrator.passes.canonicalise import Canonicalise
from orchestrator.passes.fold_prompts import FoldPrompts
from orchestrator.passes.pipeline import PIPELINE, run_pipeline

from .modules import Step, build, steps


def effectful(module: Any) -> Counter[str]:
    return Counter(op_id(node.op) for node in nodes(tree(module).bodies[0]) if not node.bodies and has_effects(node))


@settings(deadline=None, max_examples=60)
@given(steps)
def test_text_round_trips(plan: list[Step]) -> None:
    text = to_text(build(plan))
    assert to_text(parse(text)) == text


HOSTILE = st.text(st.one_of(st.sampled_from("\"'\\><[]{}()né\0\n\t\x7f2A/!,-|\u2028😀"), st.characters(codec="utf-8")))


@settings(deadline=None, max_examples=300)
@given(HOSTILE, HOSTILE)
def test_any_text_survives_the_round_trip(name: str, value: str) -> None:
    """As a type, an id, an attribute, a name and a file."""
    builder, where = Builder(), SourceLoc(f"{name}.py", 3)
    with builder.workflow(name, [name], opts={"choices": [value]}, where=where) as arguments:
        builder.yield_(builder.op("const", [], [name], {"value": value}, id=name, opts={"stop": [value]}, where=where))
    module = builder.finish()
    text = to_text(module)
    again = read(text)
    assert to_text(again) == text
    root = tree(again)
    op = root.bodies[0].nodes[0].op
    assert (op_id(root.op), opts(root.op)) == (name, {"choices": [value]})
    assert (op_id(op), attr(op, "value"), opts(op), source(op)) == (name, value, {"stop": [value]}, where)
    assert [type_string(each) for each in (*root.bodies[0].arguments, *op.results)] == [name] * 2
    assert len(arguments) == 1


@settings(deadline=None, max_examples=60)
@given(steps)
def test_ids_and_text_do_not_change_the_hash(plan: list[Step]) -> None:
    module = build(plan)
    assert module_hash(module) == module_hash(build(plan, "sub/")) == module_hash(parse(to_text(module)))


@settings(deadline=None, max_examples=60)
@given(steps)
def test_sharing_and_folding_keep_every_op_with_effects(plan: list[Step]) -> None:
    module = build(plan)
    before = effectful(module)
    for one in (Canonicalise(), FoldPrompts()):
        one.run(tree(module))
        assert effectful(module) == before
        once = to_text(module)
        one.run(tree(module))
        assert to_text(module) == once


@settings(deadline=None, max_examples=60)
@given(steps)
def test_the_pipeline_keeps_ids_and_lines(plan: list[Step]) -> None:
    module = build(plan)
    lines = {op_id(node.op): source(node.op) for node in nodes(tree(module).bodies[0])}
    calls = effectful(module)
    _, root = run_pipeline(module)
    after = {op_id(node.op): source(node.op) for node in nodes(root.bodies[0])}
    assert set(calls) <= set(after)
    for name, where in after.items():
        turn, _, tool = name.partition(".extend.")  # an extension stands where its tool does
        assert where == lines[tool or (turn if turn in lines else turn.rpartition(".")[0])]


def test_a_change_reaches_what_depends_on_it_and_nothing_else() -> None:
    def hashes(text: str) -> dict[str, str]:
        plan: list[Step] = [("prompt", 0, text), ("once", 0, ""), ("once", 1, "")]
        return op_hashes(build(plan))

    old, new = hashes("a"), hashes("b")
    assert {name for name in old if old[name] != new[name]} == {"prompt_2", "tool_4", "flow"}


def test_pins_are_on_turns_that_wait() -> None:
    _, root = run_pipeline(build([("turn", 0, ""), ("once", 1, ""), ("turn", 5, "")]))
    pins = [node.op for node in nodes(root.bodies[0]) if node.op.name == "op.kv_pin"]
    assert [(attr(pin, "ttl_s"), opts(pin)["tool"]) for pin in pins] == [(300.0, "f")]


def shape(root: Node) -> list[object]:
    """The ops of a tree, those that end its regions included, in order and with where they are."""
    found: list[object] = []
    for number, body in enumerate(bodies(root)):
        found += [(number, node.op, node.name, len(node.bodies)) for node in body.nodes]
        found.append((number, body.terminator, list(body.arguments)))
    return found


@settings(deadline=None, max_examples=60)
@given(steps)
def test_every_pass_leaves_the_tree_as_the_module_is(plan: list[Step]) -> None:
    module = build(plan)
    root = tree(module)
    for one in PIPELINE:
        one.run(root)
        assert shape(root) == shape(tree(module)), one.name
