"""From the seconds of single ops to the seconds of the workflow, on a plan alone: what a correction, a queue or a draw
at random of some ops does to everything around them.

The structure is the estimator's (:mod:`orchestrator.planner.estimate`): a region takes as long as the longest chain of
ops in it, a loop its condition and body one after the other, a branch either arm, a race its fastest. A plan does not
say how many items of a map are in flight or which device two ops compete for, so no seconds are computed from scratch:
each region keeps its estimate *times the factor* by which the structure inside it differs from a reference walk over
the plan as it is. A plan in which nothing changed stays as it is, and one in which all ops slow down by a factor slows
down by that factor.

Seconds are arrays, so that the same walk serves the three bounds of an interval and thousands of draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from orchestrator.planner.dataflow import FINALLY, TRY
from orchestrator.planner.interval import Interval
from orchestrator.planner.plan import OpPlan, Plan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Seconds = NDArray[np.float64]


_LEAST_ARMS: Final = 2


@dataclass(frozen=True)
class Rules:
    """What depends on the meaning of the arrays' entries."""

    estimate: Callable[[Interval], Seconds]
    """A region's own estimate in these entries."""
    either: Callable[[OpPlan, Sequence[Seconds]], Seconds]
    """Seconds of a branch from those of its arms."""
    first: Callable[[Sequence[Seconds]], Seconds]
    """Seconds of a race from those of its arms."""
    times: Callable[[OpPlan, Interval], Seconds]
    """How often the inside of a loop or map runs for one execution of it, from the interval of that number."""


class Walk:
    """One evaluation of a plan.

    ``leaves`` has the seconds of every op without others inside it. Without a ``reference``, region ops take what the
    plan says. ``at`` is the entry that decides which chain is the longest.
    """

    def __init__(
        self, plan: Plan, leaves: Mapping[str, Seconds], rules: Rules, *, reference: Walk | None = None, at: int = 0
    ) -> None:
        self.seconds: dict[str, Seconds] = {}
        """It has the seconds of one execution of each op."""
        self.inside: dict[str, Seconds] = {}
        """It has the seconds of each region op by the structure inside it alone."""
        self._leaves, self._rules, self._reference, self._at = leaves, rules, reference, at
        self._children: dict[str | None, dict[str | None, list[OpPlan]]] = {}
        for op in plan.ops:
            self._children.setdefault(op.parent, {}).setdefault(op.region, []).append(op)
        top = [op for ops in self._children.get(None, {}).values() for op in ops]
        self.total, self.path = self._chain(top)
        """Seconds of the longest chain at the top, and the ids of the ops in it."""

    def _chain(self, ops: Iterable[OpPlan]) -> tuple[Seconds, tuple[str, ...]]:
        import numpy as np

        ends: dict[str, Seconds] = {}
        before: dict[str, str | None] = {}

        def end_of(name: str) -> float:
            return float(ends[name][self._at])

        for op in ops:
            waits = [name for name in op.after if name in ends]
            start = np.maximum.reduce([ends[name] for name in waits]) if waits else 0.0
            before[op.id] = max(waits, key=end_of, default=None)
            ends[op.id] = start + self._of(op)
        if not ends:
            return np.zeros(1), ()
        last: str | None = max(ends, key=end_of)
        path: list[str] = []
        while last is not None:
            path.append(last)
            last = before[last]
        return np.maximum.reduce(np.broadcast_arrays(*ends.values())), tuple(reversed(path))

    def _of(self, op: OpPlan) -> Seconds:
        regions = self._children.get(op.id)
        found = self._leaves[op.id] if regions is None else self._region(op, regions)
        self.seconds[op.id] = found
        return found

    def _region(self, op: OpPlan, regions: Mapping[str | None, list[OpPlan]]) -> Seconds:
        inside = self.inside[op.id] = self._structure(op, regions)
        own = self._rules.estimate(op.seconds)
        if self._reference is None:
            return own
        was = self._reference.inside[op.id]
        found = changed(own, was, inside)
        return found * self._waves(op, regions, own, was) if op.kind == "map" else found

    def _structure(self, op: OpPlan, regions: Mapping[str | None, list[OpPlan]]) -> Seconds:
        parts = {name: self._chain(ops)[0] for name, ops in regions.items()}
        if op.kind in ("branch", "switch"):
            arms = list(parts.values())
            return self._rules.either(op, [*arms, *[_nothing()] * (arms_of(op, regions) - len(arms))])
        if op.kind == "attempt":  # a failure is not expected
            return sum((each for name, each in parts.items() if name in (TRY, FINALLY)), start=_nothing())
        if op.kind == "race":
            return self._rules.first(list(parts.values()))
        if op.kind != "loop":
            return sum(parts.values(), start=_nothing())
        return sum((parts[name] * self._rules.times(op, repeats(op, ops)) for name, ops in regions.items()), _nothing())

    def _waves(self, op: OpPlan, regions: Mapping[str | None, list[OpPlan]], own: Seconds, item: Seconds) -> Seconds:
        """What another number of items does to a map: nothing where all are in flight at once, proportional where they
        run one after the other, and in between as the estimate lies between one item and all of them."""
        import numpy as np

        expected = repeats(op, [each for ops in regions.values() for each in ops])
        if self._reference is None or expected.mid <= 1:
            return np.ones(1)
        serial = np.maximum(np.divide(own, item, out=np.ones_like(own), where=item > 0), 1.0)
        now, was = (np.maximum(rules.times(op, expected), 1.0) for rules in (self._rules, self._reference._rules))
        each = (serial - 1) / (expected.mid - 1)
        waves: Seconds = (1 + each * (now - 1)) / (1 + each * (was - 1))
        return waves


def arms_of(op: OpPlan, regions: Mapping[str | None, list[OpPlan]]) -> int:
    """How many arms a branch or switch has: each is as likely as the others, and some may have nothing in them."""
    inside = next(iter(regions.values()))[0] if regions else op
    share = inside.count.mid / op.count.mid if op.count.mid > 0 else 1.0
    return max(_LEAST_ARMS, len(regions), round(1 / share) if share > 0 else 0)


def repeats(op: OpPlan, inside: Sequence[OpPlan]) -> Interval:
    """How often ops run for one execution of the region op they are in; where that may not run at all, as in the
    middle."""
    most = max(inside, key=lambda each: each.count.mid)
    usual = most.count.mid / op.count.mid if op.count.mid > 0 else 0.0
    lo, mid, hi = (n / once if once > 0 else usual for n, once in zip(most.count.bounds, op.count.bounds, strict=True))
    return Interval(min(lo, mid), mid, max(mid, hi))


def changed(own: Seconds, was: Seconds, now: Seconds) -> Seconds:
    """``own`` times ``now / was``; what came about from nothing is added."""
    import numpy as np

    own, was, now = np.broadcast_arrays(own, was, now)
    factor = np.divide(now, was, out=np.ones(now.shape), where=was > 0)
    found: Seconds = own * factor + np.where(was > 0, 0.0, now)
    return found


def bound_by_bound() -> Rules:
    """Entries are ``lo``, ``mid`` and ``hi``: a branch spans its arms, a race is at best the fastest."""
    import numpy as np

    def either(op: OpPlan, arms: Sequence[Seconds]) -> Seconds:
        stacked = np.stack([np.broadcast_to(arm, (3,)) for arm in arms])
        return np.array([stacked[:, 0].min(), stacked[:, 1].mean(), stacked[:, 2].max()])

    def first(arms: Sequence[Seconds]) -> Seconds:
        stacked = np.stack([np.broadcast_to(arm, (3,)) for arm in arms])
        return np.array([stacked[:, 0].min(), stacked[:, 1].min(), stacked[:, 2].max()])

    return Rules(lambda s: np.array(s.bounds), either, first, lambda op, count: np.array(count.bounds))


def with_seconds(plan: Plan, seconds: Mapping[str, Interval]) -> Plan:
    """The plan with other seconds for some of its leaf ops, and region ops, total and critical path that follow."""
    import numpy as np

    if all(plan.by_id[name].seconds == each for name, each in seconds.items()):
        return plan
    old = {op.id: np.array(op.seconds.bounds) for op in plan.ops}
    new = old | {name: np.array(each.bounds) for name, each in seconds.items()}
    was = Walk(plan, old, bound_by_bound(), at=1)
    now = Walk(plan, new, bound_by_bound(), reference=was, at=1)
    ops = tuple(op.model_copy(update={"seconds": _interval(now.seconds[op.id])}) for op in plan.ops)
    total = _interval(changed(np.array(plan.seconds.bounds), was.total, now.total))
    path = now.path if now.path != was.path else plan.critical_path
    return plan.model_copy(update={"ops": ops, "seconds": total, "critical_path": path})


def _interval(bounds: Seconds) -> Interval:
    lo, mid, hi = (float(each) for each in bounds)
    return Interval(min(lo, mid), mid, max(mid, hi))


def _nothing() -> Any:
    import numpy as np

    return np.zeros(1)
