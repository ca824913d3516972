"""The two dialects: ``agent`` is what the user said, ``op`` is what the hardware does.

Every op but the terminator carries ``id`` (unique, user-facing; the workflow has ``sym_name``) and ``opts`` (optional
things, absent = default), and its location is ``loc("id"("file.py":line:col))``. A value has the type
``!agent.value<"list[Query]">``, a Python type string (``Chat`` for conversations), ``!agent.token``, which orders
effects (:mod:`orchestrator.ir.tokens`), or ``!op.kv``.

The ops are declared here as data and checked by :mod:`orchestrator.ir.verify`; MLIR checks SSA form and dominance, and
prints and parses. They are not registered through IRDL, which gives all operands of a variadic list one type: see
``docs/decisions/003-dialects-as-data.md``. Beside the workflow stand its declarations, see
:mod:`orchestrator.ir.declarations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.ir._mlir import ir

MODULES_PER_CONTEXT: Final = 64
"""MLIR never frees what a context has interned, and a new context takes milliseconds. So one serves this many modules
and is then left to those that still use it: a daemon's memory is bounded by the modules it keeps."""

MANY: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class OpSpec:
    """One op: required attributes, the least and most operands and results without tokens, the number of regions."""

    attributes: tuple[str, ...]
    operands: tuple[int, int] = (0, 0)
    results: tuple[int, int] = (0, 0)
    regions: int | None = 0
    """None where an attribute says how many."""


_COMMON: Final = ("id", "opts")
_MODEL: Final = (*_COMMON, "model", "returns", "samples")
_MOVED: Final = ("source", "target", "bytes", "seconds")
_CALL: Final = (*_COMMON, "callee", "params", "effects")

_TEXT, _LIST, _ENTRIES, _NUMBER = ir.StringAttr, ir.ArrayAttr, ir.DictAttr, ir.IntegerAttr
_LISTS: Final = (_LIST,)
"""A list of lists of texts."""
KINDS_OF_ATTRIBUTES: Final[dict[str, Any]] = {
    **dict.fromkeys(("name", "sym_name", "id", "kind", "path", "schema", "code", "effects", "returns"), _TEXT),
    **dict.fromkeys(("value", "model", "callee", "place", "source", "target"), _TEXT),
    **dict.fromkeys(("bases", "params", "types", "required", "parts"), _LIST),
    **dict.fromkeys(("cases", "catches"), _LISTS),
    **dict.fromkeys(("opts", "fields"), _ENTRIES),
    **dict.fromkeys(("samples", "max", "limit", "concurrency"), _NUMBER),
    **dict.fromkeys(("ttl_s", "bytes", "seconds"), ir.FloatAttr),
}
"""What each required attribute is in MLIR."""

OPS: Final[dict[str, OpSpec]] = {
    "agent.type": OpSpec(("name", "kind", "path", "bases", "params", "fields", "schema")),
    "agent.declare_tool": OpSpec(("name", "path", "code", "effects", "params", "types", "required", "returns", "opts")),
    "agent.workflow": OpSpec(("sym_name", "opts"), regions=1),
    "agent.const": OpSpec((*_COMMON, "value"), (0, 0), (1, 1)),
    "agent.prompt": OpSpec((*_COMMON, "parts"), (0, MANY), (1, 1)),
    "agent.chat": OpSpec(_COMMON, (0, 2), (1, 1)),
    "agent.generate": OpSpec(_MODEL, (1, 5), (2, 3)),
    "agent.tool": OpSpec(_CALL, (0, MANY), (1, 1)),
    "agent.retrieve": OpSpec(_CALL, (0, MANY), (1, 1)),
    "agent.field": OpSpec((*_COMMON, "path"), (1, 1), (1, 1)),
    "agent.done": OpSpec(_COMMON, (1, MANY)),
    "agent.ask": OpSpec((*_COMMON, "returns"), (1, 1), (1, 1)),
    "agent.sleep": OpSpec(_COMMON, (0, 1), (1, 1)),
    "agent.branch": OpSpec(_COMMON, (1, 1), (0, MANY), 2),
    "agent.switch": OpSpec((*_COMMON, "cases"), (1, 1), (0, MANY), None),
    "agent.attempt": OpSpec((*_COMMON, "catches"), (0, 0), (0, MANY), None),
    "agent.fail": OpSpec((*_COMMON, "kind", "bases"), (1, 2)),
    "agent.loop": OpSpec((*_COMMON, "max"), (0, MANY), (0, MANY), 2),
    "agent.map": OpSpec((*_COMMON, "limit", "concurrency"), (1, MANY), (0, MANY), 1),
    "agent.race": OpSpec(_COMMON, (0, 0), (0, MANY), 1),
    "agent.arm": OpSpec(("id",), regions=1),
    "op.prefill": OpSpec((*_COMMON, "model", "place"), (1, 5), (1, 1)),
    "op.decode": OpSpec((*_MODEL, "place"), (1, 1), (2, 3)),
    "op.call": OpSpec((*_CALL, "kind", "place"), (0, MANY), (1, 1)),
    **dict.fromkeys(("op.transfer", "op.kv_move"), OpSpec((*_COMMON, *_MOVED), (1, MANY), (1, MANY))),
    "op.kv_pin": OpSpec((*_COMMON, "ttl_s"), (1, MANY)),
    "op.kv_extend": OpSpec((*_COMMON, "ttl_s"), (1, MANY)),
    "op.kv_release": OpSpec(_COMMON, (1, 1)),
    "op.kv_supersede": OpSpec(_COMMON, (1, MANY)),
    "op.kv_prefetch": OpSpec((*_COMMON, "ttl_s"), (1, 1)),
}
"""Every op of both dialects but the terminator ``agent.yield``, which takes any values."""


MOVES: Final = frozenset({"op.transfer", "op.kv_move"})
"""They say that values cross a link between pools, and give them as they are: what they mean is nothing."""


def is_of_its_kind(name: str, attribute: Any) -> bool:
    """Whether a required attribute is what it must be: text, a list of texts, a dictionary or a number."""
    kind = KINDS_OF_ATTRIBUTES.get(name)
    if kind is _LISTS:
        return type(attribute) is _LIST and all(is_of_its_kind("params", each) for each in attribute)
    if kind is not None and type(attribute) is not kind:
        return False
    return kind is not _LIST or all(type(each) is _TEXT for each in attribute)


def mistaken(name: str, attributes: Mapping[str, Any]) -> list[str]:
    """Those required attributes of an op that are something else than they must be; they are all there."""
    plain, others = _KINDS_OF_OP[name]
    found = [each for each, kind in plain if type(attributes[each]) is not kind]
    return found + [each for each in others if not is_of_its_kind(each, attributes[each])]


_KINDS_OF_OP: Final = {
    name: (
        tuple((each, kind) for each in spec.attributes if isinstance(kind := KINDS_OF_ATTRIBUTES.get(each), type)
              and kind is not _LIST),
        tuple(each for each in spec.attributes if KINDS_OF_ATTRIBUTES.get(each) in (_LIST, _LISTS)),
    )
    for name, spec in OPS.items()
}  # fmt: skip
"""For each op, it has the attributes that a class is enough for, with that class, and those that are lists."""


_current: list[Any] = [None, 0]


def context() -> Any:
    """A context, shared with the modules built shortly before; how many exactly does not matter: there is no lock."""
    made, modules = _current
    if made is None or modules >= MODULES_PER_CONTEXT:
        made, modules = new_context(), 0
    _current[:] = made, modules + 1
    return made


def new_context() -> Any:
    """A context of its own. Single-threaded: modules are small, and a thread pool costs more than it gives."""
    made = ir.Context()
    made.enable_multithreading(False)
    made.allow_unregistered_dialects = True
    return made
