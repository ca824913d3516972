"""What runs on this machine's clusters have taught about the cost model, and the correction that follows from it.

``orch explain --analyze`` appends one line of JSON per measured model call to a local file; plans made later scale
their model calls by one factor for each (device type, kind of engine)::

    factor = exp(n / (n + 4) * median over runs of log(run's median measured / predicted))

How far off a corrected call may still be is learned as well. With r the logs of measured / predicted of all calls, m
that median and d = m - log(factor) what the prior keeps the factor from::

    sd^2 = s^2 + s^2 / n + d^2     s^2 = (4 * 0.3^2 + sum over runs of the mean of (r - m)^2) / (4 + n)

replaces what is assumed of hardware that nobody has measured; how uncertain token counts are stays as it is.

A run counts once however many calls it made, because the errors of one run go together. With few runs the factor is
drawn towards 1 as if :data:`PRIOR_RUNS` further runs had come out exactly as predicted (a normal prior on the log of
the factor). Predictions are stored without earlier corrections and for the tokens that were really processed, so that
neither corrections nor guessed reply lengths feed back, and only those of this version of orchestrator count: another
one may have predicted otherwise.

The file is ``calibration.jsonl`` under ``$XDG_DATA_HOME/orchestrator``; the environment variable
``ORCH_CALIBRATION`` names another one, or is ``off``. It never grows beyond :data:`MOST_LINES` lines: the oldest half
goes first.
"""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import BinaryIO, Final, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator import __version__
from orchestrator.errors import PlanError
from orchestrator.planner.breakdown import scaled
from orchestrator.planner.cluster import Cluster
from orchestrator.planner.interval import Interval, bounded
from orchestrator.planner.plan import OpPlan, Plan
from orchestrator.planner.rollup import with_seconds
from orchestrator.planner.tail import Z_LEVEL
from orchestrator.userdata import data_folder
from orchestrator.whole_file import write_whole

VARIABLE: Final = "ORCH_CALIBRATION"
OFF: Final = "off"
PRIOR_RUNS: Final = 4
MOST_LOG: Final = math.log(1e6)
"""A call that takes a millionth or a million times what was predicted was not the call that was priced."""
PRIOR_SD: Final = 0.3
"""Of the log of measured / predicted from call to call on one machine, before any was seen: calls of other shapes than
those that were measured are off by a third."""
MOST_LINES: Final = 20_000
"""About 5 MB."""

Hardware = tuple[str, str]
"""Type of the device and kind of the engine."""


class Observation(BaseModel):
    """One execution of a model call."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    op: str
    frame: str
    kind: str
    device: str
    """Its type in the catalogue."""
    engine: str
    """The engine's kind."""
    predicted_s: float = Field(gt=0, allow_inf_nan=False)
    """Uncorrected, for the tokens that were processed."""
    measured_s: float = Field(gt=0, allow_inf_nan=False)
    made_by: str = __version__
    """The version of orchestrator that predicted."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells executions apart."""
        return self.run, self.frame, self.op


@dataclass(frozen=True, slots=True)
class Correction:
    """What to multiply predictions by, and what that rests on."""

    factor: float
    origin: str
    """``from 12 runs here``."""
    spread: Interval | None = None
    """Factors on corrected seconds that hold 80 % of the calls; ``None``: as uncertain as before."""


Corrections = dict[Hardware, Correction]


def store_path() -> Path | None:
    """The file of observations; ``None`` when they are switched off."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return None if named.strip().lower() in ("", OFF) else Path(named).expanduser()
    return data_folder() / "calibration.jsonl"


def load(path: Path) -> tuple[list[Observation], list[str]]:
    """The observations of a file that need not exist, and a sentence for each line that is none.

    Raises :class:`PlanError` ORCH-P001 when the file is there and cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return [], []
    except OSError as unreadable:
        fix = f"set {VARIABLE} to another file, or to {OFF}"
        raise PlanError("ORCH-P001", f"cannot read {path}: {unreadable}", fix=fix) from unreadable
    found: list[Observation] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        if number == len(lines) and not line:
            break
        try:
            found.append(Observation.model_validate_json(line))
        except ValidationError as wrong:
            problems.append(f"{path}:{number} is skipped: {_reason(wrong)}")
    return found, problems


def append(path: Path, observations: Iterable[Observation]) -> int:
    """Add those that the file does not have yet; how many that were. The oldest lines go when there are too many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        known, _ = load(path)
        keys = {each.key for each in known}
        new = [each for each in observations if each.key not in keys]
        if len(known) + len(new) > MOST_LINES:
            kept = [*known, *new][-MOST_LINES // 2 :]
            write_whole(path, _lines(kept))
        elif new:
            with path.open("ab+") as file:
                file.write((_lacking_end(file) + _lines(new)).encode())
    return len(new)


def corrections(observations: Iterable[Observation]) -> Corrections:
    """The factor for each hardware that was observed, by predictions of this version."""
    ratios: dict[Hardware, dict[str, list[float]]] = {}
    for each in observations:
        if each.made_by != __version__:
            continue
        runs = ratios.setdefault((each.device, each.engine), {})
        runs.setdefault(each.run, []).append(math.log(each.measured_s) - math.log(each.predicted_s))
    return {hardware: _correction(list(runs.values())) for hardware, runs in ratios.items()}


def corrections_in(plan: Plan) -> Corrections:
    """The factors that a plan was corrected by, so that another one can be held against it."""
    found: Corrections = {}
    for op in plan.ops:
        hardware = hardware_of(op, plan.cluster)
        if hardware is not None and op.correction != 1.0:
            found[hardware] = Correction(op.correction, "as in the earlier plan", op.speed)
    return found


def corrected(plan: Plan, by: Corrections) -> Plan:
    """The plan with its model calls scaled, and a note for each factor in it.

    Costs by the device's time scale as well; prices per token do not. A call that is corrected already stays as it is.
    """
    scaled_ops: dict[str, OpPlan] = {}
    used: dict[Hardware, Correction] = {}
    for op in plan.ops:
        hardware = hardware_of(op, plan.cluster)
        if hardware in by and op.correction == 1.0:
            used[hardware] = by[hardware]
            scaled_ops[op.id] = _scaled(op, by[hardware], plan.cluster)
    rolled = with_seconds(plan, {name: op.seconds for name, op in scaled_ops.items()})
    fields = ("cost_usd", "spent_s", "correction", "speed")
    ops = tuple(
        op.model_copy(update={name: getattr(scaled_ops[op.id], name) for name in fields}) if op.id in scaled_ops else op
        for op in rolled.ops
    )
    notes = [
        f"model calls on {device} ({engine}) are corrected ×{each.factor:.2f} {each.origin}"
        for (device, engine), each in used.items()
    ]
    update = {"ops": ops, "cost_usd": total_cost(ops), "notes": (*plan.notes, *notes)}
    return rolled.model_copy(update=update) if used else plan


def hardware_of(op: OpPlan, cluster: Cluster) -> Hardware | None:
    """What a correction of the op depends on; ``None`` for anything but a model call on known hardware.

    A device that is not of the catalogue goes by its name.
    """
    if op.kind != "decode" or op.device is None or not op.place.startswith("engine:"):
        return None
    device = cluster.device(op.device)
    named = f"custom {device.name}" if device.type == "custom" else device.type
    return named, cluster.engine(op.place.removeprefix("engine:")).kind


def total_cost(ops: Sequence[OpPlan]) -> Interval | None:
    """USD of a run; ``None`` when the price of any op is unknown."""
    lo = mid = hi = 0.0
    for op in ops:
        if op.cost_usd is None:
            return None
        whole = op.cost_usd * op.count
        lo, mid, hi = lo + whole.lo, mid + whole.mid, hi + whole.hi
    return Interval(lo, mid, hi)


def _correction(runs: Sequence[Sequence[float]]) -> Correction:
    typical = median(median(logs) for logs in runs)
    count = len(runs)
    calls = sum(map(len, runs))
    origin = f"from {count} run{'s' * (count != 1)} here ({calls} call{'s' * (calls != 1)})"
    typical = min(max(typical, -MOST_LOG), MOST_LOG)
    log_factor = count / (count + PRIOR_RUNS) * typical
    squares = sum(fmean(min((each - typical) ** 2, MOST_LOG**2) for each in logs) for logs in runs)
    variance = (PRIOR_RUNS * PRIOR_SD**2 + squares) / (PRIOR_RUNS + count)
    sd = math.sqrt(variance + variance / count + (typical - log_factor) ** 2)
    return Correction(math.exp(log_factor), origin, Interval.around(1.0, math.exp(Z_LEVEL * sd)))


def _scaled(op: OpPlan, by: Correction, cluster: Cluster) -> OpPlan:
    by_token = cluster.engine(op.place.removeprefix("engine:")).token_price is not None
    spread = by.spread or op.speed
    return op.model_copy(
        update={
            "seconds": _corrected(op.seconds, op.speed, by.factor, spread),
            "cost_usd": op.cost_usd if by_token else _corrected(op.cost_usd, op.speed, by.factor, spread),
            "spent_s": scaled(op.spent_s, by.factor),
            "correction": by.factor,
            "speed": spread,
        }
    )


@overload
def _corrected(quantity: Interval, assumed: Interval | None, factor: float, learned: Interval | None) -> Interval: ...
@overload
def _corrected(quantity: None, assumed: Interval | None, factor: float, learned: Interval | None) -> None: ...
def _corrected(
    quantity: Interval | None, assumed: Interval | None, factor: float, learned: Interval | None
) -> Interval | None:
    """What goes with a call's seconds, by the factor, and with what was assumed of the hardware's speed taken out."""
    if quantity is None or assumed is None or learned is None or assumed.lo <= 0:
        return None if quantity is None else quantity.scaled(factor)
    lo, mid, hi = quantity.scaled(factor).bounds
    return bounded(min(lo / assumed.lo * learned.lo, mid), mid, max(hi / assumed.hi * learned.hi, mid))


def _lacking_end(file: BinaryIO) -> str:
    """The end of a last line that a full disk or a killed process has cut short."""
    if not file.seek(0, os.SEEK_END):
        return ""
    file.seek(-1, os.SEEK_END)
    return "" if file.read() == b"\n" else "\n"


def _lines(observations: Iterable[Observation]) -> str:
    return "".join(each.model_dump_json() + "\n" for each in observations)


def _reason(wrong: ValidationError) -> str:
    first = wrong.errors()[0]
    if first["type"] == "json_invalid":
        return "it is not JSON"
    return f"`{'.'.join(map(str, first['loc'])) or 'the line'}`: {first['msg'].lower()}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """No other process changes the file meanwhile."""
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
