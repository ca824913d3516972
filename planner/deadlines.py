"""What a run still has before it at each of its ops, from which follows by when each op must be done.

A run that should be done by a deadline must have ended an op by the deadline less what lies behind it: the longest
chain of ops that follow from it in its region, the rounds of a loop or map that are still to come, and the same of each
region op around it. Which round an op is in is only known when it runs, so a :class:`Rest` is asked with the frame that
the op runs in::

    rest = rests(plan)["answer"]
    finish_by_s = deadline_s - rest.behind_s("turns[3]/")     # the fourth turn of the loop `turns`

Figures are the plan's middle estimates. The chain itself is :func:`behind_s`, which the simulator's programs use, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.planner.plan import OpPlan, Plan

LEAST_ROUNDS: Final = 1.01
"""A region op with fewer rounds than this has no others to wait for."""


def behind_s(seconds: Sequence[float], after: Sequence[Sequence[int]]) -> list[float]:
    """The longest chain behind each of several steps: step ``i`` takes ``seconds[i]`` and waits for those at the
    positions ``after[i]``, which are earlier ones.

    >>> behind_s([1.0, 5.0, 2.0, 1.0], [[], [0], [0], [1, 2]])
    [6.0, 1.0, 1.0, 0.0]
    """
    found = [0.0] * len(seconds)
    for place in range(len(seconds) - 1, -1, -1):
        chain_s = found[place] + seconds[place]
        for earlier in after[place]:
            found[earlier] = max(found[earlier], chain_s)
    return found


@dataclass(frozen=True, slots=True)
class Rounds:
    """A loop, or a map with fewer items at once than it has."""

    op: str
    items: float
    """Turns or items that are expected."""
    rounds: float
    """How many of them are one after the other."""
    round_s: float

    def behind_s(self, frame: str) -> float:
        """Seconds of the rounds that follow the one in which an op with this frame runs; half of all others where the
        frame does not say."""
        item = _item(self.op, frame)
        if item is None:
            return (self.rounds - 1) / 2 * self.round_s
        return max(self.rounds - 1 - int(item * self.rounds / self.items), 0.0) * self.round_s


NO_ROUNDS: Final[tuple[Rounds, ...]] = ()


@dataclass(frozen=True, slots=True)
class Rest:
    """An op, and what a run still has before it once the op is done."""

    own_s: float = 0.0
    """Seconds of one execution, without any wait for its engine."""
    last_s: float = 0.0
    """Seconds from its end to the end of the run, in the last round of everything around it."""
    around: tuple[Rounds, ...] = NO_ROUNDS
    """Loops and maps that it is in."""

    def behind_s(self, frame: str = "") -> float:
        """Expected seconds from its end to the end of the run, by the frame it runs in (``"turns[3]/"``)."""
        return self.last_s + sum(each.behind_s(frame) for each in self.around)


def rests(plan: Plan) -> dict[str, Rest]:
    """What lies behind each op of a plan, by the op's id."""
    places = {op.id: place for place, op in enumerate(plan.ops)}
    seconds = [op.seconds.mid for op in plan.ops]
    after = [[places[name] for name in op.after if name in places] for op in plan.ops]
    tails_s = behind_s(seconds, after)
    longest_s: dict[str, float] = {}
    """The longest chain of ops in each region op."""
    for op, own_s, tail_s in zip(plan.ops, seconds, tails_s, strict=True):
        if op.parent is not None:
            longest_s[op.parent] = max(longest_s.get(op.parent, 0.0), own_s + tail_s)
    found: dict[str, Rest] = {}
    for op, own_s, tail_s in zip(plan.ops, seconds, tails_s, strict=True):  # a region op stands before what is inside
        parent = None if op.parent is None else plan.by_id[op.parent]
        last_s, around = tail_s, NO_ROUNDS
        if parent is not None and parent.id in found:
            outer, rounds = found[parent.id], _rounds(parent, op, longest_s[parent.id])
            last_s, around = outer.last_s + tail_s, outer.around if rounds is None else (*outer.around, rounds)
        wait_s = 0.0 if op.wait_s is None else op.wait_s.mid
        found[op.id] = Rest(max(own_s - wait_s, 0.0), last_s, around)
    return found


def _rounds(parent: OpPlan, op: OpPlan, longest_s: float) -> Rounds | None:
    """The rounds of a region op in which something is; None where it has one only."""
    if parent.kind not in ("loop", "map") or parent.count.mid <= 0:
        return None
    rounds = items = op.count.mid / parent.count.mid
    if parent.kind == "map":  # of items side by side the time is not the sum
        rounds = min(items, parent.seconds.mid / longest_s) if longest_s > 0 else 1.0
    return None if rounds < LEAST_ROUNDS else Rounds(parent.id, items, rounds, parent.seconds.mid / rounds)


def _item(op: str, frame: str) -> int | None:
    """Which turn or item of a loop or map a frame is in: 3 of ``turns`` in ``"flow#2[1]/turns[3]/"``."""
    found = re.search(rf"(?:^|/){re.escape(op)}(?:#\d+)?(?:\.cond)?\[(\d+)\]/", frame)
    return None if found is None else int(found[1])
