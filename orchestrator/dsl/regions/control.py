"""Control flow that the compiler sees: ``branch``, ``loop``, ``map_`` and ``race``.

Each takes functions, traces them once into regions, and is bounded: a plan is always finite. Functions may use values
from around them; what they compute leaves only as their result, which may be one value, a tuple, or a dict.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, Final, Literal, Never, TypeVar, TypeVarTuple, Unpack, overload

from orchestrator.dsl.declared.policy import Opts, is_count
from orchestrator.dsl.options import Policy, option, policy_of
from orchestrator.dsl.regions.alternatives import alternatives, trace_arm
from orchestrator.dsl.regions.failing import attempt_op
from orchestrator.dsl.regions.region import Traced, is_traceable, trace_region
from orchestrator.dsl.regions.structure import LEAF, flatten, unflatten
from orchestrator.dsl.tracing.constants import is_symbolic, named, shown
from orchestrator.dsl.tracing.known import known_objects
from orchestrator.dsl.tracing.lifting import feed, lift
from orchestrator.dsl.tracing.sharing import Carried, Shares, container, of, part
from orchestrator.dsl.tracing.tracer import Mark, Result, Tracer, Value, require_tracer
from orchestrator.dsl.types.bounds import Length
from orchestrator.dsl.types.typing import TypeForm, assignable, element_type, join, list_of, type_string
from orchestrator.errors import Error

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
T = TypeVar("T")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

_ON_ERROR: Final = ("fail", "collect")
_WIDENINGS = 4
"""How often one value of a loop's state may turn out wider than it began: ``None``, then ``str | None``, …"""


def branch(cond: Any, then: Callable[[], T], otherwise: Callable[[], T], **policy: Unpack[Policy]) -> T:
    """Run ``then()`` if ``cond`` holds, else ``otherwise()``; where their types differ, the result is of either."""
    tracer = require_tracer("branch")
    name, opts = policy_of(tracer, "branch", policy)
    test = feed(tracer, cond, bool, "the condition of branch")
    arms = [trace_arm(tracer, "`then` of branch", then), trace_arm(tracer, "`otherwise` of branch", otherwise)]
    return alternatives(tracer, "branch", [test], arms, opts=opts, name=name)  # type: ignore[no-any-return]


def race(*arms: Callable[[], T], **policy: Unpack[Policy]) -> T:
    """Start all arms; the first that succeeds gives the result and the others are cancelled."""
    tracer = require_tracer("race")
    name, opts = policy_of(tracer, "race", policy)
    if not arms:
        tracer.report("ORCH-D024", "race without arms", fix="race(lambda: ..., lambda: ...)")
        return tracer.poison()  # type: ignore[return-value]
    traced: list[Traced] = []
    with tracer.ir.region([]) as region:
        for arm in arms:
            traced.append(trace_arm(tracer, f"arm {len(traced) + 1} of race", arm))
            tracer.op("arm", [], [], {}, regions=[traced[-1].region])
    return alternatives(tracer, "race", [], traced, regions=[region], opts=opts, name=name)  # type: ignore[no-any-return]


def loop(
    body: Callable[[T], T],
    init: T,
    *,
    max: int | None = None,  # noqa: A002 - the word for it
    until: Callable[[T], Any] | None = None,
    **policy: Unpack[Policy],
) -> T:
    """Repeat ``state = body(state)`` at most ``max`` times, and not at all once ``until(state)`` holds.

    ``init`` is one value, or a tuple or dict of values, and ``body`` takes and returns the same structure; where
    ``body`` makes one value of them, as a tool does, the state is that value. ``until`` is checked before each
    iteration. The result is the final state.
    """
    tracer = require_tracer("loop")
    name, opts = policy_of(tracer, "loop", policy)
    if not is_count(max):
        shown_max = named(max) if is_symbolic(max) else shown(max)
        tracer.report(
            "ORCH-D020",
            "a loop without a bound" if max is None else f"a loop with max={shown_max}",
            why="a plan is finite and its cost is an interval, so the number of iterations needs an upper bound",
            fix="loop(body, init, max=5, until=...) with a Python int of 1 or more",
        )
        max = 1  # noqa: A001
    if until is not None and not is_traceable(tracer, "`until` of loop", until):
        until = None
    return loop_op(tracer, body, init, max, until, opts, name)  # type: ignore[no-any-return]


def loop_op(  # noqa: PLR0917 - what a loop consists of
    tracer: Tracer,
    body: Callable[[Any], object],
    init: object,
    bound: int,
    until: Callable[[Any], object] | None,
    opts: Opts | None = None,
    name: str | None = None,
    *,
    must_end: bool = False,
) -> Any:
    """:func:`loop` with checked options; with ``must_end`` a loop that reaches its bound fails (ORCH-R055)."""
    leaves, shape = flatten(init)
    state = [lift(tracer, leaf) for leaf in leaves]
    types = [value._type for value in state]

    def on_structure(function: Callable[..., object], values: Sequence[Value[Any]]) -> object:
        return tracer.call(function, unflatten(shape, values))

    def stop(structure: Any) -> object:
        return False if until is None else feed(tracer, tracer.call(until, structure), bool, "`until` of loop")

    carried, before = Carried(tracer.scope, state), known_objects()
    for widenings_left in reversed(range(_WIDENINGS * (len(types) + 1))):
        mark = tracer.mark()
        arguments = [Result(tp, shares=shares) for tp, shares in zip(types, carried.shares, strict=True)]
        cond = trace_region(tracer, "`until` of loop", stop, arguments, on_structure)
        step = trace_region(tracer, "the body of loop", body, arguments, on_structure)
        if step.raises:
            tracer.report(
                "ORCH-D051",
                "the body of the loop always raises",
                why="no turn of it gets to its end, so there is no state to go on with",
                fix="raise under a condition",
            )
            break
        if step.shape != shape:
            if widenings_left and (whole := _as_one_value(tracer, init, step, mark)) is not None:
                state, types, shape = [whole], [whole._type], LEAF
                carried = Carried(tracer.scope, state)
                continue
            if step.shape == LEAF and len(tracer.diagnostics) > mark.diagnostics:
                break  # what stands for the result of an error has no structure
            tracer.report(
                "ORCH-D023",
                f"the state of the loop is {shape}, but its body returns {step.shape}",
                fix="return the next state in the same structure as `init`",
            )
            break
        wider = _next_state(tracer, types, step)
        shares_more = carried.widen(step.leaves, partial(step.has_made, before=before))
        if wider == types and (not shares_more or len(tracer.diagnostics) > mark.diagnostics):
            break
        if not widenings_left:
            _report_growth(tracer, types, wider)
            break
        types = wider
        tracer.rollback(mark)
    shares = carried.results(step.leaves) if step.shape == shape else carried.shares
    results = [Result(tp, shares=each) for tp, each in zip(types, shares, strict=True)]
    opts = {**(opts or {}), **({"must_end": True} if must_end else {})}
    values = tracer.op("loop", state, results, {"max": bound}, opts, name=name, regions=[cond.region, step.region])
    return unflatten(shape, values)


def _as_one_value(tracer: Tracer, init: object, step: Traced, mark: Mark) -> Value[Any] | None:
    """``init`` as the one value that the body makes of it; None if it is none, or something else is wrong."""
    if step.shape != LEAF or len(tracer.diagnostics) > mark.diagnostics:
        return None
    expected = step.leaves[0]._type
    tracer.rollback(mark)
    whole = lift(tracer, init, expected)
    return whole if assignable(whole._type, expected) else None


def _report_growth(tracer: Tracer, types: list[TypeForm], wider: list[TypeForm]) -> None:
    grown = next((tp for before, tp in zip(types, wider, strict=True) if tp != before), wider[0])
    tracer.report(
        "ORCH-D023",
        f"the type of the loop's state grows with every iteration, by now to {type_string(grown)}",
        why="the state has one type, before the first iteration and after the last",
        fix="return the next state through a tool that is declared to return the state's type",
    )


def _next_state(tracer: Tracer, types: list[TypeForm], step: Traced) -> list[TypeForm]:
    wider: list[TypeForm] = []
    for tp, value in zip(types, step.leaves, strict=True):
        joined = join(tp, value._type)
        if joined is None:
            tracer.report(
                "ORCH-D023",
                f"the loop's state is {type_string(tp)}, but its body returns {type_string(value._type)}",
                why=f"`{value._origin.name}` at {value._origin.where} is the next state",
                fix=f"return {type_string(tp)}, or start with a value of the type that the body returns",
            )
            joined = tp
        wider.append(joined)
    return wider


@overload
def map_(
    fn: Callable[[T], R], items: Sequence[T], /, *, on_error: Literal["collect"], limit: int | None = ...,
    concurrency: int | None = ..., **policy: Unpack[Policy],
) -> list[R | Error]: ...  # fmt: skip
@overload
def map_(
    fn: Callable[[Unpack[Ts]], R], /, *lists: Any, on_error: Literal["collect"], limit: int | None = ...,
    concurrency: int | None = ..., **policy: Unpack[Policy],
) -> list[R | Error]: ...  # fmt: skip
@overload
def map_(
    fn: Callable[..., tuple[A, B]], /, *lists: Any, limit: int | None = ..., concurrency: int | None = ...,
    **policy: Unpack[Policy],
) -> tuple[list[A], list[B]]: ...  # fmt: skip
@overload
def map_(
    fn: Callable[..., tuple[A, B, C]], /, *lists: Any, limit: int | None = ..., concurrency: int | None = ...,
    **policy: Unpack[Policy],
) -> tuple[list[A], list[B], list[C]]: ...  # fmt: skip
@overload
def map_(
    fn: Callable[[T], R], items: Sequence[T], /, *, limit: int | None = ..., concurrency: int | None = ...,
    **policy: Unpack[Policy],
) -> list[R]: ...  # fmt: skip
@overload
def map_(
    fn: Callable[[Unpack[Ts]], R], /, *lists: Any, limit: int | None = ..., concurrency: int | None = ...,
    **policy: Unpack[Policy],
) -> list[R]: ...  # fmt: skip
def map_(
    fn: Callable[..., Any],
    /,
    *lists: Any,
    limit: int | None = None,
    concurrency: int | None = None,
    on_error: Literal["fail", "collect"] = "fail",
    **policy: Unpack[Policy],
) -> Any:
    """Apply ``fn`` to each item (or to corresponding items of several lists), all at once or ``concurrency`` at a time.

    ``limit`` bounds the number of items, by default to what is known of the length, as after ``samples=5``, or to the
    workflow's ``max_items``; more items fail the op (ORCH-R005). If
    ``fn`` returns a tuple or dict, so does ``map_``, with a list in each place. The first item that fails fails them
    all; with ``on_error="collect"`` the others go on, and there is an :class:`Error` in its place.
    """
    tracer = require_tracer("map_")
    name, opts = policy_of(tracer, "map_", policy)
    values = [lift(tracer, items) for items in lists]
    arguments: list[Result] = []
    for value in values:
        item = element_type(value._type)
        if item is None:
            got = type_string(value._type)
            why = f"`{value._origin.name}` at {value._origin.where} produces {got}"
            fix = "pass lists after the function"
            tracer.report("ORCH-D010", f"map_ expects lists, but gets {got}", why=why, fix=fix)
        arguments.append(Result(Any if item in (None, Never) else item, shares=part(of(value))))
    length = _map_length(tracer, values, limit)
    concurrency = option(tracer, "concurrency", concurrency)
    if on_error not in _ON_ERROR:
        fix = f"on_error is {' or '.join(map(repr, _ON_ERROR))}"
        tracer.report("ORCH-D041", f"map_: on_error={shown(on_error)}", fix=fix)
    if on_error == "collect" and is_traceable(tracer, "the function of map_", fn):
        fn = partial(_or_error, tracer, fn)
    return _map(tracer, fn, values, arguments, length, concurrency or 0, opts, name)


def map_op(tracer: Tracer, fn: Callable[..., Any], lists: Sequence[Value[Any]], most: int, *, in_order: bool) -> Any:
    """A map over at most ``most`` items; with ``in_order`` the writes in it keep the order of the items."""
    arguments = [Result(element_type(each._type), shares=part(of(each))) for each in lists]
    known = max((each._length.least for each in lists if each._length is not None), default=0)
    return _map(tracer, fn, lists, arguments, Length(most, min(known, most)), 0, {}, None, in_order=in_order)


def _map(  # noqa: PLR0917
    tracer: Tracer,
    fn: Callable[..., Any],
    values: Sequence[Value[Any]],
    arguments: Sequence[Result],
    length: Length,
    concurrency: int,
    opts: Opts,
    name: str | None,
    *,
    in_order: bool = False,
) -> Any:
    before = known_objects()
    body = trace_region(tracer, "the function of map_", fn, arguments)
    if in_order and body.in_order:
        concurrency = 1
    results = [Result(list_of(leaf._type), length, _all_turns(tracer, body, leaf, before)) for leaf in body.leaves]
    attrs = {"limit": max(length.most, 1), "concurrency": concurrency}
    mapped = tracer.op("map", values, results, attrs, opts, name=name, regions=[body.region])
    return unflatten(body.shape, mapped)


def _all_turns(tracer: Tracer, body: Traced, leaf: Value[Any], before: Collection[int]) -> Shares:
    """What the list shares that has what each turn gives: what a turn has not made, several may give."""
    shares = of(leaf)
    twice = shares.twice or not all(body.has_made(thing, before) for thing in shares.all)
    return container([shares.all], tracer.scope, twice=twice)


def _or_error(tracer: Tracer, fn: Callable[..., Any], *items: Value[Any]) -> Any:
    """What ``fn`` gives of an item, or, in each place of that, its failure."""
    given: list[object] = []

    def body() -> object:
        given.append(tracer.call(fn, *items))
        return given[0]

    def handler(error: Value[Any]) -> Any:
        leaves, shape = flatten(given[0])
        return unflatten(shape, [error for _ in leaves])

    return attempt_op(tracer, body, [((), handler)], None, opts={})


def _map_length(tracer: Tracer, lists: Sequence[Value[Any]], limit: int | None) -> Length:
    known = [value._length for value in lists if value._length is not None]
    exact = {length.most for length in known if length.exact}
    if limit is not None and not is_count(limit):
        shown_limit = named(limit) if is_symbolic(limit) else shown(limit)
        fix = "limit is a Python int of 1 or more, known before the workflow runs"
        tracer.report("ORCH-D021", f"limit={shown_limit}", fix=fix)
        limit = 1
    if not lists:
        tracer.report("ORCH-D012", "map_ without a list", fix="map_(fn, values)")
    elif len(exact) > 1:
        lengths = ", ".join(f"`{v._origin.name}` has {v._length.most}" for v in lists if v._length is not None)
        tracer.report("ORCH-D021", f"map_ over lists of different lengths: {lengths}", fix="pass lists of one length")
    elif limit is not None and exact and limit < max(exact):
        tracer.report("ORCH-D021", f"limit={limit}, but the list has {max(exact)} items", fix="leave the limit out")
    bounds = [length.most for length in known] + ([limit] if limit is not None else [])
    most = min(bounds, default=tracer.max_items)
    return Length(most, min(most, max((length.least for length in known), default=0)))
