"""A replica's speed from a handful of measured engine steps, where a data sheet says little (a CPU, a tiny model).

The time of a step is linear in what it does (:mod:`orchestrator.planner.simulate.speed`) but for the reading of the
weights, which is left at 0 here: its constant part is in ``step_s``. So non-negative least squares on relative errors
find the coefficients. Three kinds of row are easy to measure from outside an engine that does nothing else:

- time to the first token of one prompt that is not cached: ``MeasuredStep(p, 0, 0, seconds, calls=1)``;
- time between tokens of ``b`` equal replies: ``MeasuredStep(0, b, b * (prompt + reply / 2), seconds)``;
- a prompt of which ``c`` tokens are cached: ``MeasuredStep(p, 0, 0, seconds, cached_tokens=c, calls=1)``.

>>> rows = [MeasuredStep(0, 1, 0, 0.003), MeasuredStep(0, 11, 0, 0.005), MeasuredStep(100, 0, 0, 0.013)]
>>> fit = fit_speed(rows)
>>> round(fit.speed.decode_base_s(6), 4), fit.mean_error < 0.01
(0.004, True)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final

import numpy as np

from orchestrator.errors import PlanError
from orchestrator.planner.cost.regression import nonnegative_least_squares
from orchestrator.planner.simulate.speed import ReplicaSpeed

LEAST_STEP_S: Final = 1e-6
"""No step is free, whatever the fit says."""


@dataclass(frozen=True, slots=True)
class MeasuredStep:
    """Seconds of one engine step, or the mean of many alike."""

    prefill_tokens: float
    """Prompt tokens computed in it."""
    decodes: float
    """Sequences that get one token each."""
    context_tokens: float
    """So many tokens are in the KV of those sequences, all together."""
    seconds: float
    cached_tokens: float = 0.0
    """So many tokens are in the KV before the prompt tokens."""
    calls: float = 0.0
    """1 where ``seconds`` was measured by a client, from its call to the first token."""

    @property
    def terms(self) -> tuple[float, ...]:
        """What the coefficients are multiplied with, in the order of :data:`COEFFICIENTS`."""
        prefill, cached = self.prefill_tokens, self.cached_tokens
        read = self.context_tokens + (prefill + cached if prefill else 0.0)
        return (
            prefill + self.decodes, self.decodes, prefill * (cached + prefill / 2), read, 1.0, float(prefill > 0),
            self.calls,
        )  # fmt: skip


COEFFICIENTS: Final = ("token_s", "sequence_s", "pair_s", "kv_token_s", "step_s", "prefill_step_s", "call_s")


@dataclass(frozen=True, slots=True)
class SpeedFit:
    """A speed, and how far it is from what was measured."""

    speed: ReplicaSpeed
    mean_error: float
    """Mean over the rows of ``|predicted / measured - 1|``."""
    worst_error: float


def fit_speed(rows: Sequence[MeasuredStep], call_s: float | None = None) -> SpeedFit:
    """The coefficients that explain the rows best; ``call_s`` where it is known.

    Where every row that prefills was measured by a client, a call's time outside the engine cannot be told from the
    host time of a step, and counts as such: measure a round trip that computes nothing, or times inside the engine.

    Raises :class:`PlanError`: ORCH-P114 for a row that cannot be, ORCH-P115 where no row prefills or none decodes.
    """
    for place, row in enumerate(rows):
        if not (row.seconds > 0 and all(isfinite(value) and value >= 0 for value in (*row.terms, row.seconds))):
            raise PlanError(
                "ORCH-P114",
                f"row {place} cannot be an engine step: {row}",
                why="a step takes time, and counts are 0 or more",
                fix="leave the row out",
            )
    if not any(row.prefill_tokens for row in rows) or not any(row.decodes for row in rows):
        raise PlanError(
            "ORCH-P115",
            f"{len(rows)} rows do not say how fast the engine is",
            why="some must prefill, and some must decode",
            fix="measure the time to the first token of prompts, and the time between tokens of replies",
        )
    seconds = np.array([row.seconds for row in rows])
    terms = np.array([row.terms for row in rows]) / seconds[:, None]
    told_apart = any(row.prefill_tokens and not row.calls for row in rows)
    free = slice(None) if call_s is None and told_apart else slice(-1)
    known = np.zeros(len(COEFFICIENTS))
    known[-1] = call_s or 0.0
    scale = np.sqrt((terms**2).sum(axis=0)) + 1e-30
    found = known.copy()
    found[free] = nonnegative_least_squares((terms / scale)[:, free], 1 - terms @ known) / scale[free]
    errors = np.abs(terms @ found - 1)
    values = dict(zip(COEFFICIENTS, map(float, found), strict=True))
    values["step_s"] = max(values["step_s"], LEAST_STEP_S)
    return SpeedFit(ReplicaSpeed(weight_s=0.0, **values), float(errors.mean()), float(errors.max()))
