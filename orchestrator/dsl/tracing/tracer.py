"""The state of one trace: the graph under construction, the names in it, and everything found wrong so far.

Errors do not stop a trace. What an erroneous op would have produced is a *poison* value of type ``Any``, which fits
everywhere, so one mistake is reported once. From the first error on nothing more is emitted, only checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from orchestrator.dsl.declared.naming import type_clash
from orchestrator.dsl.declared.once import repeats, retried_around
from orchestrator.dsl.declared.policy import Opts
from orchestrator.dsl.declared.tool_spec import ToolSpec
from orchestrator.dsl.pure.table import FAIL_BY_TYPE, NEVER_FAIL
from orchestrator.dsl.source.location import user_frame, user_location
from orchestrator.dsl.source.ran import Runs
from orchestrator.dsl.tracing.order import EVERYTHING, Tokens
from orchestrator.dsl.tracing.scope import Effects, Scope
from orchestrator.dsl.tracing.secrecy import problem_of
from orchestrator.dsl.tracing.sharing import Shares, Things, changeable, container, note, of, of_builtin, part
from orchestrator.dsl.tracing.template import Markers
from orchestrator.dsl.tracing.undo import Past, Undoable
from orchestrator.dsl.types.bounds import Length, length_by_type
from orchestrator.dsl.types.typing import TypeForm, decodable, type_string
from orchestrator.errors import Diagnostic, SourceLoc, TraceError, UnrepresentableError

if TYPE_CHECKING:
    from types import CodeType

    from orchestrator.dsl.tracing.graph import Graph, Region

T = TypeVar("T")
MAX_ITEMS: Final = 100
MAX_ITERATIONS: Final = 25

_current: ContextVar[Tracer | None] = ContextVar("orchestrator_tracer", default=None)


def current_tracer() -> Tracer | None:
    """The trace in progress, if any."""
    return _current.get()


def require_tracer(callee: str) -> Tracer:
    """The trace in progress; a :class:`TraceError` outside of one."""
    tracer = _current.get()
    if tracer is None:
        raise TraceError(
            "ORCH-D034",
            f"{callee}() outside of a workflow",
            where=user_location(),
            why="it adds an op to the workflow being traced, and none is",
            fix="move it into a function decorated with @workflow and call that",
        )
    return tracer


def _demands(kind: str, attrs: Mapping[str, object], operands: Sequence[Value[Any]], opts: Opts) -> bool:
    """Whether somebody could tell that an op ran: it asks, does something or may fail."""
    callee = str(attrs.get("callee", "")).removeprefix("builtin.")
    if kind == "tool" and callee in FAIL_BY_TYPE:
        return any(each._type is Any for each in operands)
    if kind == "field":
        return bool(opts.get("keyed")) or str(attrs["path"]).lstrip("-").isdigit()
    return callee not in NEVER_FAIL if kind == "tool" else kind not in ("const", "prompt", "branch", "switch", "map")


class Origin(NamedTuple):
    """The op (or parameter) that produces a value, for messages."""

    name: str
    where: SourceLoc


class Fact(NamedTuple):
    """The type of ``value`` where a test holds, and where it does not; None where it says nothing."""

    value: Value[Any]
    if_true: TypeForm | None
    if_false: TypeForm | None

    def swapped(self) -> Fact:
        """The same of the opposite test."""
        return Fact(self.value, self.if_false, self.if_true)


class Value(Generic[T]):
    """Something of type ``T`` that is only known when the workflow runs: an op's result, or a parameter.

    What Python's operators do with one is said above, in :class:`~orchestrator.dsl.symbol.Symbol`.
    """

    __slots__ = ("_among", "_facts", "_hole", "_length", "_origin", "_scope", "_shares", "_ssa", "_tracer", "_type")

    def __init__(  # noqa: PLR0917 - positional because every op makes one
        self, tracer: Tracer, ssa: Any, tp: Any, scope: Scope, origin: Origin, length: Length | None = None
    ) -> None:
        self._tracer = tracer
        self._ssa = ssa
        self._type = tp
        self._scope = scope
        self._origin = origin
        self._length = length
        self._hole: int | None = None
        self._facts: tuple[Fact, ...] = ()
        """What it says, if it is a condition, about the types of values."""
        self._among: tuple[TypeForm, ...] | None = None
        """Which members of its type it is one of, where a test has left fewer than the type has."""
        self._shares: Shares | None = None
        """The objects that it may be and may hold (:mod:`.sharing`); None where they are its own."""


class Result(NamedTuple):
    """What an op yields: a type, and for lists what is known of the length."""

    type: TypeForm
    length: Length | None = None
    shares: Shares | None = None
    """The objects that it may be and hold, if it is not new."""


class Inlined(NamedTuple):
    """A workflow whose function is being traced."""

    fn: Callable[..., Any]
    name: str
    static: Mapping[str, object] | None
    """The values of its static parameters."""
    max_depth: int | None


class Mark(NamedTuple):
    """How many errors were reported and names used, and the effects of the open region at some point of a trace."""

    diagnostics: int
    names: int
    tokens: Tokens
    effects: Effects
    inner: int


class Tracer:
    """One trace; see the module's docstring. ``ir`` receives the ops, ``class_of`` has a class for values of a type."""

    def __init__(self, name: str, ir: Graph, class_of: Callable[[TypeForm], type[Value[Any]]]) -> None:
        self.name = name
        self.ir = ir
        self._class_of = class_of
        self.scope = Scope(f"workflow `{name}`")
        self.prefix = ""
        self.place: SourceLoc | None = None
        self.diagnostics: list[Diagnostic] = []
        self.raised: Exception | None = None
        """What the user's function raised, which is then one of the diagnostics."""
        self.defaults: Opts = {}
        self._past = Past()
        self.types: Undoable[str, TypeForm] = Undoable(self._past)
        self.tools: Undoable[str, ToolSpec[..., Any]] = Undoable(self._past)
        self.hashes: dict[object, tuple[object, str]] = {}
        """It has functions of tools with the hashes of the tools, by the identity of the functions."""
        self.inlining: list[Inlined] = []
        """The workflows whose functions are being traced, each called in the one before."""
        self.recursions = 0
        """Calls of workflows within themselves."""
        self.truths: Undoable[tuple[CodeType, int], int] = Undoable(self._past)
        self.ids: Undoable[str, SourceLoc] = Undoable(self._past)
        self.runs = Runs()
        self.emitted = 0
        """Ops so far, those that were dropped included."""
        self.demands = 0
        """Those among them that ask, do something or may fail."""
        self.unbound: dict[str, str] = {}
        """Why a name holds nothing."""
        self.lacking: dict[tuple[int, int], Any] = {}
        """Names that hold nothing where an exit of a loop was taken, by cell and content."""
        self.handled: list[Any] = []
        """The errors whose handlers are being traced."""
        self.caught: set[type[BaseException]] = set()
        """The classes that handlers so far have named."""
        self.max_items = MAX_ITEMS
        """So many items of a list are gone through at most, if nobody has bounded its length."""
        self.max_iterations = MAX_ITERATIONS
        """The most turns of a `while`, or of a `for` over a symbolic range."""
        self._counts: Undoable[str, int] = Undoable(self._past)
        self._markers = Markers()
        self._holes: list[Value[Any]] = []
        self.things: dict[int, tuple[object, Things]] = {}
        """It has objects of which values were made, by their identity, with what stands for them there."""
        self.outside: dict[int, tuple[object, int, Mapping[int, object]]] = {}
        """By the identity of containers that were there before: how many items each had, and what it led to."""
        self.pinned: list[tuple[Callable[[], object], str]] = []
        """What gives objects that no name holds, and that are still to be used, and what these are."""

    @contextmanager
    def active(self) -> Iterator[Tracer]:
        """Make this the current trace."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)

    def close(self) -> None:
        """Let go of the user's values and frames, which know the trace: it goes with its last value."""
        self.runs.forget()
        self._holes.clear()
        self.things.clear()
        self.lacking.clear()

    @contextmanager
    def holding(self, what: Callable[[], object], said: str) -> Iterator[None]:
        """Have something be held while the block is traced, though no name holds it; ``said`` is what messages say."""
        self.pinned.append((what, said))
        try:
            yield
        finally:
            self.pinned.remove((what, said))

    # Errors

    def report(
        self, code: str, message: str, *, why: str | None = None, fix: str | None = None, where: SourceLoc | None = None
    ) -> Value[Any]:
        """Record an error at the user's current line and return a poison value to go on with."""
        self.diagnostics.append(Diagnostic(code, message, where or self.here(), why, fix))
        return self.poison()

    def report_once(self, problems: Sequence[Diagnostic]) -> None:
        """Record what is wrong with a tool or workflow, however often it is called."""
        self.diagnostics += [problem for problem in problems if problem not in self.diagnostics]

    def poison(self) -> Value[Any]:
        """A value that fits everywhere, standing for the result of an erroneous op."""
        return self._class_of(Any)(self, None, Any, self.scope, Origin("the result of an erroneous op", self.here()))

    def here(self) -> SourceLoc:
        """The user's current line, or ``place`` if that is set."""
        if self.place is not None:
            return self.place
        frame = user_frame()
        self.runs.note(frame)
        return SourceLoc(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)

    def call(self, function: Callable[..., Any], *args: object) -> Any:
        """``function(*args)``, a function of the user's that is traced."""
        self.runs.note_call(function, args)
        return function(*args)

    # Values

    def value(self, ssa: Any, result: Result, origin: Origin, scope: Scope | None = None) -> Value[Any]:
        """A value of the trace."""
        kind = self._class_of(result.type)
        length = result.length or length_by_type(result.type)
        made = kind(self, ssa, result.type, scope or self.scope, origin, length)
        return made if result.shares is None else note(made, result.shares)

    def marker(self, value: Value[Any]) -> str:
        """The text that stands for ``value`` in an f-string."""
        self.runs.note(user_frame())
        return self._markers.of(self._hole(value))

    def readable(self, text: str) -> str:
        """``text`` for a message: with names of values in the place of their markers."""
        return self._markers.named(text, [value._origin.name for value in self._holes])

    def repr_marker(self, value: Value[Any]) -> str:
        """The text that makes ``repr(value)`` recognisable in a template."""
        return self._markers.of_repr(self._hole(value))

    def _hole(self, value: Value[Any]) -> int:
        if value._hole is None:
            value._hole = len(self._holes)
            self._holes.append(value)
        return value._hole

    def usable(self, value: Value[Any]) -> Value[Any]:
        """``value`` where it is computed; an error where it belongs to another trace, or to a region that has ended."""
        if value._tracer is self and not value._scope.closed:
            return value
        origin, owner = value._origin, value._scope.name
        return self.report(
            "ORCH-D033",
            f"`{origin.name}` belongs to {owner} and cannot be used here",
            why=f"it is computed at {origin.where}, possibly several times or not at all",
            fix="return it from there: what the function returns is the result of the combinator",
        )

    # Ops

    def op(
        self,
        kind: str,
        operands: Sequence[Value[Any]],
        results: Sequence[Result],
        attrs: Mapping[str, object],
        opts: Opts | None = None,
        *,
        base: str | None = None,
        name: str | None = None,
        label: str | None = None,
        regions: Sequence[Region | None] = (),
    ) -> list[Value[Any]]:
        """Emit one op. Its id is ``name``, or ``base`` (``kind``) and a number; ``label`` names it in messages.

        Where it has effects, or asks a model, it waits for what is before it (:mod:`orchestrator.dsl.tracing.order`).
        """
        where, scope, opts = self.here(), self.scope, dict(opts or {})
        self.emitted += 1
        self.demands += _demands(kind, attrs, operands, opts)
        after = opts.pop("after", ())
        effect, sleeps, asks = scope.take_effect(kind, attrs, has_regions=bool(regions))
        if regions and kind != "arm":
            inside = scope.take_once()
            if inside and repeats(opts):
                self.diagnostics.append(retried_around(kind, inside, where))
        told = [(value._origin.name, value._type) for value in operands] if kind == "prompt" else ()
        if (secret := problem_of(kind, told, [result.type for result in results], attrs, where)) is not None:
            self.diagnostics.append(secret)
        op_id = self.new_id(base or kind, name, where)
        types = [self.register_type(result.type) for result in results]
        is_last = after is EVERYTHING
        waited = [] if is_last else [value._ssa for value in after]  # type: ignore[attr-defined]
        waits = self._done([*waited, *scope.order.outside.asked] if sleeps or is_last else waited)
        values: Sequence[Any] = [None] * len(results)
        if not self.diagnostics:
            inputs = [value._ssa for value in operands]
            behind = [*scope.order.before("write" if is_last else effect), *waits] if effect or asks else waits
            given: Mapping[str, Any] = {"id": op_id, "opts": opts, "where": where, "regions": regions}
            try:
                values = self.ir.op(kind, inputs, types, attrs, **given, behind=behind, ordered=effect is not None)
                if effect is not None:
                    *values, token = values
                    scope.order.add(effect, token, sleeps=sleeps)
            except UnrepresentableError as error:
                why = "what a workflow holds is written into the IR, as UTF-8 text and 64-bit integers"
                self.report("ORCH-D013", f"{error} in `{op_id}`", why=why, fix=error.fix, where=where)
        origin = Origin(label or op_id, where)
        if asks and effect is None:
            scope.order.asked += values[:1]
        return [self.value(ssa, result, origin) for ssa, result in zip(values, results, strict=True)]

    def _done(self, values: Sequence[Any]) -> Sequence[Any]:
        """A token that is there once these values are; none where nothing is emitted any more."""
        if self.diagnostics or not values:
            return []
        return self.ir.op("done", values, [], {}, id=self.new_id("after"), opts={}, where=self.here(), ordered=True)

    def builtin(
        self, op: str, args: Mapping[str, Value[Any]], result: TypeForm, length: Length | None = None
    ) -> Value[Any]:
        """A pure expression; see :mod:`orchestrator.dsl.builtins`."""
        attrs = {"callee": f"builtin.{op}", "params": list(args), "effects": "pure"}
        made = self.op("tool", list(args.values()), [Result(result, length)], attrs, base=op.rpartition(".")[2])[0]
        return of_builtin(made, op, args)

    def field(
        self, value: Value[Any], path: str, tp: TypeForm, *, each: bool = False, keyed: bool = False
    ) -> Value[Any]:
        """A projection: ``value.path``, or of each item; ``keyed`` marks a string key of a mapping."""
        opts: Opts = {key: True for key, on in (("each", each), ("keyed", keyed)) if on}
        result = Result(tp, value._length if each else None)
        label = f"{value._origin.name}.{path}"
        made = self.op("field", [self.usable(value)], [result], {"path": path}, opts, label=label)[0]
        if any(changeable(tp)):
            inner = of(value).inner
            note(made, container([inner], self.scope, twice=of(value).twice) if each else part(of(value)))
        return made

    def register_type(self, tp: TypeForm) -> str:
        """Bind the name of a type, and return it; reports another type of that name."""
        name = type_string(tp)
        if self.types.get(name) is tp:
            return name
        tp = decodable(tp)
        if (clash := type_clash(name, self.types.setdefault(name, tp), tp)) is not None:
            self.report("ORCH-D031", f"two different types are called {name}", why=clash[0], fix=clash[1])
        return name

    def mark(self) -> Mark:
        """The point to :meth:`rollback` to."""
        scope, names = self.scope, self._past.now()
        return Mark(len(self.diagnostics), names, scope.order.so_far, scope.effects, len(scope.inner))

    def rollback(self, mark: Mark) -> None:
        """Forget the names, errors and effects since ``mark``, before tracing a region again; its ops are dropped with
        it."""
        del self.diagnostics[mark.diagnostics :]
        self._past.go_back(mark.names)
        scope = self.scope
        scope.order.go_back(mark.tokens)
        scope.effects = mark.effects
        del scope.inner[mark.inner :]

    def new_id(self, base: str, name: str | None = None, where: SourceLoc | None = None) -> str:
        """The id of an op: ``name``, or ``base`` and a number."""
        where = where or self.here()
        if name is not None:
            op_id = self.prefix + name
            if op_id in self.ids:
                self.report(
                    "ORCH-D030",
                    f"two ops are named `{name}`",
                    why=f"the other one is at {self.ids[op_id]}",
                    fix="names identify ops in plans, traces and replays: give one of them another name",
                )
        else:
            count = self._counts.get(self.prefix + base, 0)
            while (op_id := f"{self.prefix}{base}_{(count := count + 1)}") in self.ids:
                pass
            self._counts[self.prefix + base] = count
        self.ids[op_id] = where
        return op_id

    def new_prefix(self, name: str) -> str:
        """The prefix of the ids in an inlined workflow: ``sub/``, then ``sub_2/``."""
        base = self.prefix + name
        count = self._counts[base] = self._counts.get(base, 0) + 1
        return f"{base}/" if count == 1 else f"{base}_{count}/"
