"""The executable form of a workflow: regions of numbered slots, inline segments, and ops that suspend.

A *region* is the workflow's body, a loop's condition or body, a map's body, an arm. It is self-contained: it takes its
arguments and the values it captures from around it, and yields. Each execution of it is a list of slots::

    [arguments | captures | outputs of segment 0 | outputs of op A | outputs of A's segment | ...]

Ops that only compute (*inline*) are compiled into straight-line functions, the *segments*; the rest *suspend*: tools
that wait, model calls, humans, and structured ops around any of these. Segment 0 runs when the region is entered, and
each suspending op has a segment that runs when it completes. An inline op joins the segment that makes its last input
available; where that differs from run to run, a *join* segment with a pending count does. So the only points of
scheduling are the ends of segments, and everything between them costs no more than the Python it compiles to.

A program is plain data. It pickles as long as its tools do (Ray ships those by value).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Literal
from weakref import WeakValueDictionary

from orchestrator.cached import cached_property
from orchestrator.errors import SourceLoc
from orchestrator.planner.token_price import TokenPrice
from orchestrator.runtime.apart import OwnCode
from orchestrator.runtime.cases import Select, by_truth
from orchestrator.runtime.codegen import Classes, ResultTypeError, check_result

Effects = Literal["pure", "reads", "idempotent", "once"]


@dataclass(frozen=True, slots=True)
class Limits:
    """A budget: upper bounds, None for unbounded."""

    usd: float | None = None
    tokens: int | None = None
    seconds: float | None = None


NO_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Policy:
    """How often an op is tried, how long it may take, and what it may spend."""

    attempts: int = 1
    backoff_s: float = 0.5
    max_backoff_s: float = 30.0
    jitter: bool = True
    on: tuple[str, ...] | None = None
    """Qualified names of the exceptions that are retried; None for all that are worth it."""
    timeout_s: float | None = None
    budget: Limits | None = None


NO_POLICY: Final = Policy()


@dataclass(frozen=True, slots=True)
class Pause:
    """What is known of the pause after a turn: before the turn, or by what starts in the pause.

    The values of ``features`` are arguments of the op that the pause belongs to, behind all others.
    """

    tool: str = ""
    """The key of the wait (:mod:`orchestrator.passes.kv.waits`)."""
    ttl_s: float | None = None
    """Upper bound of what to keep the cache for; 0: it is not worth keeping."""
    typical_s: float | None = None
    """The user's word for how long it takes."""
    features: tuple[str, ...] = ()
    """Names of the arguments that tell how long it takes."""
    is_shared: bool = False
    """Several forks follow; each is a session of its own."""
    is_refined: bool = False
    """An op in the pause will say more about it."""


@dataclass(frozen=True, slots=True)
class Once:
    """What a tool that must run at most once offers for when nobody knows whether it did."""

    key: tuple[str, ...] = ()
    """The parameters that together are an idempotency key, with which repeating a call is harmless."""
    made: tuple[str, ...] = ()
    """Those of them that the runtime makes, because the workflow passes none."""
    params: tuple[str, ...] = ()
    """Names of the call's arguments."""
    check: Callable[..., Any] | None = None
    """Says whether a call has happened."""
    check_params: tuple[str, ...] = ()
    """What it is to be asked with, of ``params`` and ``key``."""

    @property
    def is_repeatable(self) -> bool:
        """Whether there is a way to go on after an attempt without an outcome."""
        return bool(self.key) or self.check is not None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function to call: ``fn(*args)``, or by name where ``names`` is set."""

    fn: Callable[..., Any]
    callee: str
    effects: Effects
    is_async: bool
    place: str
    names: tuple[str, ...] | None = None
    retrieve: bool = False
    memory_bytes: int | None = None
    """What it may take in a process of its own."""
    in_pauses: tuple[Pause, ...] = ()
    """Pauses of which more is known once this starts. Each adds arguments: the conversation, and the features."""
    once: Once | None = None
    """Of a tool that must run at most once; None if it may be repeated."""

    def __post_init__(self) -> None:
        if self.effects == "once" and self.once is None:
            object.__setattr__(self, "once", Once())


@dataclass(frozen=True, slots=True)
class Generate:
    """A model call. Arguments: the prompt, and the conversation it continues if there is one."""

    model: str
    engine: str | None
    """Name of the engine the plan chose; None leaves it to the model's name."""
    returns: Any = str
    """The type of one reply."""
    samples: int = 1
    at_least: int | None = None
    """So many samples must fit, and the others may be left out; None: all must."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    schema: Mapping[str, object] | None = None
    constraint: tuple[str, object] | None = None
    """As of :class:`~orchestrator.runtime.engines.base.Sampling`, and so the next six."""
    passed: Mapping[str, object] = field(default_factory=dict)
    extra_body: Mapping[str, object] = field(default_factory=dict)
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: str = "auto"
    logprobs: int | None = None
    steps: Mapping[str, object] | None = None
    late: tuple[str, ...] = ()
    """Options that are values: ``system``, ``model``, ``temperature``. They are arguments, behind the conversation."""
    pause: Pause | None = None
    """The pause before the next turn; None if there is no next turn, or none is known."""
    is_fork: bool = False
    """Others continue the same conversation, so this opens a session of its own."""
    turns_left: float | None = None
    """Expected turns on the conversation after this one; None if that is not known."""
    critical_path_s: float | None = None
    """Expected seconds from the end of this call to the end of the run."""
    expected_output_tokens: int | None = None
    """The plan's upper estimate per sample, for budgets, where ``max_tokens`` is not given."""

    @property
    def offers_tools(self) -> bool:
        """Whether the model may call tools, so that its reply is a :class:`~orchestrator.dsl.messages.Reply`."""
        return bool(self.tools) and self.tool_choice != "none"

    @property
    def described(self) -> list[Any]:
        """What of it may stand in the prompt besides."""
        return [each for each in (self.schema, self.steps, *self.tools) if each]


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to a human."""

    choices: tuple[str, ...] | None = None
    in_pauses: tuple[Pause, ...] = ()
    """As of a tool call."""


@dataclass(frozen=True, slots=True)
class Release:
    """A hint to the engine: the conversation ends here."""


@dataclass(frozen=True, slots=True)
class Supersede:
    """A hint to the engine: the first ``over`` arguments are conversations that end here, unless another argument is
    such a conversation; and so do those whose latest turn was inside the structured op ``scope``."""

    over: int
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Prefetch:
    """A hint to the engine: the call ``call`` will begin with this conversation, or with this text."""

    call: str
    model: str
    engine: str | None
    pause: Pause


@dataclass(frozen=True, slots=True)
class Structure:
    """A structured op whose regions wait for something. ``bound`` is a loop's ``max`` or a map's ``limit``."""

    kind: Literal["branch", "switch", "loop", "map", "race", "attempt"]
    bound: int = 0
    concurrency: int = 0
    select: Select = by_truth
    """Of a branch or switch, which region is for a value."""
    catches: tuple[tuple[str, ...], ...] = ()
    """Of an attempt, the names that each handler takes; none for every failure. Its regions are the body, these, and
    then what is to be done in the end, if anything is."""
    must_end: bool = False
    """A loop that is not over after ``bound`` turns fails."""


@dataclass(frozen=True, slots=True)
class Raise:
    """An exception of the workflow's; its argument is the text, or the error that is raised again."""

    kind: str
    """Qualified name of its class; empty where something is raised again."""
    bases: tuple[str, ...]


Spec = ToolCall | Generate | Ask | Release | Supersede | Prefetch | Structure | Raise


@dataclass(frozen=True, slots=True)
class Body:
    """A region inside an op, and the slots around the op that it captures."""

    name: str
    """``then``, ``otherwise``, ``cond``, ``try``, a case, an arm's id; empty for the body of a loop or map."""
    region: Region
    captures: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Op:
    """A suspending op. Its results are the ``count`` slots from ``first``; then segment ``after`` runs."""

    id: str
    spec: Spec
    args: tuple[int, ...]
    first: int
    count: int
    after: int
    where: SourceLoc | None = None
    policy: Policy = NO_POLICY
    bodies: tuple[Body, ...] = ()

    @property
    def is_once(self) -> bool:
        """Whether it is a tool that must run at most once."""
        return isinstance(self.spec, ToolCall) and self.spec.once is not None

    @property
    def is_keyed(self) -> bool:
        """Whether it is such a tool, and takes an idempotency key."""
        return isinstance(self.spec, ToolCall) and self.spec.once is not None and bool(self.spec.once.key)

    @property
    def may_repeat(self) -> bool:
        """Whether a retry of it would be accepted: nothing in it must run at most once without proof."""
        if isinstance(self.spec, ToolCall) and self.spec.once is not None:
            return self.spec.once.is_repeatable
        return all(op.may_repeat for body in self.bodies for op in body.region.ops())


@dataclass(frozen=True, slots=True)
class Inline:
    """An inline op, for messages and spans."""

    id: str
    where: SourceLoc | None
    slot: int
    check: Classes | None = None
    """What its result must be an instance of."""
    tool: str | None = None
    """The user's tool that it calls, if it does; the others are bookkeeping."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Inline ops that run together, and what may start when they have."""

    name: str | None
    """The generated function; None when there is nothing to compute."""
    first: int
    count: int
    starts: tuple[Op, ...]
    joins: tuple[int, ...]
    """Segments that wait for this one among others."""


_serials: Final = itertools.count(1)
_compiled: Final[WeakValueDictionary[str, Region]] = WeakValueDictionary()


@dataclass(eq=False)
class Region:
    """A region ready to run. ``key`` is its place in the program: ``""``, ``"turns/"``, ``"turns/branch_1.then/"``."""

    key: str
    n_inputs: int
    """Arguments and captures."""
    blanks: int
    """Slots after those."""
    segments: tuple[Segment, ...]
    pending: tuple[int, ...]
    """For each segment, how many segments it waits for; 0 but for joins."""
    yields: tuple[int, ...]
    types: tuple[Any, ...]
    """The Python type of each slot."""
    sequential: bool
    """At most one suspending op runs at a time, whatever happens."""
    is_inline: bool
    """Nothing in it suspends."""
    inlined: tuple[Inline, ...]
    source: str
    """The generated Python."""
    lines: tuple[int | None, ...]
    """For each line of ``source`` the index in ``inlined`` of the op it computes; None if it computes none."""
    env: dict[str, Any] = field(repr=False)
    """Globals of the generated code."""

    @cached_property
    def functions(self) -> dict[str, Any]:
        """The compiled segments, and ``whole`` for an inline region."""
        filename = f"<orch {next(_serials)} {self.key}>"
        namespace = dict(self.env)
        exec(compile(self.source, filename, "exec", dont_inherit=True), namespace)
        _compiled[filename] = self
        return namespace

    @cached_property
    def segment_functions(self) -> tuple[Callable[[list[Any]], None] | None, ...]:
        """By segment."""
        return tuple(self.functions[each.name] if each.name else None for each in self.segments)

    @cached_property
    def whole(self) -> Callable[..., tuple[Any, ...]]:
        """An inline region as one function from its inputs to what it yields."""
        return self.functions["whole"]  # type: ignore[no-any-return]

    @cached_property
    def own_code(self) -> OwnCode:
        """Of which slots the values are checked apart."""
        return OwnCode(self.types)

    def ops(self) -> Iterator[Op]:
        """The suspending ops directly in this region."""
        for segment in self.segments:
            yield from segment.starts

    def __getstate__(self) -> dict[str, Any]:
        cached = ("functions", "segment_functions", "whole", "own_code")
        return {name: value for name, value in self.__dict__.items() if name not in cached}


def failing_op(error: BaseException) -> tuple[Inline | None, BaseException]:
    """The inline op that failed, and its error: ``error`` itself, or the wrong result of an earlier op that led to it.

    The op is found by the line of generated code in the traceback, so it costs nothing until something fails.
    """
    found: tuple[Inline | None, BaseException] = None, error
    trace = error.__traceback__
    while trace is not None:
        region = _compiled.get(trace.tb_frame.f_code.co_filename)
        if region is not None:
            found = _failure_at(region, trace.tb_lineno - 1, trace.tb_frame.f_locals.get("v", []), error)
        trace = trace.tb_next
    return found


def _failure_at(region: Region, line: int, v: list[Any], error: BaseException) -> tuple[Inline | None, BaseException]:
    before = line - 1
    while before >= 0 and (index := region.lines[before]) is not None:
        op = region.inlined[index]
        if op.check is not None:
            try:
                check_result(v[op.slot], op.check)
            except ResultTypeError as wrong:
                return op, wrong
        before -= 1
    index = region.lines[line]
    return (None if index is None else region.inlined[index]), error


@dataclass(frozen=True)
class Program:
    """A workflow ready to run."""

    name: str
    hash: str
    """Of what the workflow means."""
    params: tuple[str, ...]
    body: Region
    returns: Any
    budget: Limits | None = None
    prices: Mapping[str, TokenPrice] = field(default_factory=dict)
    """Of the engines whose price is known."""

    @cached_property
    def fingerprint(self) -> str:
        """Hash of what the workflow means and of where its values are: what a run is pinned to. A new plan may change
        it; a new timeout, retry or budget does so only where an op that just computes gets its first policy."""
        digest = sha256(self.hash.encode())
        for key, region in sorted(self.regions.items()):
            slots = [(op.id, op.first, op.count) for op in region.ops()]
            digest.update(f"{key}\n{region.source}\n{slots}".encode())
        return digest.hexdigest()[:16]

    @cached_property
    def places(self) -> frozenset[str]:
        """Where its tools run."""
        ops = (op for region in self.regions.values() for op in region.ops())
        return frozenset(op.spec.place for op in ops if isinstance(op.spec, ToolCall))

    @cached_property
    def once_tools(self) -> tuple[Op, ...]:
        """Its tools that must run at most once."""
        return tuple(op for region in self.regions.values() for op in region.ops() if op.is_once)

    @cached_property
    def model_calls(self) -> tuple[tuple[Op, float | None], ...]:
        """Its model calls, each with the dollars of the closest budget that is declared around it."""
        return tuple(_model_calls(self.body, None))

    @cached_property
    def regions(self) -> dict[str, Region]:
        """Every region by its key."""
        found: dict[str, Region] = {}
        todo = [self.body]
        while todo:
            region = todo.pop()
            found[region.key] = region
            todo += [body.region for op in region.ops() for body in op.bodies]
        return found


def _model_calls(region: Region, usd: float | None) -> Iterator[tuple[Op, float | None]]:
    for op in region.ops():
        own = usd if op.policy.budget is None or op.policy.budget.usd is None else op.policy.budget.usd
        if isinstance(op.spec, Generate):
            yield op, own
        for body in op.bodies:
            yield from _model_calls(body.region, own)
