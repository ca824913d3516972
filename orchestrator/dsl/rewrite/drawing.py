"""Generator expressions, ``map`` and ``filter``: what they give is made when somebody asks for it.

Most are used up where they stand, by ``list``, ``sum``, ``join`` and the like, which is the same as a list. Any other
is a list where nobody could tell, since nothing in it asks, does or may fail. Over what is concrete it is Python's own,
in the one region that asks for its items. What is left is refused: a list may be meant, or a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from typing import Any, Final, Never

from orchestrator.dsl import operations
from orchestrator.dsl.location import user_location
from orchestrator.dsl.rewrite.arms import Arm, run
from orchestrator.dsl.rewrite.calling import function
from orchestrator.dsl.rewrite.comprehending import Further, Member, Test, concretely, list_of
from orchestrator.dsl.rewrite.plain import is_symbolic
from orchestrator.dsl.rewrite.uses import Use
from orchestrator.dsl.tracer import Tracer, current_tracer
from orchestrator.errors import TraceError

_DRAWING: Final = (map, filter)


def drawn(use: Use, source: Any, test: Test, member: Member, further: Further = None) -> Any:
    """A generator expression."""
    tracer = current_tracer()
    is_known = not (is_symbolic(source) or isinstance(source, operations.SymbolicRange))
    if tracer is None or (is_known and not isinstance(source, Sized)):
        return concretely(source, test, member, further)
    return _drawn(
        tracer, use, lambda: list_of(source, test, member, further),
        (lambda: concretely(source, test, member, further)) if is_known else None,
    )  # fmt: skip


def drawn_by(use: Use, called: Callable[..., Any], *args: Any) -> Any:
    """``map(f, xs)`` or ``filter(f, xs)``, where that is what the name stands for."""
    tracer = current_tracer()
    made = function(called)
    if tracer is None or called not in _DRAWING or len(args) < 2:
        return made(*args)
    is_known = not any(is_symbolic(each) or isinstance(each, operations.SymbolicRange) for each in args[1:])
    return _drawn(tracer, use, lambda: made(*args), (lambda: made(*args)) if is_known else None)


def _drawn(tracer: Tracer, use: Use, whole: Callable[[], Any], lazily: Callable[[], Any] | None) -> Any:
    if use == "whole" or (use != "again" and is_unnoticed(tracer, whole, to_the_end=use == "later")):
        return whole()
    return refused_drawing() if lazily is None else _here(tracer, iter(lazily()))


def _here(tracer: Tracer, items: Iterator[Any]) -> Iterator[Any]:
    """The items, as long as they are asked for in the region that asked for the first."""
    scope = tracer.scope
    while True:
        if tracer.scope is not scope:
            refused_drawing()
        try:
            item = next(items)
        except StopIteration:
            return
        yield item


def refused_drawing() -> Never:
    """Raise the error of a generator that is neither used up where it stands nor a list."""
    raise TraceError(
        "ORCH-D050",
        "a generator expression, `map` or `filter` that is not used up where it stands cannot be compiled",
        where=user_location(),
        why="each of its items is made when it is asked for, and that can be told from what happens in which order",
        fix="write a list, [f(x) for x in xs], or a `for` loop that does both",
    )


def is_unnoticed(tracer: Tracer, whole: Callable[[], Any], *, to_the_end: bool = False) -> bool:
    """Whether nobody could tell that the items are made at once: nothing in them asks, does or may fail.

    If all of them will be needed (``to_the_end``), only the order of what they do could be told.
    """
    mark, demands = tracer.mark(), tracer.demands
    arm = Arm(tracer, "a generator expression")
    with arm.open():
        run(arm, lambda: _made(whole()), {})
    arm.drop()
    tracer.rollback(mark)
    return not arm.scope.writes if to_the_end else tracer.demands == demands and not arm.scope.raises


def _made(items: Any) -> Any:
    return items if is_symbolic(items) or isinstance(items, list) else list(items)
