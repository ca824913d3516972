"""The one output format of every benchmark: a report of results, each ``(case, arm, metric)`` a number with a unit."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from benchmarks.harness.machine import Machine

OURS = "orchestrator"
"""The arm name of this project; every other arm is a peer or a floor."""
FOLDER = Path("build/bench")
"""Where reports are written unless `--json` says otherwise."""


class Result(BaseModel):
    """One figure. `n` is the number of observations behind it: timed repetitions, or questions asked."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    case: str = Field(min_length=1)
    arm: str = Field(min_length=1)
    metric: str = Field(min_length=1)
    value: float
    unit: str = Field(min_length=1)
    n: int = Field(ge=1)
    low: float | None = None
    high: float | None = None
    """Interval of the figure: minimum and maximum of repeated timings, or the 95 % confidence interval of a share."""
    note: str | None = None

    @model_validator(mode="after")
    def _interval_is_ordered(self) -> Result:
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high come together")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class Skip(BaseModel):
    """An arm, or one case of it, that did not run, and why."""

    model_config = ConfigDict(extra="forbid")

    arm: str
    case: str | None = None
    reason: str


class Report(BaseModel):
    """Everything one run of one benchmark produced."""

    model_config = ConfigDict(extra="forbid")

    benchmark: str = Field(min_length=1)
    quick: bool = False
    command: str = ""
    machine: Machine
    versions: dict[str, str]
    seeds: dict[str, int] = Field(default_factory=dict)
    results: list[Result]
    skipped: list[Skip] = Field(default_factory=list)

    @model_validator(mode="after")
    def _figures_are_unique(self) -> Report:
        seen: set[tuple[str, str, str]] = set()
        for result in self.results:
            key = (result.case, result.arm, result.metric)
            if key in seen:
                raise ValueError(f"two results for {key}")
            seen.add(key)
        return self

    def find(self, case: str, metric: str, arm: str = OURS) -> Result | None:
        """The one result of that case, metric and arm, or None."""
        matches = (r for r in self.results if (r.case, r.metric, r.arm) == (case, metric, arm))
        return next(matches, None)

    def write(self, path: Path) -> None:
        """Validate once more and write one JSON object."""
        checked = Report.model_validate(self.model_dump())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(checked.model_dump_json(indent=1, exclude_none=True) + "\n", encoding="utf-8")


def read(path: Path) -> Report:
    """Read back what `Report.write` wrote."""
    return Report.model_validate_json(path.read_text(encoding="utf-8"))
