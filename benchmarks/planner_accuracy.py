"""How far predicted TTFT and TPOT are from measurements that the fit has not seen, beside aiconfigurator.

    python -m benchmarks.planner_accuracy [--quick] [--rows FILE.csv] [--no-peer] [--json FILE]

Rows are measurements published by ai-dynamo/aiconfigurator, by default those that ship with the planner. In the cases
``configuration/...`` every fifth *configuration* (model, device, backend, precision, lengths, load and parallelism; all
its repeats together) is held out in turn; in ``group/...`` every (model, device,
backend) group is, one thirteenth of them at a time; in ``device/...`` every GPU. Everything is fitted anew to what
remains (hyperparameters in the first fold of a case only), and asked as `orch plan serve` and siting ask: about today,
without the campaign and the day of the row. ``dense`` rows are those of models without experts. ``agg`` rows are one
server, ``disagg`` rows separate prefill and decode workers, most of which do not say how many workers there were.
``coverage`` is the share of held-out measurements inside their 80 % interval. ``peer/agg`` are the aggregated rows that
aiconfigurator was asked about: it predicts without being fitted to any of them, and a refusal counts as an error of
100 %. It takes about a second a row, half an hour in all: ``--peer-answers FILE`` keeps its answers, and reads them
where the file exists.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.harness.machine import describe, versions
from benchmarks.harness.record import FOLDER, OURS, Report, Result, Skip
from benchmarks.harness.venvs import VenvError, default_root, venv_python
from orchestrator.planner.cost.calibration import Measurement, Prediction, calibrate, hash_fold
from orchestrator.planner.cost.regression import Kernel
from orchestrator.planner.cost.rows import Row, labelled, read_rows
from orchestrator.planner.cost.store import data_folder, of_today

DEFAULT_ROWS = data_folder() / "measurements.csv"
PEER = "aiconfigurator"
PEER_REQUIREMENTS = ("aiconfigurator==0.12.0",)
CONFIGURATION_FOLDS, GROUP_FOLDS = 5, 13
SEED = 2026
PEER_TIMEOUT_S = 3000
QUICK_PEER_ROWS = 40
"""It takes about a second each."""


def folds_of(measurements: Sequence[Measurement], held: str) -> list[int]:
    """The fold of each measurement, when whole configurations, groups or devices are held out."""
    if held == "configuration":
        return [hash_fold((SEED, each.of.configuration), CONFIGURATION_FOLDS) for each in measurements]
    if held == "device":
        devices = sorted({each.of.device.type for each in measurements})
        return [devices.index(each.of.device.type) for each in measurements]
    groups = sorted({each.of.group for each in measurements})
    return [groups.index(each.of.group) % GROUP_FOLDS for each in measurements]


def held_out(measurements: Sequence[Measurement], held: str, *, quick: bool) -> dict[int, Prediction]:
    """A prediction of each measurement (by index) by a model that was fitted without its fold."""
    folds = np.array(folds_of(measurements, held))
    kernels: dict[str, Kernel] = {}
    found: dict[int, Prediction] = {}
    for fold in sorted(set(folds.tolist()))[: 2 if quick else None]:
        known = [each for each, its in zip(measurements, folds, strict=True) if its != fold]
        model = calibrate(known, kernels.get)
        kernels = {"tpot": model.tpot.fit.kernel, "ttft": model.ttft.fit.kernel}
        asked = np.flatnonzero(folds == fold).tolist()
        said = model.predict([of_today(measurements[i].of) for i in asked])
        found.update(zip(asked, said, strict=True))
    return found


def results_of(case: str, measurements: Sequence[Measurement], found: dict[int, Prediction]) -> list[Result]:
    """Error and coverage over all rows, over those of dense models, and over those of each backend."""
    results: list[Result] = []
    parts = {case: list(found), f"{case}/dense": [i for i in found if not measurements[i].of.facts.experts]}
    for backend in sorted({measurements[i].of.backend for i in found}):
        parts[f"{case}/{backend}"] = [i for i in found if measurements[i].of.backend == backend]
    for quantity in ("tpot", "ttft"):
        for name, rows in parts.items():
            if not rows:
                continue
            truth = np.array([getattr(measurements[i], f"{quantity}_s") for i in rows])
            intervals = [getattr(found[i], quantity) for i in rows]
            errors = np.abs(np.array([each.mid for each in intervals]) / truth - 1)
            inside = [each.lo <= seen <= each.hi for each, seen in zip(intervals, truth, strict=True)]
            results += _errors(name, OURS, quantity, errors)
            results.append(_result(name, OURS, f"{quantity}_coverage", float(np.mean(inside)), len(rows)))
    return results


def _errors(case: str, arm: str, quantity: str, errors: np.ndarray) -> list[Result]:
    n = len(errors)
    return [
        _result(case, arm, f"{quantity}_mape", float(errors.mean()), n),
        _result(case, arm, f"{quantity}_median", float(np.median(errors)), n),
    ]


def _result(case: str, arm: str, metric: str, value: float, n: int) -> Result:
    return Result(case=case, arm=arm, metric=metric, value=round(value, 4), unit="share", n=n)


Answer = tuple[float, float] | str
"""TTFT and TPOT in seconds, or a refusal."""


def peer_answers(rows: Path, wanted: set[str], kept: Path | None) -> dict[str, Answer]:
    """aiconfigurator's answer to each wanted row: from the file of kept ones, if there is one, else by asking it."""
    if kept is not None and kept.exists():
        return {name: answer for name, answer in _read_answers(kept).items() if name in wanted}
    python = venv_python(default_root(), PEER, PEER_REQUIREMENTS)
    with tempfile.TemporaryDirectory() as folder:
        some, out = Path(folder) / "rows.csv", Path(folder) / "out.csv"
        with rows.open(newline="") as source, some.open("w", newline="") as target:
            reader = csv.DictReader(source)
            writer = csv.DictWriter(target, list(reader.fieldnames or ()))
            writer.writeheader()
            writer.writerows(row for row in reader if row["id"] in wanted)
        script = Path(__file__).parent / "arms" / "aiconfigurator_arm.py"
        subprocess.run(
            [str(python), str(script), str(some), str(out)], check=True, timeout=PEER_TIMEOUT_S, capture_output=True
        )
        if kept is not None:
            shutil.copyfile(out, kept)
        return _read_answers(out)


def _read_answers(path: Path) -> dict[str, Answer]:
    with path.open(newline="") as answers:
        return {
            row["id"]: row["refusal"] or (float(row["ttft_ms"]) / 1e3, float(row["tpot_ms"]) / 1e3)
            for row in csv.DictReader(answers)
        }


def peer_results(rows: Sequence[Row], answers: dict[str, Answer]) -> list[Result]:
    """Errors over the rows asked, refusals counted as 1, and over the rows answered."""
    results: list[Result] = []
    asked = [row for row in rows if row.id in answers]
    for backend in (None, *sorted({row.deployment.backend for row in asked})):
        chosen = [row for row in asked if backend in (None, row.deployment.backend)]
        case = f"peer/agg/{backend}" if backend else "peer/agg"
        for place, quantity in ((1, "tpot"), (0, "ttft")):
            errors, answered = [], []
            for row in chosen:
                answer = answers[row.id]
                truth = row.tpot_s if quantity == "tpot" else row.ttft_s
                assert truth is not None
                errors.append(1.0 if isinstance(answer, str) else abs(answer[place] / truth - 1))
                if not isinstance(answer, str):
                    answered.append(errors[-1])
            results += _errors(case, PEER, quantity, np.array(errors))
            if answered:
                results += _errors(f"{case}/answered", PEER, quantity, np.array(answered))
        refused = sum(isinstance(answers[row.id], str) for row in chosen)
        results.append(_result(case, PEER, "refused", refused / len(chosen), len(chosen)))
    return results


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planner_accuracy", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"two folds a case; {QUICK_PEER_ROWS} rows for the peer")
    parser.add_argument("--rows", type=Path, default=DEFAULT_ROWS)
    parser.add_argument("--no-peer", action="store_true", help="leave aiconfigurator out")
    parser.add_argument("--peer-answers", type=Path, metavar="FILE", help="where aiconfigurator's answers are kept")
    parser.add_argument(
        "--json", type=Path, default=FOLDER / "planner_accuracy.json", metavar="FILE", help="default: %(default)s"
    )
    options = parser.parse_args(argv)
    machine = describe()
    rows = [row for row, _, _ in labelled(read_rows(options.rows))]
    results: list[Result] = []
    skipped: list[Skip] = []
    agg_found: dict[int, Prediction] = {}
    ways = {
        "agg": [r for r in rows if not r.deployment.disaggregated],
        "disagg": [r for r in rows if r.deployment.disaggregated],
    }
    for way, chosen in ways.items():
        measurements = [Measurement(r.deployment, r.ttft_s or 0.0, r.tpot_s or 0.0) for r in chosen]
        for held in ("configuration", "group", "device"):
            found = held_out(measurements, held, quick=options.quick)
            those = results_of(f"{held}/{way}", measurements, found)
            results += those
            for result in those:
                print(
                    f"{result.case:<32} {result.arm:<16} {result.metric:<14} {result.value:8.3f}  n={result.n}",
                    flush=True,
                )
            if (held, way) == ("configuration", "agg"):
                agg_found = found
    if not options.no_peer:
        some = [ways["agg"][i] for i in sorted(agg_found)]
        some = some[:: max(len(some) // QUICK_PEER_ROWS, 1)] if options.quick else some
        try:
            answers = peer_answers(options.rows, {row.id for row in some}, options.peer_answers)
            results += peer_results(some, answers)
        except (VenvError, subprocess.SubprocessError) as failed:
            skipped.append(Skip(arm=PEER, case="peer/agg", reason=str(failed)[:200]))
    for result in results:
        if result.arm == PEER:
            print(f"{result.case:<32} {result.arm:<16} {result.metric:<14} {result.value:8.3f}  n={result.n}")
    Report(
        benchmark="planner_accuracy",
        quick=options.quick,
        command="python -m benchmarks.planner_accuracy" + (" --quick" if options.quick else ""),
        machine=machine.finished(),
        versions=versions("orchestrator", "numpy") | {PEER: "0.12.0"},
        seeds={"folds": SEED},
        results=results,
        skipped=skipped,
    ).write(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
