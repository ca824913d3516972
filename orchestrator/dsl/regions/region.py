"""Tracing a function into a region: the arms of a branch, the body of a loop or map."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from types import CellType, FunctionType
from typing import TYPE_CHECKING, Any, Never

from orchestrator.dsl.regions.cells import Kept
from orchestrator.dsl.regions.raising import EndedError, fails_here
from orchestrator.dsl.regions.structure import LEAF, Shape, flatten
from orchestrator.dsl.source.location import is_rewritten, user_location
from orchestrator.dsl.tracing.constants import named, shown
from orchestrator.dsl.tracing.lifting import lift
from orchestrator.dsl.tracing.scope import Scope
from orchestrator.dsl.tracing.tracer import Origin, Result, Tracer, Value

if TYPE_CHECKING:
    from orchestrator.dsl.tracing.graph import Region
    from orchestrator.dsl.tracing.sharing import Thing


@dataclass(frozen=True, slots=True)
class Traced:
    """A region and what its function returned, as lifted leaves and their shape."""

    region: Region | None
    leaves: list[Value[Any]]
    shape: Shape
    raises: bool = False
    """Whether it never yields, because it always raises."""
    in_order: bool = False
    """Whether something in it changes the world or sleeps, in an order that matters."""
    scope: Scope | None = None

    def has_made(self, thing: Thing, before: Collection[int]) -> bool:
        """Whether what stands for an object was made in it; ``before`` are the objects that were there."""
        if thing.known is not None:
            return id(thing.known) not in before
        scope: Scope | None = thing.scope
        while scope is not None and scope is not self.scope:
            scope = scope.outer
        return scope is not None

    def end(self, tracer: Tracer, count: int) -> None:
        """End a region that always raises, and was left open, with ``count`` values that there will never be."""
        if self.region is not None and not tracer.diagnostics:
            with tracer.ir.reopened(self.region):
                nothing = tracer.op("const", [], [Result(Never)], {"value": "null"})[0] if count else None
                tracer.ir.yield_([nothing._ssa] * count if nothing is not None else [])


def _kept(function: Callable[..., object]) -> Kept | None:
    """What a function of the user's must not bind anew; what statements become hands it on."""
    is_users = isinstance(function, FunctionType) and is_rewritten(function.__code__)
    return Kept({"": CellType(function)}) if is_users else None


def is_traceable(tracer: Tracer, name: str, function: object) -> bool:
    """Whether ``function`` can be called on symbolic values; reports why not."""
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    if not callable(function) or isinstance(function, Value):
        got = named(function) if isinstance(function, Value) else shown(function)
        tracer.report("ORCH-D041", f"{name} is {got}", fix="give a function, a lambda, a tool or a workflow")
        return False
    if any(kind(function) for kind in kinds):
        fix = "write a plain `def` or lambda: ops without a dependency run concurrently anyway; only tools are async"
        tracer.report("ORCH-D041", f"{name} is async or a generator", fix=fix)
        return False
    return True


def trace_region(
    tracer: Tracer,
    name: str,
    function: Callable[..., object],
    arguments: Sequence[Result] = (),
    apply: Callable[[Callable[..., object], Sequence[Value[Any]]], object] | None = None,
    *,
    is_arm: bool = False,
) -> Traced:
    """Call ``function`` on fresh values of these types and record what it does and returns as a region.

    ``apply(function, values)`` decides how the values are passed; the default is one parameter each. ``name`` says
    what the region is, for messages: "the body of loop". One that always raises has one leaf, of type ``Never``; that
    of an arm is left open until it is known how many values the others yield (:meth:`Traced.end`).
    """
    if not is_traceable(tracer, name, function):
        return Traced(None, [tracer.poison()], LEAF)
    outer, scope = tracer.scope, Scope(name, tracer.scope)
    origin = Origin(f"the argument of {name}", user_location())
    tracer.scope = scope
    try:
        with tracer.ir.region([tracer.register_type(argument.type) for argument in arguments]) as region:
            pairs = zip(region.arguments, arguments, strict=True)
            values = [tracer.value(ssa, argument, origin) for ssa, argument in pairs]
            returned, kept = None, _kept(function)
            try:
                returned = apply(function, values) if apply else tracer.call(function, *values)
            except EndedError:
                pass
            except Exception as error:
                if not fails_here(tracer, error):
                    raise
            if kept is not None:
                kept.check(tracer, name)
            if scope.raises:
                lifted, shape = [tracer.value(None, Result(Never), origin)], LEAF
            else:
                leaves, shape = flatten(returned)
                lifted = [lift(tracer, leaf) for leaf in leaves]
            if not tracer.diagnostics and not scope.raises:
                tracer.ir.yield_([leaf._ssa for leaf in lifted])
    finally:
        scope.closed = True
        tracer.scope = outer
    traced = Traced(region, lifted, shape, scope.raises, scope.in_order, scope)
    if scope.raises and not is_arm:
        traced.end(tracer, 1)
    return traced
