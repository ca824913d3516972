"""The calibration that ships with the planner: measurements as CSV, what was fitted to them as JSON.

``planner/cost/data/measurements.csv`` and ``factors.json`` are written by :mod:`orchestrator.planner.cost.fit` and read
here; a user's own measurements of the same columns can be fitted in their place.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.planner.cost.calibration import Calibration, Fit, Measurement, Prediction, Quantity, restore
from orchestrator.planner.cost.deployment import Deployment
from orchestrator.planner.cost.inputs import LABEL_SETS, TPOT_TERMS, TTFT_TERMS
from orchestrator.planner.cost.regression import Kernel
from orchestrator.planner.cost.rows import labelled, read_rows
from orchestrator.planner.datafile import parse_json, read_text

Serving = str
AGGREGATED, DISAGGREGATED = "aggregated", "disaggregated"


class StoredKernel(BaseModel):
    """A kernel; the label sets are named so that a reader sees what varies with what."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    constant: dict[str, float]
    smooth: dict[str, float]
    length: tuple[float, ...]
    noise: float = Field(gt=0)

    @classmethod
    def of(cls, kernel: Kernel) -> StoredKernel:
        named = [dict(zip(LABEL_SETS, each.tolist(), strict=True)) for each in (kernel.constant, kernel.smooth)]
        return cls(constant=named[0], smooth=named[1], length=tuple(kernel.length.tolist()), noise=kernel.noise)

    def kernel(self) -> Kernel:
        constant, smooth = (np.array([each[name] for name in LABEL_SETS]) for each in (self.constant, self.smooth))
        return Kernel(constant, smooth, np.array(self.length), self.noise)


class StoredFit(BaseModel):
    """One quantity: seconds per ideal second (or per count) of each term, by backend; ``""`` for any other backend."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    coefficients: dict[str, dict[str, float]]
    kernel: StoredKernel
    stretch: float = Field(gt=0)
    stretch_unmeasured: float = Field(gt=0)
    transfer: float = Field(ge=0, le=1)
    doubts: dict[int, float]

    @classmethod
    def of(cls, fit: Fit, terms: Sequence[str]) -> StoredFit:
        named = {name: dict(zip(terms, row.tolist(), strict=True)) for name, row in fit.coefficients.items()}
        return cls(
            coefficients=named,
            kernel=StoredKernel.of(fit.kernel),
            stretch=fit.stretch,
            stretch_unmeasured=fit.stretch_unmeasured,
            transfer=fit.transfer,
            doubts=fit.doubts,
        )

    def fit(self, terms: Sequence[str]) -> Fit:
        rows = {name: np.array([row[term] for term in terms]) for name, row in self.coefficients.items()}
        return Fit(rows, self.kernel.kernel(), self.stretch, self.stretch_unmeasured, self.transfer, self.doubts)


class Factors(BaseModel):
    """``factors.json``."""

    model_config = ConfigDict(extra="forbid")

    source: str
    fits: dict[Serving, dict[Quantity, StoredFit]]

    @classmethod
    def of(cls, source: str, calibrations: dict[Serving, Calibration]) -> Factors:
        fits: dict[Serving, dict[Quantity, StoredFit]] = {
            name: {"tpot": StoredFit.of(each.tpot.fit, TPOT_TERMS), "ttft": StoredFit.of(each.ttft.fit, TTFT_TERMS)}
            for name, each in calibrations.items()
        }
        return cls(source=source, fits=fits)

    def to_json(self) -> str:
        return json.dumps(_rounded(self.model_dump()), indent=1) + "\n"


def _rounded(value: object) -> object:
    """Six significant digits: what is fitted is known to fewer."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value


def data_folder() -> Path:
    """Where the shipped calibration lies."""
    return Path(str(files("orchestrator.planner") / "cost" / "data"))


def measurements(path: Path, *, disaggregated: bool) -> list[Measurement]:
    """The measured rows of a CSV file that were served this way; errors as of ``read_rows``."""
    return [
        Measurement(row.deployment, ttft_s, tpot_s)
        for row, ttft_s, tpot_s in labelled(read_rows(path))
        if row.deployment.disaggregated == disaggregated
    ]


@cache
def shipped(disaggregated: bool) -> Calibration:
    """The calibration for one way of serving; a second or so the first time."""
    folder = data_folder()
    file = folder / "factors.json"
    fits = parse_json(Factors, read_text(file), str(file)).fits[DISAGGREGATED if disaggregated else AGGREGATED]
    known = measurements(folder / "measurements.csv", disaggregated=disaggregated)
    return restore(known, fits["tpot"].fit(TPOT_TERMS), fits["ttft"].fit(TTFT_TERMS))


@cache
def newest_day(backend: str) -> float:
    """When ``backend`` was last measured, in days since 2025-01-01: what a prediction for today's software assumes."""
    known = measurements(data_folder() / "measurements.csv", disaggregated=False)
    return max((each.of.day for each in known if each.of.backend == backend), default=0.0)


def of_today(of: Deployment) -> Deployment:
    """The deployment as a plan asks about it: of today's software, and of no campaign."""
    return replace(of, campaign="", day=newest_day(of.backend))


def predict(deployments: Sequence[Deployment]) -> list[Prediction]:
    """TTFT and TPOT of each deployment by the shipped calibration."""
    found: list[Prediction | None] = [None] * len(deployments)
    for way in (False, True):
        numbers = [i for i, of in enumerate(deployments) if of.disaggregated == way]
        for start in range(0, len(numbers), BATCH):
            part = numbers[start : start + BATCH]
            for i, each in zip(part, shipped(way).predict([deployments[i] for i in part]), strict=True):
                found[i] = each
    return [each for each in found if each is not None]


BATCH: Final = 1000
"""Deployments at a time: the covariance with all measurements is held in memory."""
