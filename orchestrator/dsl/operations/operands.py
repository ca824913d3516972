"""Operands of operations: values, texts with markers, ranges, and Python objects among them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from orchestrator.dsl.tracing.constants import is_symbolic
from orchestrator.dsl.tracing.known import of_object
from orchestrator.dsl.tracing.lifting import SymbolicRange, lift
from orchestrator.dsl.tracing.sharing import note
from orchestrator.dsl.tracing.template import has_marker
from orchestrator.dsl.tracing.tracer import Tracer, Value, require_tracer
from orchestrator.dsl.types.kinds import items_of


def tracer_of(*operands: object) -> Tracer:
    """The trace that the operands belong to."""
    for operand in operands:
        if isinstance(operand, Value):
            return operand._tracer
    return require_tracer("an operation on a symbolic value")


def holds_symbolic(operand: object) -> bool:
    """Whether an operand is, or holds, something that is only known when the workflow runs."""
    if isinstance(operand, (SymbolicRange, Value)):
        return True
    if isinstance(operand, (set, frozenset)):
        return any(map(is_symbolic, operand))
    return is_symbolic(operand)


def as_value(operand: object, tracer: Tracer | None = None) -> Value[Any]:
    """An operand as a value: a text with markers is its template, a set or a dict with other keys than texts an op."""
    tracer = tracer or tracer_of(operand)
    if isinstance(operand, (set, frozenset)):
        items = lift(tracer, in_some_order(operand))
        tp = type(operand)[items_of(items._type)]  # type: ignore[index]
        made = tracer.builtin("set_of" if type(operand) is set else "frozenset_of", {"items": items}, tp)
        return note(made, of_object(tracer, operand))
    if isinstance(operand, dict) and not all(isinstance(key, str) and not has_marker(key) for key in operand):
        pairs = lift(tracer, list(operand.items()))
        key, value = get_args(items_of(pairs._type)) or (Any, Any)
        made = tracer.builtin("dict_of", {"items": pairs}, dict[key, value])  # type: ignore[valid-type]
        return note(made, of_object(tracer, operand))
    return lift(tracer, operand)


def in_some_order(items: Iterable[object]) -> list[object]:
    """The members of a set in an order that is the same in every process."""
    return sorted(items, key=lambda each: (type(each).__qualname__, repr(each)))
