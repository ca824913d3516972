"""Is a module well-formed? What MLIR checks, and the dialects' own rules with the user's line.

All violations are reported together; :mod:`orchestrator.ir.codes` lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from keyword import iskeyword
from math import inf
from typing import Any, Final

from orchestrator.errors import Diagnostic, IRError
from orchestrator.ir._mlir import ir
from orchestrator.ir.declarations import EFFECTS, Declarations, checked_declarations
from orchestrator.ir.dialect import MOVES, OPS, OpSpec, is_of_its_kind, mistaken
from orchestrator.ir.options import ATTRIBUTES, MOST, Checked, defaults_are_texts, is_json
from orchestrator.ir.placement import misplaced
from orchestrator.ir.signatures import Signatures, Violation
from orchestrator.ir.subtypes import OTHERS, Subtypes
from orchestrator.ir.tokencheck import misplaced as misplaced_tokens
from orchestrator.ir.tokens import operands, results
from orchestrator.ir.typecheck import EDGES, PROMPT
from orchestrator.ir.types import STR, Type, parse_type
from orchestrator.ir.walk import Node, nodes, op_id, place, python_type, source, to_python, tree

_OPTS_OF_KIND: Final = {"const": ("value",), "prompt": ("parts",), "field": ("path",), "ask": ("returns",)}


def verify(module: Any) -> Node:
    """The workflow of a module in which nothing is wrong; else one :class:`IRError` with everything that is."""
    try:
        module.operation.verify()
    except ir.MLIRError as error:
        where = next((loc for each in error.error_diagnostics if (loc := place(each.location)) is not None), None)
        raise IRError("ORCH-I010", f"MLIR rejects the module: {error}", where=where) from error
    root = tree(module)
    declared, found = checked_declarations(module)
    values = _Values(declared)
    signatures = Signatures(declared, values.types, values.type_of)
    options = Checked()
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
        wrong = _violations(node, attributes, options)
        named: Any = attributes.get("sym_name" if node is root else "id")
        if type(named) is ir.StringAttr and not (named.value and named.value.isprintable()):
            wrong.append(("ORCH-I027", f"{named.value!r} is no name: it is empty, or cannot be printed"))
        if not wrong or not any(code in _INCOMPLETE for code, _ in wrong):
            wrong += values.misfits(node)
            wrong += signatures.of(node, attributes)
        for code, message in (*values.unknown(node), *wrong):
            found.append(Diagnostic(code, f"`{op_id(op)}`: {message}", source(op)))
    found += [Diagnostic(code, f"`{op_id(op)}`: {what}", source(op)) for op, code, what in misplaced(root)]
    if not found:
        wrong_tokens = misplaced_tokens(root)
        found = [Diagnostic("ORCH-I028", f"`{op_id(at.op)}`: {what}", source(at.op)) for at, what in wrong_tokens]
    if found:
        raise IRError.collect(found)
    return root


_INCOMPLETE: Final = frozenset(
    {"ORCH-I014", "ORCH-I015", "ORCH-I016", "ORCH-I017", "ORCH-I018", "ORCH-I019", "ORCH-I027", "ORCH-I029"}
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


def _wrong_attributes(node: Node, spec: OpSpec, attributes: Mapping[str, Any], options: Checked) -> list[Violation]:
    """An op has the attributes that it must, the options that it may, and no others."""
    name = node.name
    missing = [each for each in spec.attributes if each not in attributes]
    if missing:
        return [("ORCH-I018", f"{name} lacks {', '.join(missing)}")]
    wrong = mistaken(name, attributes)
    if wrong:
        return [("ORCH-I027", f"{name} has something else than it takes in {', '.join(wrong)}")]
    if len(attributes) > len(spec.attributes):
        known = {*spec.attributes, *ATTRIBUTES.get(name, ())}
        unknown = [each for each in attributes if each not in known]
        if unknown:
            return [("ORCH-I029", f"{name} has no attribute `{unknown[0]}`")]
    kind = attributes["kind"].value if name == "op.call" else ""
    return list(options.of(name, kind, attributes["opts"])) if "opts" in attributes else []


def _violations(node: Node, attributes: Mapping[str, Any], options: Checked) -> list[Violation]:
    op, name = node.op, node.name
    spec = OPS.get(name)
    if spec is None:
        return [("ORCH-I017", f"there is no op {name}")]
    wrong = _wrong_attributes(node, spec, attributes, options)
    if wrong:
        return wrong
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
    elif kind == "sleep":
        yield from _sleep(node, attributes)


def _bound(name: str, least: int = 1) -> Check:
    def check(_node: Node, attributes: Mapping[str, Any]) -> Iterator[Violation]:
        bound = attributes[name].value
        if not least <= bound < MOST:
            yield "ORCH-I013", f"{name} is {bound}, and must be from {least} to {MOST - 1}"

    return check


def _map(node: Node, attributes: Mapping[str, Any]) -> Iterator[Violation]:
    yield from _LIMIT(node, attributes)
    yield from _CONCURRENCY(node, attributes)


def _model_call(node: Node, attributes: Mapping[str, Any]) -> Iterator[Violation]:
    """A model call gives probabilities where it asks for them, and keeps no more samples than it has."""
    yield from _SAMPLES(node, attributes)
    given, samples = attributes["opts"], attributes["samples"].value
    least = 3 if "logprobs" in given else 2
    if len(node.op.results) != least and (made := len(results(node.op))) != least:
        yield "ORCH-I019", f"it has {made} results, and must have {least}"
    if "at_least" in given and given["at_least"].value > samples:
        yield "ORCH-I013", f"at_least is {given['at_least'].value}, and there are {samples} samples"


def _generate(node: Node, attributes: Mapping[str, Any]) -> Iterator[Violation]:
    yield from _model_call(node, attributes)
    given = attributes["opts"]
    late, taken = len(given["late"]) if "late" in given else 0, len(node.op.operands) - 1
    if taken > late + 1:
        taken = len(operands(node.op)) - 1
    if taken != late + 1 and (late or taken > 1):
        yield "ORCH-I019", f"it takes {taken} values beside its prompt, and must take a conversation and {late} options"


def _sleep(node: Node, attributes: Mapping[str, Any]) -> Iterator[Violation]:
    """It says for how long, or takes it."""
    told, taken = "seconds" in attributes["opts"], len(operands(node.op))
    if told + taken != 1:
        yield "ORCH-I019", f"it takes {taken} values{' and has seconds' * told}, and must have one of the two"


def _switch(_node: Node, attributes: Mapping[str, Any]) -> Iterator[Violation]:
    for text in (text.value for case in attributes["cases"] for text in case):
        if not is_json(text):
            yield "ORCH-I026", f"the case {text!r} is no JSON"


def _workflow(node: Node, attributes: Mapping[str, Any]) -> Iterator[Violation]:
    """Its parameters are as many as it says."""
    given, taken = attributes["opts"], len(node.bodies[0].arguments) if node.bodies else 0
    names = to_python(given["params"]) if "params" in given else None
    if names is not None and (len(names) != taken or len(set(names)) < len(names)):
        yield "ORCH-I021", f"its parameters are {', '.join(names)}, and it takes {taken} arguments"
    elif names is not None and (odd := [name for name in names if not name.isidentifier() or iskeyword(name)]):
        yield "ORCH-I021", f"{odd[0]!r} cannot be the name of a parameter"
    defaults = attributes.get("defaults")
    if defaults is not None and not defaults_are_texts(defaults):
        yield "ORCH-I027", "the defaults are something else than JSON by the names of parameters"
    elif defaults is not None and not set(to_python(defaults)) <= set(names or ()):
        yield "ORCH-I021", f"there are defaults of {', '.join(to_python(defaults))}, and not all are parameters"


def _moved(node: Node, attributes: Mapping[str, Any]) -> Iterator[Violation]:
    """As many values arrive as leave, and they take some time or none."""
    leaving, arriving = len(node.op.operands), len(node.op.results)
    if leaving != arriving:
        yield "ORCH-I019", f"{leaving} values leave, and {arriving} arrive"
    wrong = [name for name in ("bytes", "seconds") if not 0 <= attributes[name].value < inf]
    if wrong:
        yield "ORCH-I027", f"{' and '.join(wrong)} of a move cannot be counted"


_SAMPLES: Final = _bound("samples")
_LIMIT: Final = _bound("limit")
_CONCURRENCY: Final = _bound("concurrency", 0)
_CHECKS: Final[dict[str, Check]] = {
    "agent.workflow": _workflow,
    "agent.prompt": _prompt,
    **dict.fromkeys(("agent.tool", "agent.retrieve"), _call),
    "op.call": _lowered_call,
    "agent.generate": _generate,
    "op.decode": _model_call,
    **dict.fromkeys(MOVES, _moved),
    "agent.sleep": _sleep,
    "agent.switch": _switch,
    "agent.loop": _bound("max"),
    "agent.map": _map,
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
        if not node.bodies[0].nodes:
            yield "ORCH-I016", "agent.race has no arm"
        if node.bodies[0].terminator is not None or node.bodies[0].arguments:
            yield "ORCH-I014", "the region of agent.race takes and yields nothing"
        return
    if any(len(list(region.blocks)) != 1 for region in op.regions):
        yield "ORCH-I016", f"each region of {name} has one block"
        return
    if any(body.terminator is None for body in node.bodies):
        yield "ORCH-I014", f"a region of {name} does not end with agent.yield"
        return
    for body in node.bodies:
        end = body.terminator
        if len(end.attributes) or len(end.results) or len(end.regions):
            yield "ORCH-I014", f"the agent.yield of {name} has attributes, results or regions"
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
    if name in ("agent.branch", "agent.switch", "agent.arm") and any(arguments):
        yield "ORCH-I016", f"a region of {name} takes arguments"
    if name == "agent.workflow" and yields != [1] and "returns" in node.op.attributes["opts"]:
        yield "ORCH-I015", f"the workflow yields {yields[0]} values instead of one"
    if name == "agent.map" and arguments != [given]:
        yield "ORCH-I016", f"the body takes {arguments[0]} arguments for {given} lists"
