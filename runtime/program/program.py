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
from typing import Any, Final
from weakref import WeakValueDictionary

from orchestrator.cached import cached_property
from orchestrator.errors import SourceLoc
from orchestrator.planner.token_price import TokenPrice
from orchestrator.runtime.program.codegen import Classes, ResultTypeError, check_result
from orchestrator.runtime.program.specs import NO_POLICY, Generate, Limits, Policy, Spec, Structure, ToolCall
from orchestrator.runtime.values.own_code import OwnCode


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
    key: str = ""
    """What names it in a journal, among the ops of its region (:mod:`orchestrator.runtime.program.keys`)."""

    @property
    def is_once(self) -> bool:
        """Whether it is a tool that must run at most once."""
        return isinstance(self.spec, ToolCall) and self.spec.once is not None

    @property
    def is_race(self) -> bool:
        """Whether what it gives depends on what was faster."""
        return isinstance(self.spec, Structure) and self.spec.kind == "race"

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
    """It has, for each segment, how many segments it waits for; 0 but for joins."""
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
    """It has, for each line of ``source``, the index in ``inlined`` of the op it computes; None if it computes none."""
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
        """The function of each segment."""
        return tuple(self.functions[each.name] if each.name else None for each in self.segments)

    @cached_property
    def whole(self) -> Callable[..., tuple[Any, ...]]:
        """An inline region as one function from its inputs to what it yields."""
        return self.functions["whole"]  # type: ignore[no-any-return]

    @cached_property
    def own_code(self) -> OwnCode:
        """The slots whose values are checked apart."""
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
    """It is the hash of what the workflow means."""
    params: tuple[str, ...]
    body: Region
    returns: Any
    budget: Limits | None = None
    prices: Mapping[str, TokenPrice] = field(default_factory=dict)
    """It has the prices of the engines whose price is known."""
    slo_s: float | None = None
    """Seconds from its arrival within which a run should be done; None: nobody has said."""

    @cached_property
    def fingerprint(self) -> str:
        """It names the version that a run executes: what the workflow means, and by which keys its results are found.

        Neither a plan nor a policy changes it.
        """
        digest = sha256(self.hash.encode())
        for key, region in sorted(self.regions.items()):
            digest.update(f"{key}\n{[(op.id, op.key) for op in region.ops()]}".encode(errors="surrogatepass"))
        return digest.hexdigest()[:16]

    @cached_property
    def kept_once(self) -> frozenset[tuple[str, str]]:
        """Its tools that must run at most once and that something around them may start again, by region and id: what
        has become of those is remembered to the end of the run."""
        return frozenset(_kept_once(self.body, is_retried=False))

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


def _kept_once(region: Region, *, is_retried: bool) -> Iterator[tuple[str, str]]:
    for op in region.ops():
        if op.is_once and is_retried:
            yield region.key, op.id
        for body in op.bodies:
            yield from _kept_once(body.region, is_retried=is_retried or op.policy.attempts > 1)


def _model_calls(region: Region, usd: float | None) -> Iterator[tuple[Op, float | None]]:
    for op in region.ops():
        own = usd if op.policy.budget is None or op.policy.budget.usd is None else op.policy.budget.usd
        if isinstance(op.spec, Generate):
            yield op, own
        for body in op.bodies:
            yield from _model_calls(body.region, own)
