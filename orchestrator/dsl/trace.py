"""Tracing: run a workflow's function once on symbolic values and keep the graph of what it did.

The function is called with one :class:`~orchestrator.dsl.symbol.Symbol` per parameter. Ops it performs are emitted into
an MLIR module as they happen; there is no second representation in between. If anything is wrong, all errors are raised
together and the module is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Never, Protocol

from orchestrator.cached import cached_property
from orchestrator.dsl.builtins import TOOLS
from orchestrator.dsl.declare import declare
from orchestrator.dsl.declared.policy import Opts
from orchestrator.dsl.models.llm import Chat
from orchestrator.dsl.placeholders.unasked import report_unasked
from orchestrator.dsl.regions.raising import EndedError
from orchestrator.dsl.regions.unbound import check_bound
from orchestrator.dsl.source.location import raised_in, trace_boundary, without_own_frames
from orchestrator.dsl.symbol import Symbol
from orchestrator.dsl.tracing.template import has_marker
from orchestrator.dsl.tracing.tracer import Origin, Result, Tracer, Value
from orchestrator.dsl.types.typing import TypeForm, type_string
from orchestrator.errors import Diagnostic, SourceLoc, TraceError, UnrepresentableError, described

if TYPE_CHECKING:
    from orchestrator.dsl.declared.boundary import Boundary
    from orchestrator.dsl.declared.tool_spec import ToolSpec
    from orchestrator.dsl.tracing.graph import Graph


@dataclass(frozen=True, slots=True)
class Bindings:
    """What names in the IR mean: ``callee`` to the tool, type strings to the type."""

    tools: Mapping[str, ToolSpec[..., Any]]
    types: dict[str, TypeForm]


@dataclass(frozen=True)
class Traced:
    """A traced workflow: the live module, and what its names mean."""

    module: Any
    context: Any
    name: str
    params: dict[str, TypeForm]
    returns: TypeForm
    bindings: Bindings

    @cached_property
    def hash(self) -> str:
        """Hash of what the workflow means: equal in every process."""
        from orchestrator.ir.hash import module_hash

        return str(module_hash(self.module))


class Traceable(Protocol):
    """What can be traced; :class:`~orchestrator.dsl.workflow.Workflow` is."""

    @property
    def name(self) -> str:
        """The name of the graph."""
        ...

    @property
    def where(self) -> SourceLoc:
        """Where it is defined."""
        ...

    @property
    def boundary(self) -> Boundary:
        """Its parameters and result."""
        ...

    @property
    def problems(self) -> list[Diagnostic]:
        """Why it cannot be traced at all, if so."""
        ...

    def given(self) -> Traceable:
        """It for the defaults of what is known before it is traced."""
        ...

    def opts(self, tracer: Tracer) -> Opts:
        """Its policies; invalid ones are reported."""
        ...

    def apply(self, tracer: Tracer, params: Mapping[str, object]) -> Value[Any]:
        """What its function gives of these values."""
        ...


def trace(workflow: Traceable, graph: Graph | None = None) -> Traced:
    """Trace ``workflow`` into ``graph``, by default a new MLIR module.

    Raises one :class:`TraceError` with everything that is wrong with the workflow.
    """
    workflow = workflow.given()
    boundary = workflow.boundary
    ir = graph or _mlir()
    tracer = Tracer(workflow.name, ir, class_of)
    tracer.report_once(boundary.problems)
    tracer.report_once(workflow.problems)
    opts: Opts = {**workflow.opts(tracer), "params": list(boundary.params), "returns": type_string(boundary.returns)}
    if workflow.problems:  # calling it would give a coroutine, and a name may not be one
        raise TraceError.collect(tracer.diagnostics)
    types = [tracer.register_type(tp) for tp in boundary.params.values()]
    try:
        with tracer.active(), ir.workflow(workflow.name, types, opts=opts, where=workflow.where) as arguments:
            params: dict[str, Value[Any]] = {}
            for ssa, (name, tp) in zip(arguments, boundary.params.items(), strict=True):
                params[name] = tracer.value(ssa, Result(tp), Origin(name, workflow.where))
            result = _run(tracer, workflow, params)
            report_unasked(tracer)
            if not tracer.diagnostics:
                ir.yield_([result._ssa])
    except UnrepresentableError as error:
        tracer.report("ORCH-D013", f"{error} in the declaration of the workflow", fix=error.fix, where=workflow.where)
    finally:
        tracer.close()
    tracer.register_type(boundary.returns)
    if not tracer.diagnostics:
        declare(tracer)
    if tracer.diagnostics:
        raise TraceError.collect(tracer.diagnostics) from tracer.raised
    bindings = Bindings({**TOOLS, **tracer.tools}, tracer.types)
    return Traced(ir.finish(), ir.context, workflow.name, dict(boundary.params), boundary.returns, bindings)


def class_of(tp: TypeForm) -> type[Value[Any]]:
    """The class of the values of a type: conversations have their own."""
    return Chat if tp is Chat else Symbol


def _mlir() -> Graph:
    from orchestrator.ir.build import Builder

    graph: Graph = Builder()
    return graph


def _run(tracer: Tracer, workflow: Traceable, params: dict[str, Value[Any]]) -> Value[Any]:
    try:
        return workflow.apply(tracer, params)
    except EndedError:  # it always raises, when it runs
        return tracer.op("const", [], [Result(Never)], {"value": "null"})[0]
    except Exception as error:  # noqa: BLE001 - whatever the user's code raises is reported with its line
        return report_exception(tracer, error)


trace_boundary(_run.__code__)


def report_exception(tracer: Tracer, error: Exception) -> Value[Any]:
    """Record an exception of the user's function, at the innermost line of user code."""
    try:
        check_bound(tracer, error, why="nothing on the way here binds it")
    except TraceError as unbound:
        error = unbound
    if isinstance(error, TraceError):
        tracer.diagnostics += error.diagnostics
        return tracer.poison()
    where = raised_in(error)
    if isinstance(error, RecursionError):
        message = "a function that is traced calls itself without an end"
        why = "what decides whether it goes on is only known when the workflow runs"
        fix = "make it a workflow with a bound, @workflow(max_depth=3), or repeat with `for` or loop(...)"
        return tracer.report("ORCH-D032", message, why=why, fix=fix, where=where)
    fix = "fix the exception; work on concrete data belongs into a tool: @tool(effects='pure')"
    raised = tracer.readable(described(error))
    if has_marker(raised):
        raised = type(error).__name__
    if type(error).__name__ == "ValidationError":
        fix = "build a model of symbolic values as an op: call(Model, field=value)"
    elif isinstance(error, TypeError) and "expected str instance" in raised:
        fix = 'join texts, which f-strings are: ", ".join(f"{value}" for value in values)'
    tracer.raised = without_own_frames(error)
    return tracer.report(
        "ORCH-D001",
        f"the workflow raised {raised.splitlines()[0]}",
        why="the function is traced with symbolic values, before any model or tool has answered",
        fix=fix,
        where=where,
    )
