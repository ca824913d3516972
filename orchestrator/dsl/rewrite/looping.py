"""``for`` and ``while``: unrolled over what is concrete, else a map or a loop with a bound.

- Over a symbolic list, a body that hands nothing from one turn to the next is a map. Lists that it only appends to
  count as nothing: each turn makes its own part of them.
- Any other body is a loop (:mod:`.loop_state`).
- Over something concrete the body is unrolled, unless it depends on a symbolic value whether a turn is the last one:
  then it is a loop over a ``range``, and nested conditions over a few items.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Final

from orchestrator.dsl import operations
from orchestrator.dsl.operations.expressions import binary
from orchestrator.dsl.regions.cells import UNBOUND, Cells, cells_of, contents_of, held, hold, plain_name, restore
from orchestrator.dsl.regions.control import map_op
from orchestrator.dsl.regions.unbound import settle, where_none_is_taken
from orchestrator.dsl.rewrite.arms import RETURNED, Arm, run
from orchestrator.dsl.rewrite.deciding import decide, not_, or_
from orchestrator.dsl.rewrite.gone_through import refuse_changed
from orchestrator.dsl.rewrite.lazy import refused_drawing
from orchestrator.dsl.rewrite.loop_state import Extra, LoopState
from orchestrator.dsl.rewrite.owning import drawable_here, stand_in
from orchestrator.dsl.rewrite.plain import as_value, is_symbolic
from orchestrator.dsl.rewrite.values import bound_of, bounded, iterated
from orchestrator.dsl.source.location import user_location
from orchestrator.dsl.tracing.lifting import lift
from orchestrator.dsl.tracing.sharing import Shares, either, note, of
from orchestrator.dsl.tracing.tracer import Tracer, Value, current_tracer
from orchestrator.dsl.types.typing import is_list
from orchestrator.errors import TraceError

MOST_NESTED: Final = 16
"""Turns over concrete items that may be conditions in each other; more are a loop."""
_MOST_KNOWN: Final = 100_000
"""Items that may be gone through, so that what has no end is noticed."""
_TO_COME: Final = "what the `for` still goes through"
Names = Sequence[str]


@dataclass(frozen=True, slots=True)
class _Loop:
    """A loop while it is traced."""

    tracer: Tracer
    cells: Cells
    """The names that its condition and its body use of the function around them."""
    body: Callable[..., object]
    """A turn; that of a ``for`` is given the item."""
    carried: Names
    """Names that it assigns, and that a turn reads of the one before, or that are read behind the loop."""
    until: Names
    """Names of flags that end it."""
    after: Names
    """Names among ``carried`` that are read behind it."""
    known: Collection[Any]
    """What was known before it of names that hold nothing where an exit was taken."""

    @classmethod
    def of(
        cls, tracer: Tracer, body: Callable[..., object], *others: Callable[[], Any], carried: Names, until: Names,
        after: Names,
    ) -> _Loop:  # fmt: skip
        """A loop that begins; ``others`` are functions of it beside the body."""
        return cls(tracer, cells_of((*others, body)), body, carried, until, after, set(tracer.lacking))

    def flags(self) -> list[Any]:
        """What the flags of the exits hold."""
        return _flags(self.cells, self.until)

    def settle(self, *, turn: bool = False) -> None:
        """Have names hold nothing that the loop, or a turn, may have left so."""
        settle(self.tracer, self.cells, self.carried, self.known, turn=turn)

    def as_op(
        self,
        turn: Callable[[Extra], Extra],
        over: Callable[[Extra], Any],
        extra: Extra,
        bound: int,
        *,
        runs: bool = False,
        must_end: bool = False,
    ) -> None:
        """Emit it as a loop op; the arguments are those of :meth:`.LoopState.loop`."""
        state = LoopState(self.tracer, self.cells, self.carried, self.until, self.after)
        state.loop(turn, over, extra, bound, runs=runs, must_end=must_end)


def while_(
    test: Callable[[], Any],
    body: Callable[[], object],
    *,
    carried: Names = (),
    until: Names = (),
    after: Names = (),
    further: int = 0,
) -> None:
    """The statement ``while``. ``further`` turns beyond the bound only find that the loop is over.

    What the names are is told at :class:`_Loop`.
    """
    tracer = current_tracer()
    if tracer is None:
        cells = cells_of((test, body))
        while test():
            body()
            if any(_flags(cells, until)):
                return
        return
    loop = _Loop.of(tracer, body, test, carried=carried, until=until, after=after)
    _while(loop, test, tracer.max_iterations + further)
    loop.settle()


def _while(loop: _Loop, test: Callable[[], Any], most: int) -> None:
    runs = False
    while not is_symbolic(found := _condition(loop, test)):
        if not found:
            return
        if loop.until and not runs and _is_perhaps_last(loop, loop.body):
            runs = True
            break
        loop.body()
        loop.settle(turn=True)
        runs = True
        flags = loop.flags()
        if any(flag is True for flag in flags):
            return
        if any(map(is_symbolic, flags)):
            break

    def turn(extra: Extra) -> Extra:
        loop.body()
        return extra

    loop.as_op(turn, lambda _: not_(test()), (), most, runs=runs, must_end=True)


def _condition(loop: _Loop, test: Callable[[], Any]) -> Any:
    """What the condition comes to. Where that is symbolic its ops are dropped: the loop has its own."""
    tracer, cells = loop.tracer, loop.cells
    mark, before, emitted = tracer.mark(), contents_of(cells), tracer.emitted
    arm = Arm(tracer, "the condition of `while`")
    with arm.open():
        run(arm, test, cells)
    arm.drop()
    found = UNBOUND if arm.contents is None else arm.contents[RETURNED]
    if found is not UNBOUND and not is_symbolic(found) and tracer.emitted == emitted:
        return found
    tracer.rollback(mark)
    restore(cells, before)
    return found if is_symbolic(found) else test()


def for_(
    items: Any,
    body: Callable[[Any], object],
    *,
    carried: Names = (),
    gathers: Names = (),
    until: Names = (),
    after: Names = (),
    changed: str | None = None,
) -> None:
    """The statement ``for``.

    ``gathers`` are lists among ``carried`` that the body only appends to; ``changed`` is what it goes through, if the
    body changes that. What the other names are is told at :class:`_Loop`.
    """
    tracer = current_tracer()
    if tracer is None:
        cells = cells_of((body,))
        for item in items:
            body(item)
            if any(_flags(cells, until)):
                return
        return
    loop = _Loop.of(tracer, body, carried=carried, until=until, after=after)
    if is_symbolic(items) or isinstance(items, operations.SymbolicRange):
        _over_symbolic(loop, items, gathers)
    else:
        _over_concrete(loop, items, changed)
    loop.settle()


def _over_concrete(loop: _Loop, items: Any, changed: str | None) -> None:
    if not drawable_here(items):
        return
    tracer, cells = loop.tracer, loop.cells
    iterator, before = _in_turn(tracer, items), held(cells[changed]) if changed in cells else None
    for turn, item in enumerate(iterator):
        if not turn and loop.until and _is_perhaps_last(loop, partial(loop.body, item)):
            if changed is not None:
                refuse_changed(tracer, changed)
            _perhaps_all(loop, items, [item, *_rest(tracer, iterator)])
            return
        loop.body(item)
        if changed in cells and held(cells[changed]) is not before:  # by a branch, say, which gives the name another
            refuse_changed(tracer, changed)
            return
        loop.settle(turn=True)
        flags = loop.flags()
        if any(flag is True for flag in flags):
            return
        if any(map(is_symbolic, flags)):
            if changed is not None:
                refuse_changed(tracer, changed)
            rest = _rest(tracer, iterator)
            if rest:
                _unless_over(loop, partial(_perhaps_all, loop, items, rest))
            return


def _rest(tracer: Tracer, iterator: Iterator[Any]) -> list[Any]:
    """The items that are left, which must be there before the turns for them are traced."""
    demands = tracer.demands
    rest = list(islice(iterator, _MOST_KNOWN + 1))
    if len(rest) > _MOST_KNOWN:
        raise TraceError(
            "ORCH-D020",
            f"a loop over more than {_MOST_KNOWN:,} items that depends on a reply whether it goes on",
            where=user_location(),
            why="a plan is finite, and what is gone through seems to have no end",
            fix="bound it: for n in range(10), or `while True` with a `break`",
        )
    return rest if tracer.demands == demands else refused_drawing()


def _in_turn(tracer: Tracer, items: Any) -> Iterator[Any]:
    """The items; those to come are held meanwhile, whatever names hold."""
    iterator, turns = iter(items), 0
    is_known = isinstance(items, (list, tuple))
    with tracer.holding(lambda: items[turns:] if is_known else iterator, _TO_COME):
        for item in iterator:
            turns += 1
            yield item


def _perhaps_all(loop: _Loop, source: Any, items: Sequence[Any]) -> None:
    """The turns for concrete items, each of which may be the last."""
    if len(items) > MOST_NESTED or (isinstance(source, range) and len(items) > 1):
        _loop_over(loop, items)
    else:
        _nested(loop, items)


def _flags(cells: Cells, until: Names) -> list[Any]:
    """What the flags of the exits hold; one that may hold nothing would let a loop go on that is over."""
    flags = [held(cells[flag]) for flag in until]
    if any(flag is UNBOUND for flag in flags):
        raise TraceError(
            "ORCH-D050",
            "it cannot be told whether the loop is left here",
            where=user_location(),
            fix="leave it with `break` or `return` outside of the `try`",
        )
    return flags


def _unless_over(loop: _Loop, further: Callable[[], None]) -> None:
    """Go on, unless a flag says that the last turn was the last."""
    flags = loop.flags()
    over = or_(*flags[:1], *(lambda flag=flag: flag for flag in flags[1:]))

    def going_on() -> None:
        with where_none_is_taken(loop.tracer, loop.until):
            further()

    if is_symbolic(over):
        decide(not_(over), going_on, lambda: None, loop.carried, loop.cells)
    else:
        further()


def _is_perhaps_last(loop: _Loop, turn: Callable[[], object]) -> bool:
    """Whether it depends on a symbolic value if a turn is the last one."""
    tracer, cells = loop.tracer, loop.cells
    mark, before = tracer.mark(), contents_of(cells)
    arm = Arm(tracer, "a turn of the loop")
    with arm.open():
        run(arm, turn, cells)
    arm.drop()
    left = arm.contents
    tracer.rollback(mark)
    restore(cells, before)
    return left is not None and any(is_symbolic(left[flag]) for flag in loop.until)


def _nested(loop: _Loop, items: Sequence[Any]) -> None:
    """A turn for each item, unless one before was the last."""
    first, *rest = items
    with loop.tracer.holding(lambda: rest, _TO_COME):
        loop.body(first)
    loop.settle(turn=True)
    if rest and not any(flag is True for flag in loop.flags()):
        _unless_over(loop, partial(_nested, loop, rest))


def _loop_over(loop: _Loop, items: Sequence[Any]) -> None:
    """A loop over concrete items that may be left early."""
    known = lift(loop.tracer, list(items))
    is_counted = items == list(range(len(items)))

    def turn(extra: Extra) -> Extra:
        (position,) = extra
        loop.body(position if is_counted else operations.item(known, position))
        return (position + 1,)

    with loop.tracer.holding(lambda: known if of(known).twice else None, _TO_COME):
        loop.as_op(turn, lambda _: False, (0,), len(items), runs=True)


def _over_symbolic(loop: _Loop, items: Any, gathers: Names) -> None:
    tracer = loop.tracer
    if isinstance(items, operations.SymbolicRange):
        values, most = items.as_list(), tracer.max_iterations
    else:
        values = iterated(as_value(items))
        most = bound_of(tracer, values)
    if not most:  # nothing to go through
        return
    lists = {name: held(loop.cells[name]) for name in gathers}
    only_gathers = set(map(plain_name, loop.carried)) <= lists.keys() and all(map(_is_list, lists.values()))
    with tracer.holding(lambda: values if of(values).twice else None, _TO_COME):
        if only_gathers and not loop.until:
            _mapped(loop, values, most, lists)
        else:
            _over_values(loop, bounded(tracer, values, most), most)


def _over_values(loop: _Loop, values: Value[Any], most: int) -> None:
    """A loop over the positions of a list."""
    count = operations.builtin_call(len, (values,), {})

    def turn(extra: Extra) -> Extra:
        (position,) = extra
        loop.body(operations.item(values, position))
        return (position + 1,)

    loop.as_op(turn, lambda extra: extra[0] >= count, (0,), most)


def _is_list(content: Any) -> bool:
    if isinstance(content, Value):
        return is_list(content._type)
    return type(content) is list


def _mapped(loop: _Loop, values: Value[Any], most: int, lists: dict[str, Any]) -> None:
    """A map; each turn gives its part of the lists."""
    tracer, cells = loop.tracer, loop.cells
    before = contents_of(cells)
    is_one = dict.fromkeys(lists, False)

    def turn(item: Any) -> tuple[Any, ...]:
        restore(cells, before)
        for name, known in lists.items():
            hold(cells[name], stand_in(known, []))
        loop.body(item)
        parts = []
        for name in lists:
            part = held(cells[name])
            is_one[name] = type(part) is list and len(part) == 1
            parts.append(lift(tracer, part[0] if is_one[name] else part))
        return tuple(parts)

    mapped = map_op(tracer, turn, [values], most, in_order=True)
    restore(cells, before)
    if isinstance(mapped, Value):  # every turn raises, so behind the map there was none
        return
    for name, part in zip(lists, mapped, strict=True):
        items = part if is_one[name] else operations.concat(part)
        known = lists[name]
        start = lift(tracer, known)
        whole = items if type(known) is list and not known else binary(tracer, "add", start, items)
        hold(cells[name], note(whole, either([of(start), Shares(inner=of(whole).inner, twice=of(whole).twice)])))
