"""Typed read access to a module: what the passes, the hash and the views need of an op.

MLIR's Python bindings step through a block in time proportional to the position, so :func:`tree` collects all ops with
one ``walk`` and hands out plain lists. A pass that changes the ops under a tree changes the tree with them.

- ``tree(module)``: the workflow as nested :class:`Node` and :class:`Body` records; ``nodes(body)`` goes through all.
- ``op_id(op)``, ``attr(op, "max")``, ``opts(op)`` and one of them, ``opt(op, "seed")``, ``source(op)``,
  ``type_string(value)``: attributes as Python values.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Final

from orchestrator.errors import IRError, SourceLoc
from orchestrator.ir._mlir import ir
from orchestrator.ir.dialect import OPS

_LEAVES: Final = frozenset(name for name, spec in OPS.items() if spec.regions == 0)
_PLAIN: Final = frozenset({"str", "int", "float", "bool", "None"})
_VALUE: Final = '!agent.value<"', '">'
_ESCAPED = re.compile(rb"\\(?:([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_STRING, _DICT, _ARRAY = ir.StringAttr, ir.DictAttr, ir.ArrayAttr
MOST_NESTED: Final = 200
"""Regions within regions: what follows their structure by recursion stays far from Python's limit and the stack's."""


@dataclass(slots=True)
class Body:
    """One region: its block's arguments, its ops, and the terminator (None in ``agent.race``, which holds arms)."""

    arguments: list[Any]
    nodes: list[Node] = field(default_factory=list)
    terminator: Any = None


@dataclass(slots=True)
class Node:
    """One op and its regions."""

    op: Any
    name: str
    bodies: list[Body]


def tree(module: Any) -> Node:
    """The module's workflow. Raises :class:`IRError` ORCH-I001 when it has none, ORCH-I003 when it is nested too
    deep to be worked on."""
    root: Node | None = None
    stack: list[tuple[Node, int]] = []
    last: Any = None
    for op in operations(module):
        parent = op.parent
        if last is not None and parent == last.parent and op.block == last.block:
            raise IRError("ORCH-I014", f"{op.name} stands behind the agent.yield of its region", where=source(op))
        last = None
        while stack and stack[-1][0].op != parent:
            stack.pop()
        name = op.name
        if stack and name == "agent.yield":
            node, region = stack[-1]
            node.bodies[region].terminator = last = op
            stack[-1] = (node, min(region + 1, len(node.bodies) - 1))
            continue
        bodies = [] if name in _LEAVES else [Body(_arguments(region)) for region in op.regions]
        node = Node(op, name, bodies)
        if stack:
            owner, region = stack[-1]
            owner.bodies[region].nodes.append(node)
        elif name == "agent.workflow":
            root = node
        if node.bodies:
            if len(stack) > MOST_NESTED:
                fix = "compute the inner part in a tool, or decide with one `switch` instead of a chain"
                raise IRError(
                    "ORCH-I003", f"regions are nested more than {MOST_NESTED} deep", where=source(op), fix=fix
                )
            stack.append((node, 0))
    if root is None:
        raise IRError("ORCH-I001", "the module holds no agent.workflow")
    return root


def _arguments(region: Any) -> list[Any]:
    return list(region.blocks[0].arguments) if len(region.blocks) else []


def operations(module: Any) -> list[Any]:
    """All operations in the module in program order, a region op before what is inside it.

    What MLIR calls for each is made of C functions alone: an interrupt would be handled in the first line of a Python
    function, and MLIR turns whatever a callback raises into a ``RuntimeError``.
    """
    found: defaultdict[Any, Any] = defaultdict(repeat(ir.WalkResult.ADVANCE).__next__)
    module.operation.walk(found.__getitem__, ir.WalkOrder.PRE_ORDER)
    return list(found)[1:]


def nodes(body: Body) -> Iterator[Node]:
    """All nodes of a body in program order, an op before what is inside it."""
    for node in body.nodes:
        yield node
        for inner in node.bodies:
            yield from nodes(inner)


def bodies(node: Node) -> Iterator[Body]:
    """All bodies in a node, outer ones first."""
    for body in node.bodies:
        yield body
        for inner in body.nodes:
            if inner.bodies:
                yield from bodies(inner)


def op_id(op: Any) -> str:
    """The user-facing id; of a workflow its name."""
    attributes = op.attributes
    for name in ("id", "sym_name"):
        if name in attributes:
            return str(to_python(attributes[name]))
    return str(op.name)


def attr(op: Any, name: str, default: Any = None) -> Any:
    """An attribute as a Python value."""
    attributes = op.attributes
    return to_python(attributes[name]) if name in attributes else default


def opts(op: Any) -> dict[str, Any]:
    """The op's optional attributes."""
    given: dict[str, Any] | None = attr(op, "opts")
    return {} if given is None else given


def opt(op: Any, name: str, default: Any = None) -> Any:
    """One optional attribute; reading all of them takes several times as long."""
    given = op.attributes["opts"]
    return to_python(given[name]) if name in given else default


def source(op: Any) -> SourceLoc | None:
    """The user's line that made the op, if the IR knows it."""
    return place(op.location)


def place(location: Any) -> SourceLoc | None:
    """The file, line and column of a location, if it has them."""
    inner = getattr(location, "child_loc", location)
    if not hasattr(inner, "filename"):
        return None
    return SourceLoc(inner.filename, inner.start_line, None, inner.start_col)


def type_string(value: Any) -> str:
    """The Python type of a value."""
    return python_type(value.type)


def is_plain(value: Any) -> bool:
    """Whether it is text, a number, a boolean or None by its type: nobody can change it, and showing it cannot fail."""
    return _PLAIN.issuperset(type_string(value).split(" | "))


def python_type(mlir_type: Any) -> str:
    """``list[Query]`` out of ``!agent.value<"list[Query]">``; the type's own text for any other type."""
    text = str(mlir_type)
    start, end = _VALUE
    return _unescaped(text[len(start) : -len(end)]) if text.startswith(start) and text.endswith(end) else text


def _unescaped(text: str) -> str:
    """MLIR's string literals back into text."""
    return literal_bytes(text).decode(errors="replace") if "\\" in text else text


def literal_bytes(text: str) -> bytes:
    """What a string literal of MLIR holds: bytes that are not printable ASCII are written in hexadecimal."""

    def byte(escape: re.Match[bytes]) -> bytes:
        return bytes.fromhex(escape[1].decode()) if escape[1] else {b"n": b"\n", b"t": b"\t"}.get(escape[2], escape[2])

    return _ESCAPED.sub(byte, text.encode())


def to_python(attribute: Any) -> Any:
    """Strings, numbers, booleans, lists and dicts out of MLIR attributes."""
    kind = type(attribute)
    if kind is _STRING:
        return attribute.value
    if kind is _DICT:
        return {name: to_python(each) for name, each in entries(attribute).items()}
    if kind is _ARRAY:
        return [to_python(each) for each in attribute]
    try:
        return attribute.value
    except AttributeError:  # an attribute that nothing here makes, such as `unit`
        return str(attribute)


def entries(dictionary: Any) -> dict[str, Any]:
    """The attributes in a ``DictAttr``. Iterating over one ends with an exception in C++, which takes ten times as long
    as an entry."""
    names = [dictionary[position].name for position in range(len(dictionary))]
    return {name: dictionary[name] for name in names}
