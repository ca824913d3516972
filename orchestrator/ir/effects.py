"""What an op does besides giving its results: two facts, asked apart.

- ``has_effects(node)``: it does something, or may answer otherwise each time, so each of two equal ones has to happen.
- ``can_fail(node)``: computing it may end the run.

Equal ops without effects are one op, even if that can fail: it fails in the same place. An op that nobody reads may go
only if it neither has effects nor can fail: a check that raises is there to raise.
"""

from __future__ import annotations

from typing import Any, Final

from orchestrator.ir.tokens import DONE, operands
from orchestrator.ir.walk import Node, attr, is_plain, opt, type_string

_EXPRESSIONS: Final = frozenset({"agent.const", "agent.prompt", "agent.chat", "agent.field", DONE})
_CALLS: Final = frozenset({"agent.tool", "agent.retrieve"})
_SAFE: Final = frozenset(f"builtin.{name}" for name in ("eq", "ne", "and", "or", "not", "list", "tuple", "dict"))
"""Builtins that work for whatever the front end lets them be called with."""
_SAFE_OF_PLAIN: Final = frozenset(f"builtin.{name}" for name in ("lt", "le", "gt", "ge", "add", "sub", "mul"))
_NO_CLASSES: Final = frozenset({"Any", "object", "Never", "str", "int", "float", "bool", "None", "bytes"})


def has_effects(node: Node) -> bool:
    """Whether it, or anything in it, must happen each time that it is written, even if nobody reads its results.

    A model call must, for models answer otherwise each time; with ``cache`` one answer serves all equal calls.
    """
    if node.bodies:
        return any(has_effects(inner) for body in node.bodies for inner in body.nodes)
    if node.name in _CALLS:
        return bool(attr(node.op, "effects") != "pure")
    if node.name == "agent.generate":
        return not opt(node.op, "cache", False)
    return node.name not in _EXPRESSIONS


def can_fail(node: Node) -> bool:
    """Whether it, or anything in it, may end the run instead of giving its results."""
    if node.name == "agent.map":  # over more items than its limit, or lists of different lengths
        return True
    if node.bodies:
        return any(can_fail(inner) for body in node.bodies for inner in body.nodes)
    if node.name == "agent.prompt":  # showing a value runs code of its class
        return not all(map(is_plain, operands(node.op)))
    if node.name == "agent.field":
        return bool(opt(node.op, "keyed")) or not _has_fields(node.op.operands[0])
    if node.name == "agent.tool":
        callee = attr(node.op, "callee")
        return callee not in _SAFE and not (callee in _SAFE_OF_PLAIN and all(map(is_plain, operands(node.op))))
    return node.name not in _EXPRESSIONS


def is_droppable(node: Node) -> bool:
    """Whether nobody would miss it if its results are not needed."""
    return not has_effects(node) and not can_fail(node)


def _has_fields(value: Any) -> bool:
    """Whether its type is a class, or a list of one, whose declared fields are always there."""
    name = type_string(value)
    if name.startswith("list[") and name.endswith("]"):
        name = name[len("list[") : -1]
    return name not in _NO_CLASSES and all(part.isidentifier() for part in name.split("."))
