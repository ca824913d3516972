"""Which run of measurements answers for a deployment: one that was made.

The measurements come in runs: what one campaign measured on one day, with one version and one set of flags. Rows of a
run agree with each other far better than with those of other runs, so the residual has a part of its own for each run
(:mod:`orchestrator.planner.cost.inputs`), and asking for a run that nobody made (today's, of no campaign) would lose
it. A deployment of a stated run that was measured keeps it; any other is asked about as of the run that stands for its
model, device, backend and precision::

    newest run that holds at least a third as many rows as the largest

or where these were never measured together, about that of the model on the device under the backend, then of the
backend, then of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.planner.cost.deployment import Deployment

LEAST_SHARE: Final = 1 / 3
"""Rows over those of the largest run that a newer one needs: three rows do not speak for a hundred."""

Run = tuple[str, float]
"""The campaign, and its day."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A deployment as the measurements are asked about it."""

    of: Deployment
    share: float
    """It is the share of the rows, of those that speak for the deployment, that its run holds."""


@dataclass(frozen=True)
class Runs:
    """The runs behind a calibration, with the rows of each."""

    rows: dict[tuple[str, ...], Counter[Run]]

    @classmethod
    def of(cls, deployments: Iterable[Deployment]) -> Runs:
        rows: dict[tuple[str, ...], Counter[Run]] = {}
        for of in deployments:
            for key in _keys(of):
                rows.setdefault(key, Counter())[of.campaign, of.day] += 1
        return cls(rows)

    def asked(self, of: Deployment) -> Asked:
        """The deployment as of a run that was made."""
        nearest, *_ = _keys(of)
        stated = (of.campaign, of.day) in self.rows.get(nearest, ())
        return Asked(of, 1.0) if stated else self.speaking(of)

    def speaking(self, of: Deployment) -> Asked:
        """The deployment as of the run that stands for it, whichever it states."""
        runs = next((self.rows[key] for key in _keys(of) if key in self.rows), None)
        if runs is None:
            return Asked(of, 1.0)
        campaign, day = _speaking(runs)
        return Asked(replace(of, campaign=campaign, day=day), runs[campaign, day] / runs.total())


def _keys(of: Deployment) -> Sequence[tuple[str, ...]]:
    """What a run may stand for, the nearest first."""
    return (of.group, of.weights), (of.group,), ("", of.backend), ()


def _speaking(runs: Counter[Run]) -> Run:
    largest = max(runs.values())
    return max((run for run, rows in runs.items() if rows >= LEAST_SHARE * largest), key=lambda run: run[::-1])
