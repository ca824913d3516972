"""What really happened, beside what was planned: the file that ``orch run --record`` writes and ``--analyze`` reads.

>>> RunRecord.load(path) == record                                                      # doctest: +SKIP
True
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from orchestrator import __version__
from orchestrator.errors import PlanError, SourceLoc
from orchestrator.planner.datafile import line_of, parse_json, read_text
from orchestrator.planner.plan import PLAN_VERSION, READABLE, Plan
from orchestrator.whole_file import write_whole

RECORD_VERSION: Final = 1


class Tokens(BaseModel):
    """Tokens of one model call."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_tokens: int = Field(ge=0)
    cached_tokens: int | None = Field(default=None, ge=0)
    """The part of ``input_tokens`` whose KV the engine had already; None where it does not say."""
    output_tokens: int = Field(ge=0)


class OpMeasured(BaseModel):
    """One execution of one op that left the coordinator and came to its end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    frame: str = ""
    """Which turn of which loop or map it was in."""
    place: str = ""
    seconds: float = Field(ge=0, allow_inf_nan=False)
    """It is the time from its first attempt to its result."""
    attempts: int = Field(default=1, ge=1)
    usage: Tokens | None = None
    """``None`` for anything but a model call."""


class RunMeasured(BaseModel):
    """One run of the workflow that succeeded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str = Field(min_length=1)
    seconds: float = Field(ge=0, allow_inf_nan=False)
    cost_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    ops: tuple[OpMeasured, ...] = ()


class RunRecord(BaseModel):
    """A plan and the runs of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = RECORD_VERSION
    made_by: str = __version__
    """The version of orchestrator that planned."""
    plan: Plan
    concurrency: int = Field(default=1, ge=1)
    """Runs in flight at once: more than one share the engines, and each takes longer than alone."""
    simulated: bool
    """Some reply was made up, so seconds measure nothing."""
    failed: int = Field(default=0, ge=0)
    """Runs that are not in ``runs``."""
    runs: tuple[RunMeasured, ...]

    def save(self, path: Path) -> None:
        """Write the record as JSON. Raises ``OSError``."""
        write_whole(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> RunRecord:
        """Read a record. Raises :class:`PlanError` naming file and field: ORCH-P023 for what is no record of this
        version, ORCH-P001, P002 and P004 to P006 for one that is spoilt."""
        text, file = read_text(path), str(path)
        data = parse_json(_Anything, text, file)
        fix = "record runs with `orch run TARGET --record FILE`"
        if data.plan is None or data.runs is None:
            missing = "plan" if data.plan is None else "runs"
            raise PlanError("ORCH-P023", f"{file} is not a record of runs: it has no `{missing}`", fix=fix)
        if data.version != RECORD_VERSION:
            raise PlanError(
                "ORCH-P023",
                f"the record has version {data.version}; this orchestrator reads version {RECORD_VERSION}",
                where=SourceLoc(file, line_of(text, "version")),
                fix=fix,
            )
        planned = data.plan.get("version", PLAN_VERSION) if isinstance(data.plan, dict) else PLAN_VERSION
        if planned not in READABLE:
            raise PlanError(
                "ORCH-P023",
                f"the record holds a plan of version {planned}; this orchestrator reads versions up to {PLAN_VERSION}",
                where=SourceLoc(file, line_of(text, "plan", "version")),
                fix=fix,
            )
        return parse_json(cls, text, file)


class _Anything(BaseModel):
    """Just enough to tell a record from other JSON."""

    version: object = RECORD_VERSION
    plan: object = None
    runs: object = None
