"""Tools: typed Python functions that become ops of a workflow.

Inside a trace a call of a tool adds an op; outside it is the plain function. What a tool does to the world, its
``effects``, decides what the runtime may do with it; see :func:`tool`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from functools import partial
from types import MethodType
from typing import (
    Any,
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
from orchestrator.dsl.declared.naming import tool_clash
from orchestrator.dsl.declared.once import is_unrepeatable, made_params, once_problems, repeats, retried
from orchestrator.dsl.declared.places import is_record, place_opts
from orchestrator.dsl.declared.policy import BudgetLike, Opts, RetryLike, TimeoutLike, is_number
from orchestrator.dsl.declared.tool_spec import Effects, Isolation, Kind, ToolSpec
from orchestrator.dsl.options import option, policies, refuse_unknown
from orchestrator.dsl.source.location import is_method, name_of, underlying, user_location
from orchestrator.dsl.source.pickled import is_by_value, named_like, not_pickled, reference
from orchestrator.dsl.source.same import held_by
from orchestrator.dsl.tool_checks import feature_problems, option_problems
from orchestrator.dsl.tracing.constants import is_symbolic, named
from orchestrator.dsl.tracing.lifting import feed, waited_for
from orchestrator.dsl.tracing.order import EVERYTHING
from orchestrator.dsl.tracing.sharing import container, note, of
from orchestrator.dsl.tracing.tracer import Result, Tracer, current_tracer
from orchestrator.dsl.types.bounds import Length
from orchestrator.dsl.types.own_code import is_built_quickly
from orchestrator.dsl.types.typing import TypeForm, solve, substitute
from orchestrator.errors import Diagnostic, TraceError

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=ToolSpec[..., Any])


class ToolOptions(TypedDict, total=False):
    """What ``@tool`` declares; everything is optional."""

    effects: Effects
    kind: Kind
    name: str
    timeout: TimeoutLike
    timeout_s: TimeoutLike
    retry: RetryLike
    budget: BudgetLike
    typical_s: float | None
    pause_features: Sequence[str]
    max_items: int | None
    key: str | Sequence[str] | None
    check: Callable[..., Any] | None
    cheap: bool
    isolation: Isolation | None
    memory: str | int | None


class CallOptions(TypedDict, total=False):
    """What one call of a tool may have otherwise than the tool."""

    name: str | None
    retry: RetryLike
    timeout: TimeoutLike
    budget: BudgetLike
    after: Any


_NOTHING: Mapping[str, Callable[..., Any]] = {}
_substitutes = ContextVar("orchestrator_substitutes", default=_NOTHING)


@dataclass(frozen=True, eq=False)
class Tool(ToolSpec[P, R]):
    """A function as an op: ``fn`` itself, what it does to the world, and its policies."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        tracer = current_tracer()
        if tracer is None:
            return self.fn(*args, **kwargs)
        return cast(R, _emit(tracer, self, args, kwargs))

    def options(self, **options: Unpack[CallOptions]) -> Tool[P, R]:
        """The same tool with other policies; ``name`` is the id of the op in the workflow.

        ``after`` is a value, or several, that the call waits for and does not take.
        """
        refuse_unknown(options, CallOptions, f"tool `{self.name}`")
        given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        return replace(self, op_name=given.pop("name", None), **given)

    def __get__(self, instance: object, owner: type | None = None) -> Tool[..., R]:
        """A tool that is a method is bound to its object, as a function would be."""
        if isinstance(self.fn, classmethod):
            return replace(self, fn=self.fn.__get__(instance, owner))
        if instance is None or not is_method(self.fn):
            return self
        return replace(self, fn=MethodType(self.fn, instance))

    @cached_property
    def problems(self) -> tuple[Diagnostic, ...]:
        """What is wrong with its options."""
        return (*option_problems(self), *feature_problems(self), *once_problems(self))

    @property
    def __wrapped__(self) -> Callable[P, R]:
        return self.fn

    def __copy__(self) -> Tool[P, R]:
        return self

    def __deepcopy__(self, known: object) -> Tool[P, R]:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        if is_by_value():
            return super().__reduce_ex__(protocol)
        named = named_like(self.fn)
        if named is self:
            return reference(self.fn)
        if named is self.fn or (isinstance(named, Tool) and named.fn is self.fn):
            return _varied, (named, {each.name: getattr(self, each.name) for each in fields(self)[1:-1]})
        if isinstance(self.fn, (partial, MethodType)) or not hasattr(self.fn, "__qualname__"):
            return _varied, (self.fn, {each.name: getattr(self, each.name) for each in fields(self)[1:-1]})
        raise not_pickled(f"tool `{self.name}`", self.fn)


class ToolDecorator(Protocol):
    """What ``@tool(...)`` gives. A workflow calls an async tool without ``await``, so its type has no coroutine."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Tool[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def tool(fn: Callable[P, Coroutine[Any, Any, R]], /, **options: Unpack[ToolOptions]) -> Tool[P, R]: ...
@overload
def tool(fn: Callable[P, R], /, **options: Unpack[ToolOptions]) -> Tool[P, R]: ...
@overload
def tool(**options: Unpack[ToolOptions]) -> ToolDecorator: ...
def tool(fn: Callable[..., Any] | None = None, /, **options: Unpack[ToolOptions]) -> Any:
    """Make a tool: ``@tool``, ``@tool(effects="pure")``, or ``tool(fn, effects="pure")`` of any function.

    ``effects`` says what a call does to the world, and so what the runtime may do with the call:

    - ``"pure"``: equal arguments give an equal result, and nothing else happens. A call may be shared between equal
      ones, moved, and repeated; it waits for its arguments alone.
    - ``"reads"``: it observes the world and changes nothing. Every call is made, behind the write before it, and may be
      repeated; what it has seen is kept, so a resumed run does not look again.
    - ``"idempotent"``: it has effects, but doing it twice is as good as once. Every call is made, and may be repeated,
      by ``retry`` or after a crash.
    - ``"once"``, the default: it must not be repeated. An exception that it raises is its outcome. Where an attempt
      has none, because it took too long, was cancelled or died, the call is *unsettled*: the run says so, and nothing
      starts it again without proof that it did not happen. It can have no ``retry`` without a ``key`` or a ``check``.

    ``key="key"`` names the parameter of a ``once`` tool that takes an idempotency key: repeating a call with the same
    key is harmless. Where the workflow passes none, the runtime makes one that is the same in every attempt and after
    every resume, and belongs to this call of this run alone. ``key=("order", "attempt")`` names several that are the
    key together; the runtime makes those texts among them that the workflow does not pass.

    ``check=was_paid`` is a function of some of the tool's parameters that says what has become of an attempt without an
    outcome: ``Happened(result)``, ``"did not happen"`` or ``"unknown"``; see ``docs/effects-and-budgets.md``.

    Effects happen in the order in which they are written: a call that may write (``"idempotent"``, ``"once"``, and so
    every tool that declares nothing) waits for the write before it and the reads since. ``with parallel():`` lifts
    that, ``map_`` does among its items, and ``tool.options(after=value)`` has one call wait for a value that it does
    not take.

    ``timeout`` (``5``, ``"5s"`` or a ``timedelta``; ``timeout_s`` is another word for it), ``retry`` and ``budget`` are
    those of :func:`llm`. ``name`` is what plans, traces and models call the tool, by default the function's;
    ``tool.options(name=...)`` names one call. ``typical_s`` is a first guess of its duration for the planner,
    ``kind="retrieve"`` marks a search.

    An async tool runs on the event loop, any other in a thread. ``cheap=True`` has a pure one called on the event loop
    too: for functions that compute for less than a millisecond and wait for nothing. ``isolation="process"`` calls it
    in a process of its own, which a timeout or a cancellation kills; ``memory="512 MiB"`` bounds what it may take
    there. ``isolation="thread"`` gives an async tool that blocks a thread and an event loop of its own.
    ``max_items`` bounds the list that it returns, where that is gone through. ``docs/tools.md`` has more.

    ``pause_features`` names parameters whose values tell how long a call takes (``("suite",)``): pauses are learned for
    each value, a scalar of which the beginning counts; nothing else of the arguments is remembered. A model or
    dataclass is a (pure) tool that builds an instance: ``tool(Report)(title=..., body=...)``.
    """
    if fn is None:
        return lambda fn: _make(fn, options)
    return _make(fn, options)


def _varied(named: Any, options: Mapping[str, Any]) -> Tool[..., Any]:
    """A tool of the same function as ``named``, or of that function, with other options; for pickles."""
    return replace(named if isinstance(named, Tool) else _make(named, {}), **options)


def call(fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a plain function or a model's constructor as an op: ``call(fn, x)`` is ``tool(fn)(x)``."""
    return (fn if isinstance(fn, Tool) else _make(fn, {}))(*args, **kwargs)  # type: ignore[no-any-return]


def _make(fn: Callable[..., Any], options: ToolOptions) -> Tool[..., Any]:
    refuse_unknown(options, ToolOptions, "tool")
    if "timeout" in options and "timeout_s" in options:
        message, fix = "tool has two options for its timeout", "leave out `timeout_s`"
        raise TraceError("ORCH-D041", message, where=user_location(), fix=fix)
    given: dict[str, Any] = {("timeout" if name == "timeout_s" else name): each for name, each in options.items()}
    says = bool({"effects", "key", "check"} & set(given))
    if isinstance(fn, Tool):
        return replace(fn, is_undeclared=fn.is_undeclared and not says, **given)
    given.setdefault("name", name_of(fn))
    if isinstance(fn, type):
        given.setdefault("effects", "pure")
        is_plain = given["effects"] == "pure" and not {"timeout", "isolation"} & set(given)
        given.setdefault("cheap", is_plain and is_record(fn) and is_built_quickly(fn))
    given["is_undeclared"] = not says and "effects" not in given
    made: Tool[..., Any] = Tool(fn, local_names=enclosing_names(fn), **given)
    made.__dict__["__doc__"] = getattr(underlying(fn), "__doc__", None)
    return made


@contextmanager
def substituted(functions: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """Trace calls of the tools with these names as calls of these functions, for tests.

    The types are still those of the real tools; the content hash is that of the substitute.
    """
    token = _substitutes.set(functions)
    try:
        yield
    finally:
        _substitutes.reset(token)


def substitutes() -> Mapping[str, Callable[..., Any]]:
    """What :func:`substituted` has put in force, by the tool's name."""
    return _substitutes.get()


def in_force(tool: S) -> S:
    """The tool, or what :func:`substituted` has put in its place, which stays in this process unless the tool says
    otherwise: a test looks at what its substitute has noted down."""
    fn = _substitutes.get().get(tool.name)
    if fn is None:
        return tool
    other = replace(tool, fn=fn)
    if other.effects == "pure" and other.isolation is None and not other.cheap and not other.is_async:
        other = replace(other, isolation="thread")
    other.__dict__["boundary"] = tool.boundary
    return other


def enclosing_names(fn: Callable[..., Any]) -> Mapping[str, object]:
    """The local variables around a nested function's definition, where its annotations may be defined."""
    if "<locals>" not in getattr(fn, "__qualname__", ""):
        return {}
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("orchestrator.dsl."):
        frame = frame.f_back
    return frame.f_locals


def _emit(tracer: Tracer, tool: Tool[..., Any], args: tuple[object, ...], kwargs: Mapping[str, object]) -> object:
    tool = in_force(tool)
    boundary = tool.boundary
    known = tracer.tools.get(tool.name)
    if known is None or known.fn is not tool.fn:  # what it holds may be large
        for held in held_by(tool.fn):
            if is_symbolic(held):
                return _captures(tracer, tool, held)
    problems = tool.problems
    tracer.report_once([*boundary.problems, *problems])
    bound = bind(tracer, boundary, f"tool `{tool.name}`", args, kwargs, may_lack=made_params(tool))
    if bound is None or problems:
        return tracer.poison()
    variables: dict[TypeVar, TypeForm] = {}
    operands = []
    for name, argument in bound.items():
        wanted = boundary.params[name]
        value = feed(tracer, argument, wanted, f"parameter `{name}` of tool `{tool.name}`")
        solve(wanted, value._type, variables)
        operands.append(value)
    returns = substitute(boundary.returns, variables)
    _register(tracer, tool)
    attrs = {"callee": tool.name, "params": list(bound), "effects": tool.effects}
    opts = _opts(tracer, tool)
    if is_unrepeatable(tool):
        tracer.scope.once[where := tracer.here()] = tool.name
        if repeats(opts):
            tracer.diagnostics.append(retried(tool.name, where))
    name = option(tracer, "name", tool.op_name)
    length = None if tool.max_items is None else Length(tool.max_items)
    made = tracer.op(tool.kind, operands, [Result(returns, length)], attrs, opts, base=tool.name, name=name)[0]
    if isinstance(tool.fn, type) and operands:  # a model holds what it was given
        note(made, container([of(each).all for each in operands], tracer.scope))
    return made


def _register(tracer: Tracer, tool: Tool[..., Any]) -> None:
    """Bind the name of a tool; reports another tool of that name, or the same declared otherwise."""
    tool = tool if tool.after is None else replace(tool, after=None)
    known = tracer.tools.setdefault(tool.name, tool)
    if known is not tool and (clash := tool_clash(known, tool)) is not None:
        tracer.report("ORCH-D031", f"two different tools are called `{tool.name}`", why=clash[0], fix=clash[1])


def _captures(tracer: Tracer, tool: Tool[..., Any], held: object) -> object:
    return tracer.report(
        "ORCH-D033",
        f"tool `{tool.name}` uses {named(held)} from around it, which is only known when the workflow runs",
        why="a tool is called with its arguments only; what it takes from around it must be known before",
        fix=f"make it a parameter of `{tool.name}`",
    )


def _opts(tracer: Tracer, tool: Tool[..., Any]) -> Opts:
    opts = policies(tracer, tool.retry, tool.timeout, tool.budget)
    opts["code"] = _code(tracer, tool)
    if is_number(tool.typical_s):
        opts["typical_s"] = float(tool.typical_s)
    if tool.is_async:
        opts["is_async"] = True
    opts.update(place_opts(tool))
    if tool.pause_features:
        opts["pause_features"] = list(tool.pause_features)
    if tool.is_undeclared:
        opts["undeclared"] = True
    if tool.after is not None:
        opts["after"] = tool.after if tool.after is EVERYTHING else waited_for(tracer, tool.after)
    return opts


def _code(tracer: Tracer, tool: Tool[..., Any]) -> str:
    """The hash of a tool, found once in a trace however often and with whatever policies it is called."""
    function: Any = tool.fn
    parts = (function.__func__, function.__self__) if isinstance(function, MethodType) else (function, None)
    key = (*map(id, parts), tool.effects)
    if key not in tracer.hashes:
        tracer.hashes[key] = parts, tool.code
    return tracer.hashes[key][1]
