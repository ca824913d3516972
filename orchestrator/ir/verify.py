"""Is a module well-formed? What MLIR checks, and the dialects' own rules with the user's line.

All violations are reported together. Codes: I010 MLIR's own verifier, I011 duplicate id, I012 prompt parts and holes,
I013 bounds, I014 terminators, I015 results of a region op, I016 region arguments, I017 unknown op, I018 a required
attribute is missing, I019 number of operands or results, I020 types that do not fit, I021 arguments and parameters of a
call, I022 unknown effects, I023 the path of a field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from orchestrator.errors import Diagnostic, IRError
from orchestrator.ir._mlir import ir
from orchestrator.ir.dialect import OPS
from orchestrator.ir.typecheck import EDGES, fits
from orchestrator.ir.walk import Node, nodes, op_id, opt, python_type, source, tree

_EFFECTS: Final = ("pure", "idempotent", "once")
_PATH: Final = re.compile(r"-?\d+|[^\W\d]\w*")
_OPTS_OF_KIND: Final = {"const": ("value",), "prompt": ("parts",), "field": ("path",)}
Violation = tuple[str, str]
"""A code, and what is wrong."""


def verify(module: Any) -> Node:
    """The workflow of a module in which nothing is wrong; else one :class:`IRError` with everything that is."""
    try:
        module.operation.verify()
    except ir.MLIRError as error:
        raise IRError("ORCH-I010", f"MLIR rejects the module: {error}") from error
    root = tree(module)
    found: list[Diagnostic] = []
    seen: dict[str, Any] = {}
    names: dict[Any, str] = {}
    for node in (root, *nodes(root.bodies[0])):
        op = node.op
        attributes = op.attributes
        if node is not root and "id" in attributes:
            identity = attributes["id"].value
            other = seen.setdefault(identity, op)
            if other is not op:
                why = f"the other one is at {source(other)}"
                found.append(Diagnostic("ORCH-I011", f"two ops have the id `{identity}`", source(op), why))
        for code, message in _violations(node, attributes) or _misfits(node, names):
            found.append(Diagnostic(code, f"`{op_id(op)}`: {message}", source(op)))
    if found:
        raise IRError.collect(found)
    return root


def _violations(node: Node, attributes: Any) -> list[Violation]:
    op, name = node.op, node.name
    spec = OPS.get(name)
    if spec is None:
        return [("ORCH-I017", f"there is no op {name}")]
    missing = [each for each in spec.attributes if each not in attributes]
    if missing:
        return [("ORCH-I018", f"{name} lacks {', '.join(missing)}")]
    found: list[Violation] = []
    counts = ("operands", spec.operands, len(op.operands)), ("results", spec.results, len(op.results))
    for what, (least, most), count in counts:
        if not least <= count <= most:
            found.append(("ORCH-I019", f"{name} has {count} {what}; {least} to {most} are allowed"))
    check = _CHECKS.get(name)
    if check is not None:
        found += check(node)
    if node.bodies or spec.regions != 0:
        found += _region_violations(node)
    return found


def _prompt(node: Node, given: Any) -> Iterator[Violation]:
    parts, holes = len(given["parts"]), len(node.op.operands)
    if parts != holes + 1:
        yield "ORCH-I012", f"{parts} parts around {holes} holes; one more is needed"


def _field(node: Node, given: Any) -> Iterator[Violation]:
    path = given["path"].value
    if not (_PATH.fullmatch(path) or opt(node.op, "keyed")):
        yield "ORCH-I023", f"the path {path!r} is neither a name nor a position"


def _call(node: Node) -> Iterator[Violation]:
    attributes = node.op.attributes
    params, effects = len(attributes["params"]), attributes["effects"].value
    if params != len(node.op.operands) and attributes["callee"].value:
        yield "ORCH-I021", f"{len(node.op.operands)} arguments for {params} parameters"
    if effects not in _EFFECTS:
        yield "ORCH-I022", f"effects are {effects!r}, and must be {', '.join(_EFFECTS)}"


def _lowered_call(node: Node) -> Iterator[Violation]:
    """Of level 2: what its kind has as attributes on level 1 is among its options."""
    yield from _call(node)
    kind, given = node.op.attributes["kind"].value, node.op.attributes["opts"]
    missing = [each for each in _OPTS_OF_KIND.get(kind, ()) if each not in given]
    if missing:
        yield "ORCH-I018", f"a {kind} lacks {', '.join(missing)} among its opts"
    elif kind == "prompt":
        yield from _prompt(node, given)
    elif kind == "field":
        yield from _field(node, given)


def _bound(name: str) -> Callable[[Node], Iterator[Violation]]:
    def check(node: Node) -> Iterator[Violation]:
        bound = node.op.attributes[name].value
        if bound < 1:
            yield "ORCH-I013", f"{name} is {bound}, and must be 1 or more"

    return check


_CHECKS: Final[dict[str, Callable[[Node], Iterator[Violation]]]] = {
    "agent.prompt": lambda node: _prompt(node, node.op.attributes),
    "agent.field": lambda node: _field(node, node.op.attributes),
    **dict.fromkeys(("agent.tool", "agent.retrieve"), _call),
    "op.call": _lowered_call,
    **dict.fromkeys(("agent.generate", "op.decode"), _bound("samples")),
    "agent.loop": _bound("max"),
    "agent.map": _bound("limit"),
}


def _misfits(node: Node, names: dict[Any, str]) -> list[Violation]:
    """Edges whose types do not fit; ``names`` remembers what MLIR types are called."""
    find, found = EDGES.get(node.name), []
    for what, have, want in find(node) if find is not None else ():
        given, target = _name(have, names), want if isinstance(want, str) else _name(want, names)
        if given != target and not fits(given, target):
            found.append(("ORCH-I020", f"{what} is {given}, and must be {target}"))
    return found


def _name(mlir_type: Any, names: dict[Any, str]) -> str:
    known = names.get(mlir_type)
    if known is None:
        known = names[mlir_type] = python_type(mlir_type)
    return known


def _regions_of(node: Node) -> Sequence[int]:
    """How many regions an op may have."""
    fixed = OPS[node.name].regions
    if fixed is not None:
        return (fixed,)
    listed = len(node.op.attributes["cases" if node.name == "agent.switch" else "catches"])
    return (listed, listed + 1) if node.name == "agent.switch" else (listed + 1, listed + 2)


def _attempt_violations(node: Node, yields: list[int], arguments: list[int]) -> Iterator[Violation]:
    """The body and the handlers yield the results, and the cleanup nothing; handlers take the error."""
    handlers, results = len(node.op.attributes["catches"]), len(node.op.results)
    if yields != [*[results] * (handlers + 1), 0][: len(yields)]:
        yield "ORCH-I015", f"regions yield {', '.join(map(str, yields))} values for {results} results"
    if arguments != [0, *[1] * handlers, 0][: len(arguments)]:
        yield "ORCH-I016", f"regions take {arguments} arguments, and only handlers take one, the error"


def _region_violations(node: Node) -> Iterator[Violation]:
    op, name = node.op, node.name
    allowed = _regions_of(node)
    if len(node.bodies) not in allowed:
        yield "ORCH-I016", f"{name} has {len(node.bodies)} regions instead of {' or '.join(map(str, allowed))}"
        return
    if name == "agent.race":
        if any(inner.op.name != "agent.arm" for inner in node.bodies[0].nodes):
            yield "ORCH-I014", "the region of agent.race holds only agent.arm"
        return
    if any(body.terminator is None for body in node.bodies):
        yield "ORCH-I014", f"a region of {name} does not end with agent.yield"
        return
    yields = [len(body.terminator.operands) for body in node.bodies]
    arguments = [len(body.arguments) for body in node.bodies]
    results, operands = len(op.results), len(op.operands)
    if name == "agent.attempt":
        yield from _attempt_violations(node, yields, arguments)
    match name:
        case "agent.branch" if yields != [results, results]:
            yield "ORCH-I015", f"arms yield {yields[0]} and {yields[1]} values for {results} results"
        case "agent.switch" if yields != [results] * len(yields):
            yield "ORCH-I015", f"cases yield {', '.join(map(str, yields))} values for {results} results"
        case "agent.loop" if yields != [1, results]:
            yield "ORCH-I015", f"cond and body yield {yields[0]} and {yields[1]} values instead of 1 and {results}"
        case "agent.map" if yields != [results]:
            yield "ORCH-I015", f"the body yields {yields[0]} values for {results} lists"
    if name == "agent.loop" and (results != operands or arguments != [operands, operands]):
        yield "ORCH-I016", f"{operands} initial values, {arguments} region arguments and {results} results differ"
    if name == "agent.map" and arguments != [operands]:
        yield "ORCH-I016", f"the body takes {arguments[0]} arguments for {operands} lists"
