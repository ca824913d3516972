"""Whether a value may be, or be a part of, what another one holds, by the ops that they come from.

In Python ``tags = item.tags`` is no copy: to change ``tags`` changes ``item``. A value of a workflow does not change,
so such a change would be lost for ``item``. Two questions decide it::

    places(tags)  the objects that it may be, or lie in:   tags itself, item
    held(item)    the objects that this one holds:         item itself, and so all that lies in it

A copy, ``list(xs)``, is an object of its own that holds the members of the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from orchestrator.dsl.tracer import Tracer, Value
from orchestrator.dsl.typing import assignable

_SAME: Final = frozenset({"builtin.bounded", "builtin.narrow"})
"""Ops that give what they are given."""
_TAKING: Final = frozenset(
    {"builtin.getitem", "builtin.dict.get", "builtin.max", "builtin.min", "builtin.max_by", "builtin.min_by"}
)
"""Ops that give a member of what they are given first."""
_WITH_REGIONS: Final = frozenset({"agent.branch", "agent.switch", "agent.attempt", "agent.loop", "agent.map"})
_DISPLAYS: Final = frozenset({"builtin.list", "builtin.tuple", "builtin.dict"})
Source: TypeAlias = "tuple[Any, str]"
_FLAT: Final = (str, int, float, bool, bytes, type(None))


def may_share(tracer: Tracer, target: Value[Any], other: Value[Any]) -> bool:
    """Whether a change of ``target`` could be seen through ``other``."""
    if other._ssa is None or target._ssa is None or any(assignable(other._type, each) for each in _FLAT):
        return False
    whole, inside = _held(tracer, other._ssa)
    return any(ssa in whole or (is_part and ssa in inside) for ssa, is_part in _places(tracer, target._ssa))


def may_be_of(tracer: Tracer, target: Value[Any], known: object) -> bool:
    """Whether a value may be, or be a part of, a list or dict that tracing knows."""
    return target._ssa is not None and any(
        ssa in tracer.lifted and tracer.lifted[ssa] is known for ssa, _ in _places(tracer, target._ssa)
    )


def _places(tracer: Tracer, start: Any) -> set[tuple[Any, bool]]:
    """The objects that a value may be, or lie in."""
    found: set[tuple[Any, bool]] = set()
    todo = [(start, False)]
    while todo:
        ssa, is_part = todo.pop()
        if (ssa, is_part) in found:
            continue
        found.add((ssa, is_part))
        for operand, how in _sources(tracer, ssa):
            if how == "same":
                todo.append((operand, is_part))
            elif how == "member" or is_part:
                todo.append((operand, True))
    return found


def _held(tracer: Tracer, start: Any) -> tuple[set[Any], set[Any]]:
    """The objects that a value is or holds as a whole, and those of which it holds members."""
    whole: set[Any] = set()
    inside: set[Any] = set()
    todo = [(start, True)]
    while todo:
        ssa, is_whole = todo.pop()
        known = whole if is_whole else inside
        if ssa in known:
            continue
        known.add(ssa)
        for operand, how in _sources(tracer, ssa):
            todo.append((operand, how == "put" or (is_whole and how == "same")))
    return whole, inside


def _sources(tracer: Tracer, ssa: Any) -> Iterator[Source]:
    """What a value comes of: it is the ``same``, a ``member`` of it, has it ``put`` into it, or is a ``copy``."""
    owner = ssa.owner
    if hasattr(owner, "arguments"):  # a parameter of a region
        if ssa in tracer.within:
            yield tracer.within[ssa]
        return
    op = owner.operation
    if op.name == "agent.field":
        yield op.operands[0], "member"
    elif op.name == "agent.tool":
        yield from _of_a_tool(tracer, op)
    elif op.name in _WITH_REGIONS:
        if op.name == "agent.loop":
            yield op.operands[ssa.result_number], "same"
        yield from _of_regions(op, ssa.result_number)


def _of_a_tool(tracer: Tracer, op: Any) -> Iterator[Source]:
    callee = op.attributes["callee"].value
    if callee in _SAME:
        yield op.operands[0], "same"
    elif callee in _TAKING:
        yield op.operands[0], "member"
        if callee == "builtin.dict.get":
            yield from ((each, "same") for each in [*op.operands][2:])
    elif callee == "builtin.with_item":
        items, _, value = [*op.operands][:3]
        yield from ((items, "copy"), (value, "put"))
    elif callee.startswith("builtin.") and callee not in _DISPLAYS:
        yield from ((each, "copy") for each in op.operands)
    elif callee in _DISPLAYS or isinstance(getattr(tracer.tools.get(callee), "fn", None), type):
        yield from ((each, "put") for each in op.operands)


def _of_regions(op: Any, position: int) -> Iterator[Source]:
    for region in op.regions:
        for block in region.blocks:
            *_, end = block.operations
            if end.operation.name == "agent.yield" and position < len(end.operands):
                yield end.operands[position], "put" if op.name == "agent.map" else "same"
