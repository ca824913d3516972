"""What a plan moves between pools, as ops of level 2.

A value that goes to another process and back is an ``op.transfer``, a conversation whose next turn is asked of another
engine an ``op.kv_move``::

    %1 = "op.transfer"(%0) {id = "parse.arguments", source = "coordinator", target = "process", bytes = 240.0, …}
    %2 = "op.call"(%1) {id = "parse", place = "process", …}
    %3 = "op.transfer"(%2) {id = "parse.result", source = "process", target = "coordinator", …}

They give what they take. The way itself is part of the call that needs it (a worker is sent its arguments), and KV is
computed again where it is missing (``recomputed``), so whoever reads them passes the values through.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from orchestrator.ir._mlir import ir
from orchestrator.ir.attributes import to_attribute
from orchestrator.ir.tokens import operands, results
from orchestrator.ir.walk import Node, bodies, op_id, python_type, tree
from orchestrator.passes.rewrite import before, editing
from orchestrator.planner.plan import Move


def with_moves(module: Any, moves: Sequence[Move]) -> Any:
    """A copy of a level-2 module with the moves of its plan; the module itself where there are none."""
    if not moves:
        return module
    of_op: defaultdict[str, list[Move]] = defaultdict(list)
    for move in moves:
        of_op[f"{move.op}.prefill" if move.what == "kv" else move.op].append(move)
    made = (module.operation if hasattr(module, "operation") else module).clone()
    root = tree(made)
    with editing(root):
        for body in bodies(root):
            for node in body.nodes:
                for move in of_op.get(op_id(node.op), ()):
                    _emit(node, move)
    return made


def _emit(node: Node, move: Move) -> None:
    attributes = {
        "id": f"{move.op}.{move.what}",
        "source": move.source,
        "target": move.target,
        "bytes": move.bytes,
        "seconds": move.seconds,
        "opts": {"recomputed": True} if move.what == "kv" else {},
    }
    if move.what == "result":
        _behind(node.op, attributes)
        return
    taken = operands(node.op)
    if move.what == "kv":
        taken = [value for value in taken if python_type(value.type) == "Chat"]
    name = "op.kv_move" if move.what == "kv" else "op.transfer"
    moved = before(node.op, name, taken, [value.type for value in taken], attributes)
    arrived = dict(zip(taken, moved.results, strict=True))
    for index, value in enumerate(node.op.operands):
        if value in arrived:
            node.op.operands[index] = arrived[value]


def _behind(op: Any, attributes: dict[str, object]) -> None:
    given = results(op)
    moved = ir.Operation.create(
        "op.transfer",
        results=[value.type for value in given],
        operands=list(given),
        attributes={name: to_attribute(value) for name, value in attributes.items()},
        loc=op.location,
        ip=ir.InsertionPoint.after(op),
    )
    for value, arrived in zip(given, moved.results, strict=True):
        value.replace_all_uses_except(arrived, moved)
