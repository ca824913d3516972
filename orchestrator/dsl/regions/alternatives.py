"""Ops that yield what one of their arms yields: ``branch``, ``switch``, ``race``, ``attempt``.

Where the arms' types differ, the result is one or the other: a union. An arm that always raises yields nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Never

from orchestrator.dsl.regions.region import Traced, trace_region
from orchestrator.dsl.regions.structure import LEAF, unflatten
from orchestrator.dsl.tracing.sharing import either, note, of
from orchestrator.dsl.tracing.tracer import Result, Tracer, Value
from orchestrator.dsl.types.bounds import Length
from orchestrator.dsl.types.typing import TypeForm, join, type_string, union

if TYPE_CHECKING:
    from orchestrator.dsl.declared.policy import Opts


def trace_arm(tracer: Tracer, name: str, function: Callable[..., object], arguments: Sequence[Result] = ()) -> Traced:
    """An arm of an op for :func:`alternatives`, which ends those that always raise."""
    return trace_region(tracer, name, function, arguments, is_arm=True)


def alternatives(
    tracer: Tracer,
    kind: str,
    operands: Sequence[Value[Any]],
    arms: Sequence[Traced],
    *,
    opts: Opts,
    name: str | None,
    regions: Sequence[Any] | None = None,
    attrs: Mapping[str, object] | None = None,
) -> Any:
    """Emit an op that yields what one of its arms yields; ``regions`` are its regions, by default those of the arms."""
    ending = [arm for arm in arms if not arm.raises] or arms[:1]
    shape, types = ending[0].shape, [leaf._type for leaf in ending[0].leaves]
    for arm in ending[1:]:
        if arm.shape != shape:
            tracer.report(
                "ORCH-D022",
                f"one arm of {kind} returns {shape}, another {arm.shape}",
                fix="return the same structure from every arm",
            )
            return tracer.poison() if shape == LEAF else unflatten(shape, [tracer.poison() for _ in types])
        types = [
            _either(tracer, kind, tp, ending[0].leaves[position], leaf)
            for position, (tp, leaf) in enumerate(zip(types, arm.leaves, strict=True))
        ]
    for arm in arms:
        if arm.raises:
            arm.end(tracer, len(types))
    results = [Result(tp, _common_length(ending, position)) for position, tp in enumerate(types)]
    given = [arm.region for arm in arms] if regions is None else regions
    values = tracer.op(kind, operands, results, attrs or {}, opts, name=name, regions=given)
    for position, value in enumerate(values):
        note(value, either(of(arm.leaves[position]) for arm in ending if not arm.raises))
    tracer.scope.raises |= all(arm.raises for arm in arms)
    return unflatten(shape, values)


def _either(tracer: Tracer, kind: str, tp: TypeForm, first: Value[Any], other: Value[Any]) -> TypeForm:
    """The type of a value that is of type ``tp``, as ``first`` is, or what ``other`` is."""
    joined = join(tp, other._type)
    if joined is not None:
        return joined
    if _holds_chats(tp) or _holds_chats(other._type):
        tracer.report(
            "ORCH-D022",
            f"one arm of {kind} returns {type_string(tp)}, another {type_string(other._type)}",
            why=f"`{first._origin.name}` at {first._origin.where} against `{other._origin.name}` at "
            f"{other._origin.where}: what may be a conversation or not could not be continued",
            fix="return a conversation from every arm, or from none",
        )
        return Never
    return union(tp, other._type)


def _holds_chats(tp: TypeForm) -> bool:
    return "Chat" in type_string(tp).replace("[", " ").replace("]", " ").split()


def _common_length(arms: Sequence[Traced], position: int) -> Length | None:
    lengths = [arm.leaves[position]._length for arm in arms]
    known = [length for length in lengths if length is not None]
    if len(known) < len(lengths):
        return None
    return known[0] if len(set(known)) == 1 else Length(max(length.most for length in known))
