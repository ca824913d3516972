"""A run of steps as an arithmetic series: step i (from 0) lasts ``first_s + i * more_s``."""

from __future__ import annotations

from math import sqrt


class StepSeries:
    """Steps that follow one another from ``start_s`` on; ``steps`` is 0 while nothing runs."""

    __slots__ = ("first_s", "more_s", "start_s", "steps")

    def __init__(self) -> None:
        self.start_s = 0.0
        self.first_s = 0.0
        self.more_s = 0.0
        self.steps = 0

    def after(self, steps: int) -> float:
        """When the first ``steps`` steps are done."""
        return self.start_s + steps * self.first_s + self.more_s * (steps * (steps - 1) / 2)

    def done_by(self, now: float) -> int:
        """How many steps are complete: the root of a quadratic, put right where rounding moved it."""
        elapsed = now - self.start_s
        first, more = self.first_s, self.more_s
        if elapsed < first:
            return 0
        b = first - more / 2
        steps = min(int(2 * elapsed / (b + sqrt(b * b + 2 * more * elapsed))), self.steps)
        while steps and self.after(steps) > now:
            steps -= 1
        while steps < self.steps and self.after(steps + 1) <= now:
            steps += 1
        return steps

    def drop(self, steps: int) -> None:
        """Forget complete steps: the series begins after them."""
        self.start_s = self.after(steps)
        self.first_s += steps * self.more_s
        self.steps -= steps
