"""The calibrated cost model: ideal terms, fitted inefficiencies, and what measurements say beyond them.

``log TPOT = log(sum of coefficient * term) + residual`` and the same for TTFT, apart for aggregated and disaggregated
serving: four :class:`Target`\\ s. Coefficients are by backend, residuals a Gaussian process over load, shape, model,
device generation and backend (:mod:`orchestrator.planner.cost.regression`). A deployment of a model, device and backend
that were measured is interpolated; of others, the residual fades to its prior and the terms remain.

Intervals are split-conformal: the process's own deviation, stretched so that ``LEVEL`` of held-out rows fall inside,
apart for groups that were measured and for those that never were.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.cached import cached_property
from orchestrator.planner.cost.deployment import Deployment
from orchestrator.planner.cost.floors import least_tpot_s, least_ttft_s
from orchestrator.planner.cost.inputs import (
    LABEL_SETS,
    TPOT_TERMS,
    TTFT_TERMS,
    Shape,
    points_of,
    shape_of,
    tpot_terms,
    ttft_terms,
)
from orchestrator.planner.cost.regression import Array, GaussianProcess, Kernel, Points, fit_kernel, fit_terms
from orchestrator.planner.cost.runs import Asked, Runs
from orchestrator.planner.interval import Interval

LEVEL: Final = 0.8
"""Share of measurements that an interval is meant to hold."""
RIDGE: Final = 100.0
OUTLIERS: Final = 0.002
"""Residuals beyond these quantiles are taken as the quantile: a stuck server says nothing about its neighbours."""
FOLDS: Final = 5
GROUP_FOLDS: Final = 8
MOST_SHIFT: Final = 0.5
UNMEASURED_SHIFT: Final = 1 / 3
"""Where nothing was measured the deviation is mostly the prior's, and says less about the rows to come."""
LEAST_S: Final = 1e-5
SHARES: Final = tuple(map(TPOT_TERMS.index, ("shared weights", "kv", "interference")))

LEAST_TTFT: Final = np.array([float(name == "prefill") for name in TTFT_TERMS])
"""A prompt's own kernels take their time, however little the rows of short prompts say about it."""
RUN: Final = LABEL_SETS.index("run")

Quantity = Literal["ttft", "tpot"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one deployment showed, in seconds."""

    of: Deployment
    ttft_s: float
    tpot_s: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """Seconds to the first token and per further token; the bounds hold ``LEVEL`` of measurements."""

    ttft: Interval
    tpot: Interval
    measured: bool
    """Whether the model, device and backend were measured together; if not, the bounds are wide."""


@dataclass(frozen=True)
class Fit:
    """All that is learnt about one quantity: small, and stored as JSON."""

    coefficients: dict[str, Array]
    kernel: Kernel
    stretch: float
    """The deviation is stretched by it, so that intervals of measured groups hold ``LEVEL`` of rows."""
    stretch_unmeasured: float
    transfer: float
    """How much of what other groups leave over holds for a group that was never measured: 1 all of it, 0 nothing."""
    doubts: dict[int, float]
    """Measurements that all others contradict, by their number, and the factor on the noise variance of each."""


@dataclass(frozen=True)
class Target:
    """One quantity of one way of serving, with the measurements behind it."""

    fit: Fit
    process: GaussianProcess
    groups: frozenset[str]

    def predict(self, asked: Numbers, measured: NDArray[np.bool_]) -> Array:
        """Rows of low, middle and high seconds."""
        mean, deviation = expected(self.process, asked)
        terms, backends = asked.terms, asked.backends
        mean = mean * np.where(measured, 1.0, self.fit.transfer)
        middle = np.log(apply_terms(self.fit.coefficients, terms, backends)) + mean
        width = deviation * np.where(measured, self.fit.stretch, self.fit.stretch_unmeasured)
        # The middle that errs least in proportion: of a log-normal it lies a variance below the median. Which run it
        # will be is no reason to promise more.
        share = np.where(measured, 1.0, UNMEASURED_SHIFT)
        best = middle - share * np.minimum(deviation**2 - between_runs(self.process.kernel, asked), MOST_SHIFT)
        low, high = np.minimum(middle - width, best), middle + width
        bounds: Array = np.maximum(np.exp(np.stack([low, best, high], axis=1)), asked.least_s[:, None])
        return bounds


def expected(process: GaussianProcess, asked: Numbers) -> tuple[Array, Array]:
    """Mean and standard deviation of what the terms leave over, between runs too."""
    mean, deviation = process.predict(asked.points)
    return mean, np.sqrt(deviation**2 + between_runs(process.kernel, asked))


def between_runs(kernel: Kernel, asked: Numbers) -> Array:
    """The variance between two runs, in proportion to the rows of other runs than the one asked about."""
    one: float = kernel.constant[RUN] ** 2 + kernel.smooth[RUN] ** 2
    return 2 * one * (1 - asked.shares)


def apply_terms(coefficients: dict[str, Array], terms: Array, backends: Sequence[str]) -> Array:
    """Seconds of each row by the coefficients of its backend, or the common ones of a backend nobody measured."""
    rows = np.array([coefficients.get(name, coefficients[""]) for name in backends])
    total: Array = np.maximum((terms * rows).sum(axis=1), LEAST_S)
    return total


@dataclass(frozen=True)
class Table:
    """Deployments in numbers."""

    shapes: Sequence[Shape]
    tpot: Array
    """Rows x terms."""

    @classmethod
    def of(cls, deployments: Sequence[Deployment]) -> Table:
        shapes = [shape_of(each) for each in deployments]
        return cls(shapes, np.array([tpot_terms(shape) for shape in shapes], dtype=float).reshape(-1, len(TPOT_TERMS)))

    @cached_property
    def backends(self) -> list[str]:
        return [shape.of.backend for shape in self.shapes]

    def ttft(self, tpot_s: Array) -> Array:
        rows: Array = np.array(
            [ttft_terms(shape, each) for shape, each in zip(self.shapes, tpot_s, strict=True)], dtype=float
        )
        return rows

    def points(self, coefficients: dict[str, Array]) -> Points:
        """For residuals of either quantity; ``coefficients`` are TPOT's."""
        weighted = self.tpot * coefficients[""]
        shares = weighted / weighted.sum(axis=1, keepdims=True)
        return points_of(self.shapes, shares, SHARES, apply_terms(coefficients, self.tpot, self.backends))


@dataclass(frozen=True)
class Numbers:
    """What one quantity of some deployments is predicted from, one row each."""

    terms: Array
    points: Points
    shares: Array
    """Of the rows that speak for a deployment, the share of the run it is asked about."""
    backends: Sequence[str]
    least_s: Array
    """Seconds that no engine is faster than."""


def numbers_of(
    quantity: Quantity, asked: Sequence[Asked], coefficients: dict[str, Array], table: Table | None = None
) -> Numbers:
    """The inputs to ``quantity``; ``coefficients`` are TPOT's, and ``table`` that of ``asked`` where it is at hand."""
    table = table or Table.of([each.of for each in asked])
    terms = table.tpot
    if quantity == "ttft":
        terms = table.ttft(apply_terms(coefficients, table.tpot, table.backends))
    shares = np.array([each.share for each in asked])
    least = least_ttft_s if quantity == "ttft" else least_tpot_s
    least_s = np.array([least(shape) for shape in table.shapes])
    return Numbers(terms, table.points(coefficients), shares, table.backends, least_s)


def fit_target(merged: _Merged, kernel: Kernel | None, seed: int) -> Target:
    """Fit one quantity; a given ``kernel`` is kept, else its hyperparameters are fitted too."""
    residuals, coefficients = merged.residuals(np.ones(len(merged.logs), dtype=bool))
    found = kernel or _fit_kernel(merged, residuals, seed)
    near = _held_out(merged, found, [hash_fold(of.configuration, FOLDS) for of in merged.deployments])
    far = _held_out(merged, found, [hash_fold(of.group, GROUP_FOLDS) for of in merged.deployments])
    transfer = far.transfer()
    trust = GaussianProcess.trusting(found, merged.points, residuals, merged.repeats).repeats
    factors = np.sqrt(merged.repeats / trust)
    doubts = {int(number): float(factors[number]) for number in np.flatnonzero(factors > 1)}
    fit = Fit(coefficients, found, near.stretch(1.0), far.stretch(transfer), transfer, doubts)
    return assemble(fit, merged)


def _fit_kernel(merged: _Merged, residuals: Array, seed: int) -> Kernel:
    """Fitted twice: outliers make the first noisy, and what it doubts weighs little in the second."""
    first = fit_kernel(merged.points, residuals, merged.repeats, seed=seed)
    trust = GaussianProcess.trusting(first, merged.points, residuals, merged.repeats).repeats
    return fit_kernel(merged.points, residuals, trust, seed=seed)


def assemble(fit: Fit, merged: _Merged) -> Target:
    """A target from what was fitted before and the measurements behind it."""
    left = merged.logs - np.log(apply_terms(fit.coefficients, merged.terms, merged.backends))
    factors = np.array([fit.doubts.get(number, 1.0) for number in range(len(left))])
    process = GaussianProcess(fit.kernel, merged.points, _drawn_in(left, left), merged.repeats / factors**2)
    return Target(fit, process, frozenset(of.group for of in merged.deployments))


def hash_fold(key: object, folds: int) -> int:
    """A fold for ``key`` that is the same in every process."""
    return zlib.crc32(repr(key).encode()) % folds


@dataclass(frozen=True)
class _Merged:
    """Measurements of one quantity, with repeats of one deployment on one day made one row: their median."""

    quantity: Quantity
    tpot: dict[str, Array]
    """TPOT's coefficients, of which the inputs are made."""
    terms: Array
    points: Points
    deployments: list[Deployment]
    logs: Array
    repeats: Array

    @classmethod
    def of(cls, quantity: Quantity, measurements: Sequence[Measurement], tpot: dict[str, Array]) -> _Merged:
        rows: dict[object, list[float]] = {}
        deployments: dict[object, Deployment] = {}
        for each in measurements:
            key = (each.of.configuration, each.of.day)
            deployments.setdefault(key, each.of)
            rows.setdefault(key, []).append(each.ttft_s if quantity == "ttft" else each.tpot_s)
        numbers = numbers_of(quantity, [Asked(of, 1.0) for of in deployments.values()], tpot)
        return cls(
            quantity,
            tpot,
            numbers.terms,
            numbers.points,
            list(deployments.values()),
            np.array([np.median(np.log(same)) for same in rows.values()]),
            np.array([float(len(same)) for same in rows.values()]),
        )

    def take(self, rows: NDArray[np.intp], runs: Runs) -> Numbers:
        """The inputs of some rows as a plan asks for them, which knows none but ``runs``."""
        return numbers_of(self.quantity, [runs.speaking(self.deployments[i]) for i in rows], self.tpot)

    @property
    def backends(self) -> list[str]:
        return [of.backend for of in self.deployments]

    def residuals(self, rows: NDArray[np.bool_]) -> tuple[Array, dict[str, Array]]:
        """Of all rows, by coefficients fitted to ``rows`` only; outliers among those are drawn in."""
        backends = [name for name, used in zip(self.backends, rows, strict=True) if used]
        least = LEAST_TTFT if self.quantity == "ttft" else None
        coefficients = fit_terms(self.terms[rows], np.exp(self.logs[rows]), backends, RIDGE, least)
        left = self.logs - np.log(apply_terms(coefficients, self.terms, self.backends))
        return np.where(rows, _drawn_in(left, left[rows]), left), coefficients


def _drawn_in(residuals: Array, known: Array) -> Array:
    low, high = np.quantile(known, [OUTLIERS, 1 - OUTLIERS])
    return np.clip(residuals, low, high)


@dataclass(frozen=True)
class _HeldOut:
    """What was left over of each row, and what a process that has not seen its fold expected of it."""

    left: Array
    mean: Array
    deviation: Array

    def transfer(self) -> float:
        """The share of the expected mean that errs least."""
        errors = [np.abs(self.left - share * self.mean).sum() for share in SHARES_OF_MEAN]
        return SHARES_OF_MEAN[int(np.argmin(errors))]

    def stretch(self, transfer: float) -> float:
        """How many deviations hold ``LEVEL`` of the rows."""
        return float(np.quantile(np.abs(self.left - transfer * self.mean) / self.deviation, LEVEL))


SHARES_OF_MEAN: Final = tuple(step / 10 for step in range(11))


def _held_out(merged: _Merged, kernel: Kernel, folds: Sequence[int]) -> _HeldOut:
    """Each fold predicted from the others, as a plan would ask for it: without its run being stated."""
    number = np.array(folds)
    found = _HeldOut(merged.logs.copy(), np.zeros(len(folds)), np.ones(len(folds)))
    for fold in sorted(set(folds)):
        held = number == fold
        known, at = np.flatnonzero(~held), np.flatnonzero(held)
        if not len(known):
            found.left[at] = merged.residuals(held)[0]
            continue
        left, coefficients = merged.residuals(~held)
        asked = merged.take(at, Runs.of(merged.deployments[i] for i in known))
        found.left[at] = merged.logs[at] - np.log(apply_terms(coefficients, asked.terms, asked.backends))
        trust = GaussianProcess.trusting(kernel, merged.points.take(known), left[known], merged.repeats[known])
        found.mean[at], found.deviation[at] = expected(trust, asked)
    return found


@dataclass(frozen=True)
class Calibration:
    """The model for deployments that are all aggregated, or all disaggregated."""

    tpot: Target
    ttft: Target
    runs: Runs

    def predict(self, deployments: Sequence[Deployment]) -> list[Prediction]:
        """One prediction a deployment, as of the run that speaks for it unless it states one that was measured."""
        asked = [self.runs.asked(of) for of in deployments]
        measured = np.array([of.group in self.tpot.groups for of in deployments])
        coefficients, table = self.tpot.fit.coefficients, Table.of([each.of for each in asked])
        tpot = self.tpot.predict(numbers_of("tpot", asked, coefficients, table), measured)
        ttft = self.ttft.predict(numbers_of("ttft", asked, coefficients, table), measured)
        return [
            Prediction(_doubted(first, of), _doubted(each, of), bool(known))
            for first, each, known, of in zip(ttft.tolist(), tpot.tolist(), measured, deployments, strict=True)
        ]


def _doubted(bounds: Sequence[float], of: Deployment) -> Interval:
    """Wider by the doubt about the model's size, where only its name is known."""
    low, middle, high = bounds
    return Interval(low / of.facts.spread, middle, high * of.facts.spread)


Kernels = Callable[[Quantity], Kernel | None]


def calibrate(measurements: Sequence[Measurement], kernels: Kernels = lambda _: None, *, seed: int = 0) -> Calibration:
    """Fit everything to measurements of one way of serving (all aggregated or all disaggregated)."""
    table = Table.of([each.of for each in measurements])
    # The inputs of residuals are made of TPOT's terms, so its coefficients come first.
    first = fit_terms(table.tpot, np.array([each.tpot_s for each in measurements]), table.backends, RIDGE)
    tpot = fit_target(_Merged.of("tpot", measurements, first), kernels("tpot"), seed)
    ttft = fit_target(_Merged.of("ttft", measurements, tpot.fit.coefficients), kernels("ttft"), seed)
    return Calibration(tpot, ttft, Runs.of(each.of for each in measurements))


def restore(measurements: Sequence[Measurement], tpot: Fit, ttft: Fit) -> Calibration:
    """The model again from what :func:`calibrate` learnt and the measurements it learnt from."""
    first = assemble(tpot, _Merged.of("tpot", measurements, tpot.coefficients))
    then = assemble(ttft, _Merged.of("ttft", measurements, tpot.coefficients))
    return Calibration(first, then, Runs.of(each.of for each in measurements))
