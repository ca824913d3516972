"""Tracing a function into a region: the arms of a branch, the body of a loop or map."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.dsl.constants import named, shown
from orchestrator.dsl.location import user_location
from orchestrator.dsl.naming import register_type
from orchestrator.dsl.structure import LEAF, Shape, flatten
from orchestrator.dsl.tracer import Result, Scope, Tracer
from orchestrator.dsl.value import Origin, Value

if TYPE_CHECKING:
    from orchestrator.dsl.graph import Region


@dataclass(frozen=True, slots=True)
class Traced:
    """A region and what its function returned, as lifted leaves and their shape."""

    region: Region | None
    leaves: list[Value[Any]]
    shape: Shape


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
) -> Traced:
    """Call ``function`` on fresh values of these types and record what it does and returns as a region.

    ``apply(function, values)`` decides how the values are passed; the default is one parameter each. ``name`` says
    what the region is, for messages: "the body of loop".
    """
    if not is_traceable(tracer, name, function):
        return Traced(None, [tracer.poison()], LEAF)
    outer, scope = tracer.scope, Scope(name, tracer.scope)
    origin = Origin(f"the argument of {name}", user_location())
    tracer.scope = scope
    try:
        with tracer.ir.region([register_type(tracer, argument.type) for argument in arguments]) as region:
            pairs = zip(region.arguments, arguments, strict=True)
            values = [tracer.value(ssa, argument, origin) for ssa, argument in pairs]
            returned = apply(function, values) if apply else tracer.call(function, *values)
            leaves, shape = flatten(returned)
            lifted = [tracer.lift(leaf) for leaf in leaves]
            if not tracer.diagnostics:
                tracer.ir.yield_([leaf._ssa for leaf in lifted])
    finally:
        scope.closed = True
        tracer.scope = outer
    return Traced(region, lifted, shape)
