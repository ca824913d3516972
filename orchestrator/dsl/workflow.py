"""The ``@workflow`` decorator.

A workflow called inside another one's trace is inlined. Called anywhere else it runs, by the runner that is in force.
The front end knows runners only as functions, and the default one only by name, so tracing never imports the runtime.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from contextvars import Context, ContextVar, copy_context
from functools import update_wrapper
from types import MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    ParamSpec,
    Protocol,
    SupportsIndex,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from orchestrator.cached import cached_property
from orchestrator.dsl.binding import bind
from orchestrator.dsl.declared.boundary import Boundary, boundary_of
from orchestrator.dsl.declared.policy import BudgetLike, Opts, slo_opts
from orchestrator.dsl.options import ACCEPTED, NAME, checked, policies, refuse_unknown
from orchestrator.dsl.regions.recursion import stopped
from orchestrator.dsl.rewrite.function import findings, rewrite
from orchestrator.dsl.source.location import definition_of, is_method, name_of, user_location
from orchestrator.dsl.source.pickled import is_by_value, named_like, not_pickled, reference
from orchestrator.dsl.static import choices_of, shown_parameter, static_parameters, static_values, without
from orchestrator.dsl.tool import enclosing_names
from orchestrator.dsl.tracing.constants import shown
from orchestrator.dsl.tracing.lifting import feed
from orchestrator.dsl.tracing.parallel import in_sequence
from orchestrator.dsl.tracing.tracer import MAX_ITEMS, MAX_ITERATIONS, Inlined, Tracer, Value, current_tracer
from orchestrator.dsl.types.typing import TypeForm, type_string
from orchestrator.errors import Diagnostic, RunError, SourceLoc, TraceError
from orchestrator.holding import Holding

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from orchestrator.dsl.trace import Traced

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

RunsWorkflow = Callable[["Workflow[..., Any]", dict[str, object]], Awaitable[Any]]
"""Compiles and runs a workflow on inputs by name; gives a ``RunResult``."""

RUNNER: Final = ("orchestrator.runtime.runner", "run_workflow")
"""Module and name of the runner where none is in force."""

_runner: ContextVar[RunsWorkflow | None] = ContextVar("orchestrator_runner", default=None)
_blocked: ContextVar[AbstractEventLoop | None] = ContextVar("orchestrator_blocked", default=None)


def blocked_loop() -> AbstractEventLoop | None:
    """The event loop that stands still until the run in this context has ended, because it was called on it."""
    return _blocked.get()


def blocking(loop: AbstractEventLoop) -> Context:
    """A copy of this context for a run, whose end ``loop`` stands still for."""
    context = copy_context()
    context.run(_blocked.set, loop)
    return context


def running_with(runner: RunsWorkflow) -> AbstractContextManager[None]:
    """Make ``runner`` run the workflows that are called in this context."""
    return Holding(_runner, runner)


class WorkflowOptions(TypedDict, total=False):
    """What ``@workflow`` declares; everything is optional."""

    name: str | None
    slo: str | None
    budget: BudgetLike
    model: str | None
    rewrite: bool
    max_items: int
    max_iterations: int
    max_depth: int | None


class Workflow(Generic[P, R]):
    """A typed function that the compiler understands.

    ``slo`` ("p95 < 8s") and ``budget`` ("$0.02") bound one run of it, ``model`` is the default of its model calls.
    Its ``if``, ``for``, ``while``, ``try`` and ``match`` over symbolic values are compiled (:mod:`.rewrite`), unless
    ``rewrite=False``. ``max_items`` and ``max_iterations`` bound lists and loops that nothing else bounds.
    ``max_depth`` bounds the calls of it within each other, if it calls itself.
    """

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        slo: str | None = None,
        budget: BudgetLike = None,
        model: str | None = None,
        rewrite: bool = True,
        max_items: int = MAX_ITEMS,
        max_iterations: int = MAX_ITERATIONS,
        max_depth: int | None = None,
    ) -> None:
        if not callable(fn):
            fix = "decorate a function: @workflow, or @workflow(slo=...)"
            raise TraceError("ORCH-D002", f"workflow gets {fn!r}, and not a function", where=user_location(), fix=fix)
        self.fn = fn
        self.name = name_of(fn) if name is None else name
        self.slo = slo
        self.budget = budget
        self.model = model
        self.rewrite = rewrite
        self.max_items = max_items
        self.max_iterations = max_iterations
        self.max_depth = max_depth
        self.signature = inspect.signature(fn)
        self.where = definition_of(fn) or SourceLoc("<unknown>", 0)
        self.unbound: Workflow[..., Any] = self
        """It is the workflow itself, or if that is a method bound to an object, the method."""
        self.static: Mapping[str, object] | None = None
        """The values of its static parameters; None where they have not been given."""
        self._order: tuple[str, ...] = ()
        """All parameters, where the static ones have their values."""
        self._local_names: Mapping[str, object] = enclosing_names(fn)
        update_wrapper(self, fn)

    def __get__(self, instance: object, owner: type | None = None) -> Workflow[..., R]:
        """A workflow that is a method is bound to its object, as a function would be."""
        if instance is None or not is_method(self.fn):
            return self
        bound: Workflow[..., R] = self.__copy__()
        bound.fn, bound.unbound = MethodType(self.fn, instance), self
        bound.signature = inspect.signature(bound.fn)
        bound.__dict__.pop("boundary", None)
        return bound

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Inside a trace, inline this workflow; outside, run it and return its result."""
        tracer = current_tracer()
        if tracer is not None:
            return cast(R, self._inline(tracer, args, kwargs))
        return cast(R, self.run(*args, **kwargs).value)

    def run(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run with the runner in force and return its ``RunResult``: the value, usage, cost and records per op.

        Blocks, also inside a running event loop, where ``await workflow.arun(...)`` does not.
        """
        inputs = self.inputs(*args, **kwargs)
        return _wait_for(lambda: self._execute(inputs))

    async def arun(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run with the runner in force and return the result."""
        return cast(R, (await self._execute(self.inputs(*args, **kwargs))).value)

    async def _execute(self, inputs: dict[str, object]) -> Any:
        workflow, inputs = self.for_inputs(inputs)
        module, name = RUNNER
        runner: RunsWorkflow = _runner.get() or getattr(importlib.import_module(module), name)
        return await runner(workflow, inputs)

    def given(self, **static: object) -> Workflow[..., R]:
        """The workflow for these values of its static parameters, and the defaults of others.

        Raises ``TraceError`` ORCH-D044 for what is missing, or is no value of its type.
        """
        values, problems = static_values(self.static_parameters, self.defaults, static, self.name)
        if problems:
            fix = "give it a default, or a value: workflow.given(name=value)"
            raise TraceError.collect([Diagnostic("ORCH-D044", each, self.where, None, fix) for each in problems])
        return self._for(values)

    def variants(self) -> Iterator[Workflow[..., R]]:
        """The workflow for its static defaults or, where one has no default but few values, for each of its values.

        Raises ``TraceError`` ORCH-D044 for a parameter without either.
        """
        for values in choices_of(self.static_parameters, self.defaults):
            yield self.given(**values)

    def for_inputs(self, inputs: Mapping[str, object]) -> tuple[Workflow[..., R], dict[str, object]]:
        """The workflow for what the inputs say of its static parameters, and the other inputs.

        Raises ``RunError`` ORCH-R007 for what is missing, or is no value of its type.
        """
        parameters = self.static_parameters
        given = {name: inputs[name] for name in parameters if name in inputs}
        values, problems = static_values(parameters, self.defaults, given, self.name)
        if problems:
            where = user_location()
            raise RunError.collect([Diagnostic("ORCH-R007", f"wrong inputs: {each}", where) for each in problems])
        return self._for(values), {name: value for name, value in inputs.items() if name not in parameters}

    def _for(self, values: Mapping[str, object]) -> Workflow[..., R]:
        if not values:
            return self
        made: Workflow[..., R] = self.__copy__()
        made.static, made.boundary, made._order = values, without(self.boundary, values), tuple(self.boundary.params)
        parameters = [each for name, each in self.signature.parameters.items() if name not in values]
        made.signature = self.signature.replace(parameters=parameters)
        return made

    def inputs(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, object]:
        """The arguments of a run by name, defaults included; raises ``RunError`` ORCH-R007 if they do not fit."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            message = f"wrong inputs of workflow `{self.name}`: {error}"
            fix = f"its parameters are ({', '.join(self.signature.parameters)})"
            raise RunError("ORCH-R007", message, where=user_location(), fix=fix) from None
        bound.apply_defaults()
        return bound.arguments

    @property
    def defaults(self) -> dict[str, object]:
        """The defaults of the parameters that have one."""
        return {n: p.default for n, p in self.signature.parameters.items() if p.default is not p.empty}

    def trace(self) -> Traced:
        """The graph of this workflow; raises one ``TraceError`` with everything that is wrong with it."""
        from orchestrator.dsl.trace import trace

        return trace(self)

    @cached_property
    def boundary(self) -> Boundary:
        """Parameters and result by their annotations."""
        return boundary_of(self.fn, "workflow", self._local_names)

    @property
    def static_parameters(self) -> dict[str, TypeForm]:
        """The types of the static parameters that have no value yet."""
        return {} if self.static is not None else static_parameters(self.boundary)

    @property
    def problems(self) -> list[Diagnostic]:
        """Why the function cannot be traced at all, if so."""
        options = (
            ("name", self.name, NAME),
            ("model", self.model, ACCEPTED["model"]),
            ("max_depth", self.max_depth, ACCEPTED["concurrency"]),
        )
        found = [
            Diagnostic("ORCH-D041", f"a workflow with {name}={shown(value)}", self.where, None, f"{name} is {what}")
            for name, value, (what, test) in options
            if value is not None and not test(value)
        ]
        kinds: list[Callable[[Any], bool]] = [inspect.isgeneratorfunction, inspect.isasyncgenfunction]
        if not self.rewrite:
            kinds.append(inspect.iscoroutinefunction)
        if not any(kind(self.fn) for kind in kinds):
            return found
        return [
            *found,
            Diagnostic(
                "ORCH-D003",
                f"workflow `{self.name}` is async or a generator",
                self.where,
                "it is traced once, ahead of time; ops without a dependency run concurrently anyway",
                "write a plain `def`; only tools are async. Await a run with `await workflow.arun(...)`",
            ),
        ]

    def opts(self, tracer: Tracer) -> Opts:
        """The workflow's own ``opts``; invalid ones are reported."""
        tracer.place = self.where
        opts = {**checked(tracer, slo_opts, self.slo), **policies(tracer, None, None, self.budget)}
        tracer.place = None
        return opts

    def apply(self, tracer: Tracer, params: Mapping[str, object]) -> Value[Any]:
        """Call the function on values and check its result against the return annotation."""
        if self.rewrite and (found := findings(self.fn)):
            tracer.report_once(found)
            return tracer.poison()
        outer = tracer.defaults
        if self.model is not None:
            tracer.defaults = {**outer, "model": self.model}
        tracer.inlining.append(self._call)
        if self.static is not None:
            params = {name: (params if name in params else self.static)[name] for name in self._order}
        bounds = tracer.max_items, tracer.max_iterations
        tracer.max_items, tracer.max_iterations = self.max_items, self.max_iterations
        function = rewrite(self.fn) if self.rewrite else self.fn
        tracer.runs.note_call(function, tuple(params.values()))
        try:
            returned = function(**params)  # type: ignore[call-arg, arg-type]
        finally:
            tracer.inlining.pop()
            tracer.defaults = outer
            tracer.max_items, tracer.max_iterations = bounds
        caller, tracer.place = tracer.place, self.where
        result = feed(tracer, returned, self.boundary.returns, f"the return of workflow `{self.name}`")
        tracer.place = caller
        return result

    @property
    def _call(self) -> Inlined:
        return Inlined(self.fn, self.name, self.static, self.max_depth)

    def _inline(self, tracer: Tracer, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Value[Any]:
        tracer.report_once(self.boundary.problems)
        tracer.report_once(self.problems)
        bound = bind(tracer, self.boundary, f"workflow `{self.name}`", args, kwargs)
        if bound is None or self.problems:
            return tracer.poison()
        if static := self.static_parameters:
            given = {name: bound.pop(name) for name in static if name in bound}
            values, problems = static_values(static, self.defaults, given, self.name)
            why = "it decides which ops the workflow has, so its value is needed before the workflow runs"
            for each in problems:
                tracer.report("ORCH-D044", each, why=why, fix="pass a value that is known while tracing")
            return tracer.poison() if problems else self._for(values)._inline(tracer, (), bound)
        if (reached := stopped(tracer, self._call, self.boundary.returns)) is not None:
            return reached
        params = {
            name: feed(tracer, argument, self.boundary.params[name], f"parameter `{name}` of workflow `{self.name}`")
            for name, argument in {**self.defaults, **bound}.items()
        }
        outer = tracer.prefix
        tracer.prefix = tracer.new_prefix(self.name)
        try:
            with in_sequence(tracer):
                return self.apply(tracer, params)
        finally:
            tracer.prefix = outer

    def __copy__(self) -> Workflow[P, R]:
        made: Workflow[P, R] = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def __deepcopy__(self, known: object) -> Workflow[P, R]:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        if is_by_value():
            return super().__reduce_ex__(protocol)
        if self.static is not None and self.unbound.static is None:
            return _with_static, (self.unbound, dict(self.static))
        if named_like(self.fn) is not self:
            raise not_pickled(f"workflow `{self.name}`", self.fn)
        return reference(self.fn)

    def __repr__(self) -> str:
        params = ", ".join(shown_parameter(name, tp) for name, tp in self.boundary.params.items())
        return f"<Workflow {self.name}({params}) -> {type_string(self.boundary.returns)}>"


def _with_static(workflow: Workflow[..., Any], static: Mapping[str, object]) -> Workflow[..., Any]:
    """The workflow for these static values; for pickles."""
    return workflow.given(**static)


class WorkflowDecorator(Protocol):
    """Makes a workflow of a function; of an ``async def``, one that gives what the function returns."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Workflow[P, R]: ...


@overload
def workflow(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...
@overload
def workflow(fn: Callable[P, R], /) -> Workflow[P, R]: ...
@overload
def workflow(**options: Unpack[WorkflowOptions]) -> WorkflowDecorator: ...
def workflow(fn: Callable[..., Any] | None = None, /, **options: Unpack[WorkflowOptions]) -> Any:
    """Make a workflow: ``@workflow`` or ``@workflow(slo="p95 < 8s", budget="$0.02", model="small")``."""
    refuse_unknown(options, WorkflowOptions, "workflow")
    if fn is None:
        return lambda fn: Workflow(fn, **options)
    return Workflow(fn, **options)


def _wait_for(start: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end, in a thread of its own if this one is already running an event loop."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from orchestrator.event_loop import run

    running = None
    with suppress(RuntimeError):
        running = asyncio.get_running_loop()
    if running is None:
        return run(start())
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(blocking(running).run, lambda: run(start())).result()
