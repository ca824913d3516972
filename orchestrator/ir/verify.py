"""Is a module well-formed? What MLIR checks, and the dialects' own rules with the user's line.

All violations are reported together; :mod:`orchestrator.ir.codes` lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from orchestrator.errors import Diagnostic, IRError
from orchestrator.ir._mlir import ir
from orchestrator.ir.declarations import EFFECTS, Declarations, checked_declarations
from orchestrator.ir.dialect import OPS, is_of_its_kind
from orchestrator.ir.signatures import Signatures, Violation
from orchestrator.ir.subtypes import OTHERS, Subtypes
from orchestrator.ir.tokencheck import misplaced
from orchestrator.ir.tokens import operands, results
from orchestrator.ir.typecheck import EDGES, PROMPT
from orchestrator.ir.types import STR, Type, parse_type
from orchestrator.ir.walk import Node, nodes, op_id, python_type, source, tree

_OPTS_OF_KIND: Final = {"const": ("value",), "prompt": ("parts",), "field": ("path",), "ask": ("returns",)}


def verify(module: Any) -> Node:
    """The workflow of a module in which nothing is wrong; else one :class:`IRError` with everything that is."""
    try:
        module.operation.verify()
    except ir.MLIRError as error:
        raise IRError("ORCH-I010", f"MLIR rejects the module: {error}") from error
    root = tree(module)
    declared, found = checked_declarations(module)
    values = _Values(declared)
    signatures = Signatures(declared, values.types, values.type_of)
    seen: dict[str, Any] = {}
    for node in (root, *nodes(root.bodies[0])):
        op = node.op
        attributes = dict(op.attributes.items())
        if node is not root and is_of_its_kind("id", attributes.get("id")):
            identity = attributes["id"].value
            other = seen.setdefault(identity, op)
            if other is not op:
                why = f"the other one is at {source(other)}"
                found.append(Diagnostic("ORCH-I011", f"two ops have the id `{identity}`", source(op), why))
        wrong = _violations(node, attributes)
        if not wrong or not any(code in _INCOMPLETE for code, _ in wrong):
            wrong += values.misfits(node)
            wrong += signatures.of(node, attributes)
        for code, message in (*values.unknown(node), *wrong):
            found.append(Diagnostic(code, f"`{op_id(op)}`: {message}", source(op)))
    if not found:
        found = [Diagnostic("ORCH-I028", f"`{op_id(at.op)}`: {what}", source(at.op)) for at, what in misplaced(root)]
    if found:
        raise IRError.collect(found)
    return root


_INCOMPLETE: Final = frozenset(
    {"ORCH-I014", "ORCH-I015", "ORCH-I016", "ORCH-I017", "ORCH-I018", "ORCH-I019", "ORCH-I027"}
)
"""Violations after which the types of an op cannot be looked at."""

Check = Callable[[Node, Mapping[str, Any]], Iterator[Violation]]


class _Values:
    """The types of the values in a module."""

    def __init__(self, declared: Declarations) -> None:
        self.types = Subtypes(declared.types)
        self._known: dict[Any, Type | None] = {}
        self._wrong: list[Violation] = []

    def type_of(self, side: Any) -> Type | None:
        """The Python type of an MLIR type, or of a name; None if it is none that the module knows."""
        try:
            return self._known[side]
        except KeyError:
            known = self._known[side] = self._named(side) if isinstance(side, str) else self._read(side)
            return known

    def _read(self, mlir_type: Any) -> Type | None:
        name = python_type(mlir_type)
        if name == str(mlir_type) and name not in OTHERS:
            self._wrong.append(("ORCH-I024", f"there is no type {name}"))
            return None
        return self._named(name)

    def _named(self, name: str) -> Type | None:
        if name in OTHERS:
            return Type(name)
        problem = self.types.problem(name)
        if problem is not None:
            self._wrong.append(("ORCH-I024", problem))
            return None
        return parse_type(name)

    def unknown(self, node: Node) -> list[Violation]:
        """Types that the module does not know, each told where it is met first."""
        for body in node.bodies:
            for value in body.arguments:
                self.type_of(value.type)
        for value in node.op.results:
            self.type_of(value.type)
        wrong, self._wrong = self._wrong, []
        return wrong

    def misfits(self, node: Node) -> Iterator[Violation]:
        """Edges whose types do not fit."""
        find = EDGES.get(node.name)
        for each in find(node) if find is not None else ():
            have = self.type_of(each.have)
            if each.want is PROMPT:
                want: Type | None = have if have is not None and "Message" in have.names() else STR
            else:
                want = self.type_of(each.want)
            if have is want or have is None or want is None or have == want:
                continue
            if each.is_same or not self.types.fits(have, want):
                yield "ORCH-I020", f"{each.what} is {have}, and must be {want}"


def _violations(node: Node, attributes: Mapping[str, Any]) -> list[Violation]:
    op, name = node.op, node.name
    spec = OPS.get(name)
    if spec is None:
        return [("ORCH-I017", f"there is no op {name}")]
    missing = [each for each in spec.attributes if each not in attributes]
    if missing:
        return [("ORCH-I018", f"{name} lacks {', '.join(missing)}")]
    mistaken = [each for each in spec.attributes if not is_of_its_kind(each, attributes[each])]
    if mistaken:
        return [("ORCH-I027", f"{name} has something else than it takes in {', '.join(mistaken)}")]
    found: list[Violation] = []
    counts = ("operands", spec.operands, op.operands, operands), ("results", spec.results, op.results, results)
    for what, (least, most), values, without_tokens in counts:
        count = len(values)
        if count > most:  # a token more than there is of data is the rule, and looking at each costs
            count = len(without_tokens(op))
        if not least <= count <= most:
            found.append(("ORCH-I019", f"{name} has {count} {what}; {least} to {most} are allowed"))
    check = _CHECKS.get(name)
    if check is not None:
        found += check(node, attributes)
    if node.bodies or spec.regions != 0:
        found += _region_violations(node)
    return found


def _prompt(node: Node, given: Mapping[str, Any]) -> Iterator[Violation]:
    parts, holes = len(given["parts"]), len(node.op.operands)
    if parts != holes + 1 and parts != (holes := len(operands(node.op))) + 1:
        yield "ORCH-I012", f"{parts} parts around {holes} holes; one more is needed"


def _call(node: Node, attributes: Mapping[str, Any]) -> Iterator[Violation]:
    params, effects, arguments = len(attributes["params"]), attributes["effects"].value, len(node.op.operands)
    if params != arguments and attributes["callee"].value and params != (arguments := len(operands(node.op))):
        yield "ORCH-I021", f"{arguments} arguments for {params} parameters"
    if effects not in EFFECTS:
        yield "ORCH-I022", f"effects are {effects!r}, and must be {', '.join(EFFECTS)}"


def _lowered_call(node: Node, attributes: Mapping[str, Any]) -> Iterator[Violation]:
    """Of level 2: what its kind has as attributes on level 1 is among its options."""
    yield from _call(node, attributes)
    kind, given = attributes["kind"].value, attributes["opts"]
    wanted = _OPTS_OF_KIND.get(kind, ())
    missing = [each for each in wanted if each not in given]
    if missing:
        yield "ORCH-I018", f"a {kind} lacks {', '.join(missing)} among its opts"
    elif not all(is_of_its_kind(each, given[each]) for each in wanted):
        yield "ORCH-I027", f"a {kind} has something else than it takes among its opts"
    elif kind == "prompt":
        yield from _prompt(node, given)


def _bound(name: str) -> Check:
    def check(_node: Node, attributes: Mapping[str, Any]) -> Iterator[Violation]:
        bound = attributes[name].value
        if bound < 1:
            yield "ORCH-I013", f"{name} is {bound}, and must be 1 or more"

    return check


_CHECKS: Final[dict[str, Check]] = {
    "agent.prompt": _prompt,
    **dict.fromkeys(("agent.tool", "agent.retrieve"), _call),
    "op.call": _lowered_call,
    **dict.fromkeys(("agent.generate", "op.decode"), _bound("samples")),
    "agent.loop": _bound("max"),
    "agent.map": _bound("limit"),
}


def _regions_of(node: Node) -> Sequence[int]:
    """How many regions an op may have."""
    fixed = OPS[node.name].regions
    if fixed is not None:
        return (fixed,)
    listed = len(node.op.attributes["cases" if node.name == "agent.switch" else "catches"])
    return (listed, listed + 1) if node.name == "agent.switch" else (listed + 1, listed + 2)


def _attempt_violations(node: Node, yields: list[int], arguments: list[int]) -> Iterator[Violation]:
    """The body and the handlers yield the results, and the cleanup nothing; handlers take the error."""
    handlers, made = len(node.op.attributes["catches"]), len(results(node.op))
    if yields != [*[made] * (handlers + 1), 0][: len(yields)]:
        yield "ORCH-I015", f"regions yield {', '.join(map(str, yields))} values for {made} results"
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
    if any(len(list(region.blocks)) != 1 for region in op.regions):
        yield "ORCH-I016", f"each region of {name} has one block"
        return
    if any(body.terminator is None for body in node.bodies):
        yield "ORCH-I014", f"a region of {name} does not end with agent.yield"
        return
    yield from _wrong_counts(node)


def _wrong_counts(node: Node) -> Iterator[Violation]:
    """As many values enter and leave the regions as the op says."""
    name = node.name
    yields = [len(body.terminator.operands) for body in node.bodies]
    arguments = [len(body.arguments) for body in node.bodies]
    made, given = len(results(node.op)), len(operands(node.op))
    if name == "agent.attempt":
        yield from _attempt_violations(node, yields, arguments)
    match name:
        case "agent.branch" if yields != [made, made]:
            yield "ORCH-I015", f"arms yield {yields[0]} and {yields[1]} values for {made} results"
        case "agent.switch" if yields != [made] * len(yields):
            yield "ORCH-I015", f"cases yield {', '.join(map(str, yields))} values for {made} results"
        case "agent.loop" if yields != [1, made]:
            yield "ORCH-I015", f"cond and body yield {yields[0]} and {yields[1]} values instead of 1 and {made}"
        case "agent.map" if yields != [made]:
            yield "ORCH-I015", f"the body yields {yields[0]} values for {made} lists"
    if name == "agent.loop" and (made != given or arguments != [given, given]):
        yield "ORCH-I016", f"{given} initial values, {arguments} region arguments and {made} results differ"
    if name == "agent.map" and arguments != [given]:
        yield "ORCH-I016", f"the body takes {arguments[0]} arguments for {given} lists"
