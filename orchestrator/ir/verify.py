"""Is a module well-formed? What MLIR checks, and the dialects' own rules with the user's line.

All violations are reported together. Codes: I010 MLIR's own verifier, I011 duplicate id, I012 prompt parts and holes,
I013 bounds, I014 terminators, I015 results of a region op, I016 region arguments, I017 unknown op, I018 a required
attribute is missing, I019 number of operands or results, I020 types that do not fit, I021 arguments and parameters of a
call, I022 unknown effects, I023 the path of a field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from orchestrator.errors import Diagnostic, IRError
from orchestrator.ir._mlir import ir
from orchestrator.ir.dialect import OPS
from orchestrator.ir.typecheck import edges, fits
from orchestrator.ir.walk import Node, attr, nodes, op_id, python_type, source, tree

_BOUNDS: Final = {"agent.loop": "max", "agent.map": "limit", "agent.generate": "samples", "op.decode": "samples"}
_EFFECTS: Final = ("pure", "idempotent", "once")
_PATH: Final = re.compile(r"-?\d+|[^\W\d]\w*")


def verify(module: Any) -> None:
    """Raise one :class:`IRError` with everything that is wrong with ``module``."""
    try:
        module.operation.verify()
    except ir.MLIRError as error:
        raise IRError("ORCH-I010", f"MLIR rejects the module: {error}") from error
    root = tree(module)
    found: list[Diagnostic] = []
    seen: dict[str, Any] = {}
    names: dict[Any, str] = {}
    for node in (root, *nodes(root.bodies[0])):
        identity = op_id(node.op)
        if node is not root and identity in seen:
            why = f"the other one is at {source(seen[identity])}"
            found.append(Diagnostic("ORCH-I011", f"two ops have the id `{identity}`", source(node.op), why))
        if node is not root:
            seen[identity] = node.op
        wrong = list(_violations(node))
        for code, message in wrong or _misfits(node, names):
            found.append(Diagnostic(code, f"`{identity}`: {message}", source(node.op)))
    if found:
        raise IRError.collect(found)


def _violations(node: Node) -> Iterator[tuple[str, str]]:
    op, name = node.op, node.name
    spec = OPS.get(name)
    if spec is None:
        yield "ORCH-I017", f"there is no op {name}"
        return
    attributes = op.attributes
    missing = [each for each in spec.attributes if each not in attributes]
    if missing:
        yield "ORCH-I018", f"{name} lacks {', '.join(missing)}"
        return
    for what, (least, most), found in (
        ("operands", spec.operands, len(op.operands)),
        ("results", spec.results, len(op.results)),
    ):
        if not least <= found <= most:
            yield "ORCH-I019", f"{name} has {found} {what}; {least} to {most} are allowed"
    if name == "agent.prompt" and len(op.attributes["parts"]) != len(op.operands) + 1:
        yield "ORCH-I012", f"{len(op.attributes['parts'])} parts around {len(op.operands)} holes; one more is needed"
    if "effects" in attributes:
        yield from _call_violations(op)
    if name == "agent.field" and not (attr(op, "opts").get("keyed") or _PATH.fullmatch(attr(op, "path"))):
        yield "ORCH-I023", f"the path {attr(op, 'path')!r} is neither a name nor a position"
    bound = _BOUNDS.get(name)
    if bound is not None and attr(op, bound) < 1:
        yield "ORCH-I013", f"{bound} is {attr(op, bound)}, and must be 1 or more"
    if node.bodies or spec.regions:
        yield from _region_violations(node)


def _call_violations(op: Any) -> Iterator[tuple[str, str]]:
    params, effects = len(op.attributes["params"]), op.attributes["effects"].value
    if op.attributes["callee"].value and params != len(op.operands):
        yield "ORCH-I021", f"{len(op.operands)} arguments for {params} parameters"
    if effects not in _EFFECTS:
        yield "ORCH-I022", f"effects are {effects!r}, and must be {', '.join(_EFFECTS)}"


def _misfits(node: Node, names: dict[Any, str]) -> Iterator[tuple[str, str]]:
    for what, *types in edges(node):
        have, want = (each if isinstance(each, str) else _name(each, names) for each in types)
        if not fits(have, want):
            yield "ORCH-I020", f"{what} is {have}, and must be {want}"


def _name(mlir_type: Any, names: dict[Any, str]) -> str:
    if mlir_type not in names:
        names[mlir_type] = python_type(mlir_type)
    return names[mlir_type]


def _region_violations(node: Node) -> Iterator[tuple[str, str]]:
    op, name = node.op, node.name
    expected = OPS[name].regions
    if len(node.bodies) != expected:
        yield "ORCH-I016", f"{name} has {len(node.bodies)} regions instead of {expected}"
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
    match name:
        case "agent.branch" if yields != [results, results]:
            yield "ORCH-I015", f"arms yield {yields[0]} and {yields[1]} values for {results} results"
        case "agent.loop" if yields != [1, results]:
            yield "ORCH-I015", f"cond and body yield {yields[0]} and {yields[1]} values instead of 1 and {results}"
        case "agent.map" if yields != [results]:
            yield "ORCH-I015", f"the body yields {yields[0]} values for {results} lists"
    if name == "agent.loop" and (results != operands or arguments != [operands, operands]):
        yield "ORCH-I016", f"{operands} initial values, {arguments} region arguments and {results} results differ"
    if name == "agent.map" and arguments != [operands]:
        yield "ORCH-I016", f"the body takes {arguments[0]} arguments for {operands} lists"
