"""No pass drops, adds or reorders what has effects: writes and reads keep their places, and who waits for whom."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.ir.text import parse, to_text
from orchestrator.ir.tokens import tokens
from orchestrator.ir.walk import Node, attr, bodies, op_id, tree
from orchestrator.passes.pipeline import run_pipeline
from tests.ir.test_mutations import text_of

Order = list[tuple[str, tuple[str, ...]]]
"""The ops with effects as they stand in one region, each with all that it waits for by tokens."""
FLOW = """
"agent.declare_tool"() {name = "put", path = "", code = "", effects = "once", params = [], types = [], required = [],
  returns = "str", opts = {}} : () -> ()
"agent.workflow"() ({
  %a, %t = "agent.tool"() {callee = "put", effects = "once", id = "first", opts = {}, params = []}
    : () -> (!agent.value<"str">, !agent.token)
  %b, %u = "agent.tool"(%t) {callee = "put", effects = "once", id = "second", opts = {}, params = []}
    : (!agent.token) -> (!agent.value<"str">, !agent.token)
  "agent.yield"(%b) : (!agent.value<"str">) -> ()
}) {sym_name = "flow", opts = {}} : () -> ()
"""


def effects_of(module: Any) -> list[Order]:
    """By region, outer ones first; regions without effects are left out."""
    found: list[Order] = []
    for body in bodies(tree(module)):
        waited: dict[Any, frozenset[str]] = {}
        order: Order = []
        for node in body.nodes:
            taken = frozenset[str]().union(*(waited.get(each, frozenset()) for each in node.op.operands))
            own = {op_id(node.op)} if tokens(node.op.results) else set[str]()
            waited.update((each, taken | own) for each in tokens(node.op.results))
            if has_effects(node):
                order.append((op_id(node.op), tuple(sorted(taken))))
        if order:
            found.append(order)
    return found


def has_effects(node: Node) -> bool:
    """Whether it observes or changes the world, or something in it does."""
    if node.bodies:
        return bool(tokens(node.op.results))
    return node.name == "agent.sleep" or attr(node.op, "effects", "pure") != "pure"


@pytest.mark.parametrize("shard", range(5))
def test_effects_stay_where_they_are_written(shard: int) -> None:
    tried = 0
    for seed in range(20_000 + shard * 12, 20_000 + shard * 12 + 12):
        text = text_of(seed)
        if text is None:
            continue
        module = parse(text)
        before = effects_of(module)
        tried += any(waits for order in before for _, waits in order)

        def unchanged(name: str, made: Any, seed: int = seed, before: list[Order] = before) -> None:
            assert effects_of(made) == before, f"{name} of seed {seed}"

        run_pipeline(module, unchanged)
    assert tried


def test_an_order_that_is_lost_is_seen() -> None:
    module = parse(FLOW)
    assert effects_of(module) == [[("first", ()), ("second", ("first",))]]
    lost = parse(to_text(module).replace("(%0#1)", "()").replace("(!agent.token) -> (", "() -> (", 1))
    assert effects_of(lost) == [[("first", ()), ("second", ())]]
