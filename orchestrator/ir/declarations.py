"""What a module declares beside its workflow: the types and tools that it names.

::

    "agent.type"() {name = "Query", kind = "record", path = "flow:Query", bases = [], params = [],
        fields = {sql = "str"},
        schema = "{…}"} : () -> ()
    "agent.declare_tool"() {name = "run_sql", path = "flow:run_sql", code = "5f…", effects = "pure",
                            params = ["query"], types = ["str"], required = ["query"], returns = "list[Row]",
                            opts = {}} : () -> ()

Types and tools have names of their own, and so their ops have no ``sym_name``, which would be one namespace for both.

A ``path`` says where the Python object is found again, ``module:name`` or ``file.py:name``; it is empty where it
cannot be found. A tool with ``opts = {of = ["price"]}`` is made of other tools by what is at its path, and the types
made with it are at ``tool:name`` (``dsl.declared.made``). A type's ``kind`` is ``record`` (its fields are
attributes), ``dict`` (they are keys), ``class``, or ``alias`` (of its one base); its ``bases`` are those that something
in the module may ask for, builtin or declared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.errors import Diagnostic
from orchestrator.ir.builtins import BUILTINS as CALLEES
from orchestrator.ir.dialect import OPS, is_of_its_kind
from orchestrator.ir.options import Checked, is_json
from orchestrator.ir.subtypes import DeclaredType, Subtypes
from orchestrator.ir.walk import attr, source

TYPE, TOOL, WORKFLOW = "agent.type", "agent.declare_tool", "agent.workflow"
KINDS: Final = ("record", "dict", "class", "alias")
EFFECTS: Final = ("pure", "reads", "idempotent", "once")


@dataclass(frozen=True, slots=True)
class DeclaredTool:
    """One ``agent.declare_tool``; ``params`` are types by name, ``opts`` what else is declared of it."""

    name: str
    path: str
    code: str
    effects: str
    params: Mapping[str, str]
    required: Sequence[str]
    """Those of them that a call must give."""
    returns: str
    opts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def attributes(self) -> dict[str, object]:
        """As :meth:`orchestrator.ir.build.Builder.declare` takes it."""
        return {
            "path": self.path,
            "code": self.code,
            "effects": self.effects,
            "params": list(self.params),
            "types": list(self.params.values()),
            "required": list(self.required),
            "returns": self.returns,
            "opts": self.opts,
        }


@dataclass(frozen=True, slots=True)
class Declarations:
    """Everything that a module declares, by name."""

    types: Mapping[str, DeclaredType] = field(default_factory=dict)
    tools: Mapping[str, DeclaredTool] = field(default_factory=dict)


def top_level(module: Any) -> Iterator[Any]:
    """The ops of a module itself: declarations, and the workflow."""
    for block in module.operation.regions[0].blocks:
        yield from (each.operation for each in block)


def declarations(module: Any) -> Declarations:
    """What a module declares; its declarations must have the attributes that they need."""
    types, tools = {}, {}
    for op in top_level(module):
        name = str(attr(op, "name"))
        if op.name == TYPE:
            read = {each: attr(op, each) for each in ("kind", "path", "fields", "schema")}
            bases, params = tuple(attr(op, "bases")), tuple(attr(op, "params"))
            types[name] = DeclaredType(name, bases=bases, params=params, **read)
        elif op.name == TOOL:
            read = {each: attr(op, each) for each in ("path", "code", "effects", "required", "returns", "opts")}
            tools[name] = DeclaredTool(
                name, params=dict(zip(attr(op, "params"), attr(op, "types"), strict=True)), **read
            )
    return Declarations(types, tools)


def checked_declarations(module: Any) -> tuple[Declarations, list[Diagnostic]]:
    """The declarations of a module, and what is wrong with them or with what else stands beside its workflow."""
    found: list[Diagnostic] = []
    seen: set[tuple[str, str]] = set()
    for op in top_level(module):
        name = str(attr(op, "sym_name" if op.name == WORKFLOW else "name", ""))
        for code, message in _structural(op):
            found.append(Diagnostic(code, f"`{name}`: {message}", source(op)))
        if (op.name, name) in seen:
            found.append(Diagnostic("ORCH-I011", f"`{name}` is declared twice", source(op)))
        elif op.name == WORKFLOW and any(kind == WORKFLOW for kind, _ in seen):
            found.append(Diagnostic("ORCH-I001", f"`{name}` is a second workflow", source(op)))
        seen.add((op.name, name))
    if found:
        return Declarations(), found
    declared = declarations(module)
    types = Subtypes(declared.types)
    for op in top_level(module):
        name, where = attr(op, "name"), source(op)
        found += [Diagnostic("ORCH-I024", f"`{name}`: {problem}", where) for problem in _unknown_types(op, types)]
        if op.name == TYPE and types.is_endless(name):
            found.append(Diagnostic("ORCH-I026", f"`{name}` is an alias of itself", where))
    return declared, found


def _structural(op: Any) -> Iterator[tuple[str, str]]:
    if op.name == WORKFLOW:
        return
    if op.name not in (TYPE, TOOL):
        yield "ORCH-I017", f"{op.name} stands beside the workflow"
        return
    if len(op.operands) or len(op.results) or len(op.regions):
        yield "ORCH-I019", f"{op.name} has operands, results or regions"
        return
    missing = [each for each in OPS[op.name].attributes if each not in op.attributes]
    if missing:
        yield "ORCH-I018", f"{op.name} lacks {', '.join(missing)}"
        return
    mistaken = [each for each in OPS[op.name].attributes if not is_of_its_kind(each, op.attributes[each])]
    if mistaken:
        yield "ORCH-I027", f"{op.name} has something else than it takes in {', '.join(mistaken)}"
    elif unknown := [name for name in dict(op.attributes.items()) if name not in OPS[op.name].attributes]:
        yield "ORCH-I029", f"{op.name} has no attribute `{unknown[0]}`"
    elif op.name == TOOL:
        yield from _of_tool(op)
    else:
        yield from _of_type(op)


def _of_tool(op: Any) -> Iterator[tuple[str, str]]:
    name, params, required = attr(op, "name"), attr(op, "params"), attr(op, "required")
    if name in CALLEES:
        yield "ORCH-I026", "a builtin is declared by nobody"
    if len(params) != len(attr(op, "types")):
        yield "ORCH-I021", f"{len(params)} parameters have {len(attr(op, 'types'))} types"
    if len(set(params)) < len(params) or not all(each.isidentifier() for each in params):
        yield "ORCH-I021", f"the parameters are {', '.join(params)}"
    if len(set(required)) < len(required) or not set(required) <= set(params):
        yield "ORCH-I021", f"{', '.join(required)} are required, and the parameters are {', '.join(params)}"
    if attr(op, "effects") not in EFFECTS:
        yield "ORCH-I022", f"effects are {attr(op, 'effects')!r}, and must be {', '.join(EFFECTS)}"
    yield from Checked().of(TOOL, "", op.attributes["opts"])


def _of_type(op: Any) -> Iterator[tuple[str, str]]:
    schema = attr(op, "schema")
    if not all(isinstance(each, str) for each in attr(op, "fields").values()):
        yield "ORCH-I027", "a field has no type"
    elif attr(op, "kind") not in KINDS:
        yield "ORCH-I026", f"the kind is {attr(op, 'kind')!r}, and must be {', '.join(KINDS)}"
    elif attr(op, "kind") == "alias" and len(attr(op, "bases")) != 1:
        yield "ORCH-I026", "an alias has one base"
    elif schema and not is_json(schema):
        yield "ORCH-I026", f"the schema {schema!r} is no JSON"


def _unknown_types(op: Any, types: Subtypes) -> Iterator[str]:
    if op.name == TYPE:
        named = attr(op, "bases")
    elif op.name == TOOL:
        named = [*attr(op, "types"), attr(op, "returns")]
    else:
        return
    yield from (problem for each in dict.fromkeys(named) if (problem := types.problem(each)) is not None)
