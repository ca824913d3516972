"""Two small regressions, in NumPy: non-negative terms per class, and a Gaussian process for what they leave over.

*Terms.* ``y = sum_j c_j t_j`` with ``c >= 0``: each coefficient is an inefficiency, so its sign is known (and of the
work that nobody can do without, that it is 1 at least). They are
fitted to relative errors, robustly (iterated weights towards the absolute error), first over all rows and then for each
class (serving backend), drawn towards the common ones by a ridge so that a class with few rows keeps them.

*Residuals.* What is left, ``log(y / terms)``, is smooth in the load and the shape of a request, and alike within a
model, a device generation and a backend. A Gaussian process says exactly that (Rasmussen and Williams, 2006)::

    k(a, b) = sum over label sets l of [a and b agree on l] * (v_l^2 + w_l^2 (1 + d) exp(-d)),   d = sqrt(3) |z_a - z_b|

with one length scale for each input: a Matern kernel, whose functions are smooth but may turn sharply, as latencies do
where memory runs out. Its standard deviation grows away from the measurements, which is what makes the
intervals of a device nobody measured wider than those of one that was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SWEEPS: Final = 300
REWEIGHTINGS: Final = 8
LEAST_RELATIVE_ERROR: Final = 0.05
"""Errors below it are weighted alike."""
SMOOTH: Final = 0.02
"""It is the share of the largest coefficient that a coefficient of zero may grow by at the price of one ridge unit."""


def nonnegative_least_squares(a: Array, b: Array) -> Array:
    """``x >= 0`` that minimises ``|a x - b|`` (rows x terms, rows), by coordinate descent on the normal equations."""
    gram, target = a.T @ a, a.T @ b
    x = np.zeros(len(target))
    for _ in range(SWEEPS):
        before = x.copy()
        for j in np.flatnonzero(gram.diagonal() > 0):
            x[j] = max(0.0, x[j] + (target[j] - gram[j] @ x) / gram[j, j])
        if np.abs(x - before).max() <= 1e-9 * max(np.abs(x).max(), 1e-30):
            break
    return x


def fit_terms(
    terms: Array, y: Array, classes: Sequence[str], ridge: float, least: Array | None = None
) -> dict[str, Array]:
    """Coefficients by class, and under ``""`` the common ones, none below ``least`` (by default 0).

    ``terms``: rows x terms; ``y``: seconds, positive.
    """
    floor = np.zeros(terms.shape[1]) if least is None else least
    scale = terms.mean(axis=0) + 1e-30
    scaled, given = terms / scale, terms @ floor
    common = _robust(scaled, y, given, None, 0.0)
    found = {"": floor + common / scale}
    labels = np.array(classes)
    for name in sorted(set(classes)):
        rows = labels == name
        found[name] = floor + _robust(scaled[rows], y[rows], given[rows], common, ridge) / scale
    return found


def _robust(terms: Array, y: Array, given: Array, prior: Array | None, ridge: float) -> Array:
    """``x >= 0`` that makes ``given + terms x`` err least in proportion to ``y``."""
    weight = 1 / y
    x = np.zeros(terms.shape[1])
    for _ in range(REWEIGHTINGS):
        a, b = terms * weight[:, None], (y - given) * weight
        if prior is not None:
            unit = np.sqrt(ridge) / (prior + SMOOTH * prior.max())
            a, b = np.vstack([a, np.diag(unit)]), np.concatenate([b, unit * prior])
        x = nonnegative_least_squares(a, b)
        error = np.abs((given + terms @ x) / y - 1)
        weight = 1 / y / np.sqrt(np.maximum(error, LEAST_RELATIVE_ERROR))
    return x


DOUBTED: Final = 3.0
"""Leave-one-out deviations beyond which a measurement is doubted."""
DOUBT: Final = 100.0
"""Factor on the noise variance of a doubted one."""
DOUBTS: Final = 3


@dataclass(frozen=True)
class Kernel:
    """Hyperparameters: standard deviations per label set, length scales per input, noise."""

    constant: Array
    smooth: Array
    length: Array
    noise: float

    def __call__(self, a: Points, b: Points) -> Array:
        """The covariance matrix of ``a`` x ``b``."""
        distance = self.distance(a.inputs, b.inputs)
        closeness: Array = (1 + distance) * np.exp(-distance)
        total: Array = np.zeros_like(closeness)
        for agree, v, w in zip(a.agreement(b), self.constant, self.smooth, strict=True):
            total += agree * (v**2 + w**2 * closeness)
        return total

    def distance(self, a: Array, b: Array) -> Array:
        """``d`` above."""
        x, y = a / self.length, b / self.length
        squares = (x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T
        result: Array = np.sqrt(3 * np.maximum(squares, 0))
        return result

    @property
    def variance(self) -> float:
        """The covariance of a point with itself."""
        return float((self.constant**2).sum() + (self.smooth**2).sum())


@dataclass(frozen=True)
class Points:
    """``inputs``: points x inputs; ``labels``: one tuple of strings a label set and point."""

    inputs: Array
    labels: tuple[tuple[str, ...], ...]

    def agreement(self, other: Points) -> list[NDArray[np.bool_]]:
        found = []
        for mine, theirs in zip(self.labels, other.labels, strict=True):
            code = {name: number for number, name in enumerate(dict.fromkeys((*mine, *theirs)))}
            left, right = (np.array([code[name] for name in names]) for names in (mine, theirs))
            found.append(left[:, None] == right[None])
        return found

    def take(self, rows: NDArray[np.intp]) -> Points:
        return Points(self.inputs[rows], tuple(tuple(names[i] for i in rows) for names in self.labels))


@dataclass
class GaussianProcess:
    """The posterior given residuals at ``points``; ``repeats`` measurements of a point shrink its noise."""

    kernel: Kernel
    points: Points
    residuals: Array
    repeats: Array
    _factor: Array = field(init=False, repr=False)
    _weights: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        noise = self.kernel.noise**2 / np.sqrt(self.repeats)
        matrix = self.kernel(self.points, self.points) + np.diag(noise)
        # numpy has no triangular solve; the inverse of the factor serves both the mean and the variance.
        self._factor = np.linalg.inv(np.linalg.cholesky(matrix))
        self._weights = self._factor.T @ (self._factor @ self.residuals)

    @classmethod
    def trusting(cls, kernel: Kernel, points: Points, residuals: Array, repeats: Array) -> GaussianProcess:
        """The posterior that believes less those measurements that all others contradict.

        A server that stalled for 20 s says nothing about its neighbours. A point that lies more than ``DOUBTED``
        deviations from what the rest predicts (leave one out: Rasmussen and Williams, equations 5.10 to 5.12) counts
        as noise of that size; repeated, since outliers hide one another.
        """
        process = cls(kernel, points, residuals, repeats)
        doubt = np.ones_like(repeats)
        for _ in range(DOUBTS):
            precision = (process._factor**2).sum(axis=0)
            score = np.abs(process._weights) / np.sqrt(precision)
            doubt = np.maximum(doubt, np.where(score > DOUBTED, DOUBT * (score / DOUBTED) ** 2, 1.0))
            process = cls(kernel, points, residuals, repeats / doubt**2)
        return process

    def predict(self, at: Points) -> tuple[Array, Array]:
        """Mean and standard deviation of a new measurement at each point."""
        cross = self.kernel(at, self.points)
        explained = ((self._factor @ cross.T) ** 2).sum(axis=0)
        variance = np.maximum(self.kernel.variance - explained, 0.0) + self.kernel.noise**2
        mean: Array = cross @ self._weights
        deviation: Array = np.sqrt(variance)
        return mean, deviation


def fit_kernel(points: Points, residuals: Array, repeats: Array, *, seed: int, steps: int = 60) -> Kernel:
    """Maximise the marginal likelihood over the hyperparameters (Adam, on random subsets, deterministic by seed)."""
    sets, inputs = len(points.labels), points.inputs.shape[1]
    logs = np.concatenate([np.full(2 * sets, -2.0), np.full(inputs, 0.7), [-2.2]])
    random = np.random.default_rng(seed)
    first, second = np.zeros_like(logs), np.zeros_like(logs)
    for step in range(1, steps + 1):
        rows = random.choice(len(residuals), min(SUBSET, len(residuals)), replace=False)
        slope = _likelihood_slope(_unpack(logs, sets), points.take(rows), residuals[rows], repeats[rows])
        slope[2 * sets : -1] -= PRIOR * (logs[2 * sets : -1] - 0.7)
        slope[: 2 * sets] -= PRIOR * (logs[: 2 * sets] + 2.0)
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        logs = logs + RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        logs[2 * sets : -1] = np.maximum(logs[2 * sets : -1], np.log(LEAST_LENGTH))
    return _unpack(logs, sets)


SUBSET: Final = 700
RATE: Final = 0.1
LEAST_LENGTH: Final = 1.0
"""An input acts over no less than a unit: what jumps from one day to the next is the run's, not the date's."""
PRIOR: Final = 0.003
"""Pull of each log hyperparameter towards its start, per row and unit."""


def _unpack(logs: Array, sets: int) -> Kernel:
    values = np.exp(logs)
    return Kernel(values[:sets], values[sets : 2 * sets], values[2 * sets : -1], float(values[-1]))


def _likelihood_slope(kernel: Kernel, points: Points, residuals: Array, repeats: Array) -> Array:
    """Of the log marginal likelihood per row, by each log hyperparameter (Rasmussen and Williams, equation 5.9)."""
    distance = kernel.distance(points.inputs, points.inputs)
    decay = np.exp(-distance)
    closeness = (1 + distance) * decay
    agree = points.agreement(points)
    scale = np.zeros_like(closeness)
    for same, w in zip(agree, kernel.smooth, strict=True):
        scale += same * w**2
    constant = sum(same * v**2 for same, v in zip(agree, kernel.constant, strict=True))
    noise = kernel.noise**2 / np.sqrt(repeats)
    inverse = np.linalg.inv(scale * closeness + constant + np.diag(noise))
    alpha = inverse @ residuals
    outer = np.outer(alpha, alpha) - inverse
    slopes = [float((outer * same).sum() * v**2) for same, v in zip(agree, kernel.constant, strict=True)]
    slopes += [float((outer * same * closeness).sum() * w**2) for same, w in zip(agree, kernel.smooth, strict=True)]
    weighted = outer * scale * (3 * decay)
    for column, length in zip(points.inputs.T, kernel.length, strict=True):
        apart = (column[:, None] - column[None]) / length
        slopes.append(float((weighted * apart**2).sum()) / 2)
    slopes.append(float((outer.diagonal() * noise).sum()))
    return np.array(slopes) / len(residuals)
