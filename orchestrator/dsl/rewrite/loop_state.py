"""A loop op whose state are names: those that a turn may read of the one before, or that are read afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator.dsl import operations
from orchestrator.dsl.regions.cells import OPTIONAL, UNBOUND, Cells, Kept, contents_of, held, hold, plain_name, restore
from orchestrator.dsl.regions.control import loop_op
from orchestrator.dsl.regions.unbound import BY_A_TURN, BY_NO_TURN, by_exits, lacks, reason, unbound
from orchestrator.dsl.rewrite.arms import narrow, never, widen
from orchestrator.dsl.rewrite.deciding import narrowings, or_
from orchestrator.dsl.rewrite.handing_on import can_be_handed_on, handed_on
from orchestrator.dsl.tracing.lifting import lift
from orchestrator.dsl.tracing.tracer import Tracer

Extra = tuple[Any, ...]


class _WholeError(Exception):
    """A dict that a turn gives other keys, or a tuple of another length: it is handed on as one value."""


class LoopState:
    """The names of a loop while it is traced. ``until`` are flags that end it, ``after`` names read behind it."""

    def __init__(
        self, tracer: Tracer, cells: Cells, carried: Sequence[str], until: Sequence[str], after: Sequence[str]
    ) -> None:
        self._tracer = tracer
        self._cells = cells
        self._until = until
        self._lost: set[str] = set()
        """Names that hold nothing at the end of some turns, and so behind the loop."""
        self._whole: set[str] = set()
        """Names of dicts and tuples that are handed on as one value, and not part by part."""
        self._after = after
        self._first = contents_of(cells)
        self._sure = {*until, *(plain_name(name) for name in carried if name.startswith(OPTIONAL))}
        """Those that are read only where they are bound."""
        names = list(map(plain_name, carried))
        self._names = [name for name in names if name in cells and _is_state(self._first[name])]
        """Those that are handed on; others hold what only Python knows, and must stay as they are."""
        self._goes_on: Mapping[str, Any] = {}
        """What names are known to hold in a turn, as there is a further one."""

    def loop(
        self,
        turn: Callable[[Extra], Extra],
        over: Callable[[Extra], Any],
        extra: Extra,
        bound: int,
        *,
        runs: bool,
        must_end: bool,
    ) -> None:
        """Emit the loop and have the names hold what it leaves.

        ``turn`` traces a turn and gives the next ``extra``, state that has no name; ``over`` says whether there is a
        further one. ``runs``: there is a first one for certain. ``must_end``: to reach the bound is a failure.
        """

        def step(state: tuple[Any, ...]) -> tuple[Any, ...]:
            self._take(state)
            kept = Kept(self._cells)
            for flag in self._until:
                hold(self._cells[flag], False)
            seen = narrow(self._cells, self._goes_on)
            following = turn(state[len(self._names) :])
            kept.check(self._tracer, "the loop")
            widen(self._cells, seen)
            return (*self._left(), *following)

        def stop(state: tuple[Any, ...]) -> Any:
            self._take(state)
            flags = [held(self._cells[flag]) for flag in self._until]
            rest: Callable[[], Any] = lambda: over(state[len(self._names) :])  # noqa: E731
            found = or_(*flags[:1], *(lambda flag=flag: flag for flag in flags[1:]), rest) if flags else rest()
            self._goes_on = narrowings(found, self._cells)[1]
            return found

        inner = self._tracer.scope.inner
        before = len(inner)
        while True:
            start = (*(self._initial(name) for name in self._names), *extra)
            try:
                final = loop_op(self._tracer, step, start, bound, stop, must_end=must_end)
                break
            except _WholeError as found:
                del inner[before:]  # what it has made so far is dropped, but for constants in front of it
                restore(self._cells, self._first)
                self._whole.add(found.args[0])
        restore(self._cells, self._first)
        for name, value in zip(self._names, final, strict=False):
            if name in self._lost:
                why = reason(self._tracer, name) or BY_A_TURN
                hold(self._cells[name], unbound(self._tracer, name, why))
            elif self._first[name] is UNBOUND and not runs and name not in self._sure:
                unbound(self._tracer, name, BY_NO_TURN)
            else:
                hold(self._cells[name], value)

    def _initial(self, name: str) -> Any:
        content = self._first[name]
        if content is UNBOUND:
            return never(self._tracer)
        if isinstance(content, (set, frozenset)):
            return handed_on(self._tracer, content)
        if type(content) is tuple and name in self._whole:
            return operations.builtin_call(tuple, (lift(self._tracer, list(content)),), {})
        is_whole = type(content) is dict and (not content or name in self._whole)
        return operations.as_value(content, self._tracer) if is_whole else content

    def _take(self, state: Sequence[Any]) -> None:
        restore(self._cells, self._first)
        for name, value in zip(self._names, state, strict=False):
            is_new = self._first[name] is UNBOUND and name not in self._until
            hold(self._cells[name], UNBOUND if is_new else value)

    def _left(self) -> tuple[Any, ...]:
        for name in self._after:
            if name in self._cells and name not in self._names and held(self._cells[name]) is not self._first[name]:
                self._tracer.report(
                    "ORCH-D023",
                    f"`{name}` changes in the loop, and holds a {type(self._first[name]).__name__}",
                    why="what a loop hands on is computed when it runs",
                    fix="hand on what models or tools made, or constants",
                )
        for name in self._names:
            if name not in self._sure and (flags := lacks(self._tracer, self._cells[name], held(self._cells[name]))):
                hold(self._cells[name], unbound(self._tracer, name, by_exits(flags)))
        self._refuse_lost()
        new = {name for name in self._names if self._first[name] is UNBOUND} - self._sure
        self._lost = {name for name in new if held(self._cells[name]) is UNBOUND}
        for name in self._names:
            first, left = self._first[name], held(self._cells[name])
            if name in self._whole or not isinstance(first, (dict, tuple)) or (isinstance(first, dict) and not first):
                continue
            if type(left) is not type(first) or _shape(left) != _shape(first):
                raise _WholeError(name)
        found = [held(self._cells[name]) for name in self._names]
        return tuple(never(self._tracer) if each is UNBOUND else each for each in found)

    def _refuse_lost(self) -> None:
        """Report the names that a turn was given, and does not give to the next."""
        for name in self._names:
            is_lost = held(self._cells[name]) is UNBOUND and self._first[name] is not UNBOUND
            if is_lost and name not in self._sure:
                self._tracer.report(
                    "ORCH-D051",
                    f"`{name}` holds nothing at the end of a turn, and the next one reads it, or what follows the loop",
                    why=reason(self._tracer, name),
                    fix=f"assign `{name}` on every path through the loop",
                )


def _shape(content: dict[Any, Any] | tuple[Any, ...]) -> Any:
    """What must stay as it is of what is handed on part by part."""
    return content.keys() if isinstance(content, dict) else len(content)


def _is_state(content: Any) -> bool:
    return content is UNBOUND or can_be_handed_on(content)
