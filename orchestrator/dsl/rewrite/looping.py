"""``for`` and ``while``: unrolled over what is concrete, else a map or a loop with a bound.

- Over a symbolic list, a body that hands nothing from one turn to the next is a map. Lists that it only appends to
  count as nothing: each turn makes its own part of them.
- Any other body is a loop (:mod:`.loop_state`).
- Over something concrete the body is unrolled, unless it depends on a symbolic value whether a turn is the last one:
  then it is a loop over a ``range``, and nested conditions over a few items.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final

from orchestrator.dsl import operations
from orchestrator.dsl.control import map_op
from orchestrator.dsl.lifting import lift
from orchestrator.dsl.location import user_location
from orchestrator.dsl.operations.expressions import binary
from orchestrator.dsl.rewrite.arms import RETURNED, Arm, run
from orchestrator.dsl.rewrite.cells import UNBOUND, Cells, cells_of, contents_of, held, hold, plain_name, restore
from orchestrator.dsl.rewrite.deciding import decide, not_, or_
from orchestrator.dsl.rewrite.drawing import refused_drawing
from orchestrator.dsl.rewrite.gone_through import refuse_changed
from orchestrator.dsl.rewrite.lacking import settle, where_none_is_taken
from orchestrator.dsl.rewrite.loop_state import LoopState
from orchestrator.dsl.rewrite.owning import drawable_here, stand_in
from orchestrator.dsl.rewrite.plain import as_value, is_symbolic
from orchestrator.dsl.rewrite.values import bound_of, bounded, iterated
from orchestrator.dsl.sharing import Shares, either, note, of
from orchestrator.dsl.tracer import Tracer, Value, current_tracer
from orchestrator.dsl.typing import is_list
from orchestrator.errors import TraceError

MOST_NESTED: Final = 16
"""Turns over concrete items that may be conditions in each other; more are a loop."""
_MOST_KNOWN: Final = 100_000
"""Items that may be gone through, so that what has no end is noticed."""
_TO_COME: Final = "what the `for` still goes through"
Names = Sequence[str]


def while_(  # noqa: PLR0917 - what the statement consists of
    test: Callable[[], Any], body: Callable[[], object], carried: Names, until: Names, after: Names, further: int
) -> None:
    """The statement ``while``. ``further`` turns beyond the bound only find that the loop is over."""
    tracer, cells = current_tracer(), cells_of((test, body))
    known = set() if tracer is None else set(tracer.lacking)
    _while(tracer, cells, test, body, carried, until, after, further, known)
    if tracer is not None:
        settle(tracer, cells, carried, known)


def _while(  # noqa: PLR0917 - what the statement consists of
    tracer: Tracer | None, cells: Cells, test: Callable[[], Any], body: Callable[[], object], carried: Names,
    until: Names, after: Names, further: int, known: Collection[Any],
) -> None:  # fmt: skip
    runs = False
    while True:
        found = test() if tracer is None else _condition(tracer, test, cells)
        if is_symbolic(found):
            break
        if not found:
            return
        if tracer is not None and until and not runs and _is_perhaps_last(tracer, body, cells, until):
            runs = True
            break
        body()
        if tracer is not None:
            settle(tracer, cells, carried, known, turn=True)
        runs = True
        flags = _flags(cells, until)
        if any(flag is True for flag in flags):
            return
        if any(map(is_symbolic, flags)):
            break
    assert tracer is not None

    def turn(extra: tuple[Any, ...]) -> tuple[Any, ...]:
        body()
        return extra

    state = LoopState(tracer, cells, carried, until, after)
    state.loop(turn, lambda _: not_(test()), (), tracer.max_iterations + further, runs=runs, must_end=True)


def _condition(tracer: Tracer, test: Callable[[], Any], cells: Cells) -> Any:
    """What the condition comes to. Where that is symbolic its ops are dropped: the loop has its own."""
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


def for_(  # noqa: PLR0917 - what the statement consists of
    items: Any, body: Callable[[Any], object], carried: Names, gathers: Names, until: Names, after: Names,
    changed: str | None,
) -> None:  # fmt: skip
    """The statement ``for``.

    ``gathers`` are lists among ``carried`` that the body only appends to; ``changed`` is what it goes through, if the
    body changes that.
    """
    tracer, cells = current_tracer(), cells_of((body,))
    if tracer is None:
        _natively(items, body, cells, until)
        return
    known = set(tracer.lacking)
    if is_symbolic(items) or isinstance(items, operations.SymbolicRange):
        _over_symbolic(tracer, items, body, cells, carried, gathers, until, after)
    else:
        _over_concrete(tracer, items, body, cells, carried, until, after, changed, known)
    settle(tracer, cells, carried, known)


def _natively(items: Any, body: Callable[[Any], object], cells: Cells, until: Names) -> None:
    for item in items:
        body(item)
        if any(_flags(cells, until)):
            return


def _over_concrete(  # noqa: PLR0917
    tracer: Tracer, items: Any, body: Callable[[Any], object], cells: Cells, carried: Names, until: Names,
    after: Names, changed: str | None, known: Collection[Any],
) -> None:  # fmt: skip
    if not drawable_here(items):
        return
    iterator, before = _in_turn(tracer, items), held(cells[changed]) if changed in cells else None
    for turn, item in enumerate(iterator):
        if not turn and until and _is_perhaps_last(tracer, partial(body, item), cells, until):
            if changed is not None:
                refuse_changed(tracer, changed)
            items_left = [item, *_rest(tracer, iterator)]
            _perhaps_all(tracer, items, items_left, body, cells, carried, until, after, known)
            return
        body(item)
        if changed in cells and held(cells[changed]) is not before:  # by a branch, say, which gives the name another
            refuse_changed(tracer, changed)
            return
        settle(tracer, cells, carried, known, turn=True)
        flags = _flags(cells, until)
        if any(flag is True for flag in flags):
            return
        if any(map(is_symbolic, flags)):
            if changed is not None:
                refuse_changed(tracer, changed)
            rest = _rest(tracer, iterator)
            if rest:
                further = partial(_perhaps_all, tracer, items, rest, body, cells, carried, until, after, known)
                _unless(tracer, until, further, carried, cells)
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


def _perhaps_all(  # noqa: PLR0917
    tracer: Tracer, source: Any, items: Sequence[Any], body: Callable[[Any], object], cells: Cells, carried: Names,
    until: Names, after: Names, known: Collection[Any],
) -> None:  # fmt: skip
    """The turns for concrete items, each of which may be the last."""
    if len(items) > MOST_NESTED or (isinstance(source, range) and len(items) > 1):
        _loop_over(tracer, items, body, cells, carried, until, after)
    else:
        _nested(tracer, items, body, cells, until, carried, known)


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


def _unless(tracer: Tracer, until: Names, further: Callable[[], None], names: Names, cells: Cells) -> None:
    """Go on, unless a flag says that the last turn was the last."""
    flags = _flags(cells, until)
    over = or_(*flags[:1], *(lambda flag=flag: flag for flag in flags[1:]))

    def going_on() -> None:
        with where_none_is_taken(tracer, until):
            further()

    if is_symbolic(over):
        decide(not_(over), going_on, lambda: None, names, cells)
    else:
        further()


def _is_perhaps_last(tracer: Tracer, turn: Callable[[], object], cells: Cells, until: Names) -> bool:
    """Whether it depends on a symbolic value if a turn is the last one."""
    mark, before = tracer.mark(), contents_of(cells)
    arm = Arm(tracer, "a turn of the loop")
    with arm.open():
        run(arm, turn, cells)
    arm.drop()
    left = arm.contents
    tracer.rollback(mark)
    restore(cells, before)
    return left is not None and any(is_symbolic(left[flag]) for flag in until)


def _nested(  # noqa: PLR0917
    tracer: Tracer, items: Sequence[Any], body: Callable[[Any], object], cells: Cells, until: Names, names: Names,
    known: Collection[Any],
) -> None:  # fmt: skip
    """A turn for each item, unless one before was the last."""
    first, *rest = items
    with tracer.holding(lambda: rest, _TO_COME):
        body(first)
    settle(tracer, cells, names, known, turn=True)
    if rest and not any(flag is True for flag in _flags(cells, until)):
        _unless(tracer, until, partial(_nested, tracer, rest, body, cells, until, names, known), names, cells)


def _loop_over(  # noqa: PLR0917
    tracer: Tracer, items: Sequence[Any], body: Callable[[Any], object], cells: Cells, carried: Names, until: Names,
    after: Names,
) -> None:  # fmt: skip
    """A loop over concrete items that may be left early."""
    known = lift(tracer, list(items))
    is_counted = items == list(range(len(items)))

    def turn(extra: tuple[Any, ...]) -> tuple[Any, ...]:
        (position,) = extra
        body(position if is_counted else operations.item(known, position))
        return (position + 1,)

    state = LoopState(tracer, cells, carried, until, after)
    with tracer.holding(lambda: known if of(known).twice else None, _TO_COME):
        state.loop(turn, lambda _: False, (0,), len(items), runs=True, must_end=False)


def _over_symbolic(  # noqa: PLR0917
    tracer: Tracer, items: Any, body: Callable[[Any], object], cells: Cells, carried: Names, gathers: Names,
    until: Names, after: Names,
) -> None:  # fmt: skip
    if isinstance(items, operations.SymbolicRange):
        values, most = items.as_list(), tracer.max_iterations
    else:
        values = iterated(as_value(items))
        most = bound_of(tracer, values)
    if not most:  # nothing to go through
        return
    lists = {name: held(cells[name]) for name in gathers}
    with tracer.holding(lambda: values if of(values).twice else None, _TO_COME):
        _turns(tracer, values, most, body, cells, carried, lists, until, after)


def _turns(  # noqa: PLR0917
    tracer: Tracer, values: Value[Any], most: int, body: Callable[[Any], object], cells: Cells, carried: Names,
    lists: dict[str, Any], until: Names, after: Names,
) -> None:  # fmt: skip
    if not until and set(map(plain_name, carried)) <= lists.keys() and all(_is_list(each) for each in lists.values()):
        _mapped(tracer, values, most, body, cells, lists)
        return
    values = bounded(tracer, values, most)
    count = operations.builtin_call(len, (values,), {})

    def turn(extra: tuple[Any, ...]) -> tuple[Any, ...]:
        (position,) = extra
        body(operations.item(values, position))
        return (position + 1,)

    state = LoopState(tracer, cells, carried, until, after)
    state.loop(turn, lambda extra: extra[0] >= count, (0,), most, runs=False, must_end=False)


def _is_list(content: Any) -> bool:
    if isinstance(content, Value):
        return is_list(content._type)
    return type(content) is list


def _mapped(  # noqa: PLR0917
    tracer: Tracer, values: Value[Any], most: int, body: Callable[[Any], object], cells: Cells, lists: dict[str, Any]
) -> None:
    """A map; each turn gives its part of the lists."""
    before = contents_of(cells)
    is_one = dict.fromkeys(lists, False)

    def turn(item: Any) -> tuple[Any, ...]:
        restore(cells, before)
        for name, known in lists.items():
            hold(cells[name], stand_in(known, []))
        body(item)
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
