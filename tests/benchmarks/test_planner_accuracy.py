"""The rows of the accuracy benchmark are held out by what a plan would not have seen."""

from benchmarks.planner_accuracy import folds_of, results_of
from orchestrator.planner.cost.calibration import Measurement, Prediction
from orchestrator.planner.cost.store import data_folder, measurements
from orchestrator.planner.interval import Interval


def known() -> list[Measurement]:
    return measurements(data_folder() / "measurements.csv", disaggregated=False)[::20]


def test_no_configuration_group_or_device_lies_in_two_folds() -> None:
    rows = known()
    for held in ("configuration", "group", "device"):
        folds: dict[object, set[int]] = {}
        for each, fold in zip(rows, folds_of(rows, held), strict=True):
            key = each.of.device.type if held == "device" else getattr(each.of, held)
            folds.setdefault(key, set()).add(fold)
        assert all(len(its) == 1 for its in folds.values())
        assert len(set.union(*folds.values())) > 1


def test_dense_models_have_figures_of_their_own() -> None:
    rows = known()
    found = {
        i: Prediction(
            Interval.exact(each.ttft_s), Interval.exact(each.tpot_s * (1 if each.of.facts.experts else 2)), True
        )
        for i, each in enumerate(rows)
    }
    figures = {(each.case, each.metric): each for each in results_of("c", rows, found)}
    dense = sum(not each.of.facts.experts for each in rows)
    assert figures["c/dense", "tpot_mape"].value == 1.0
    assert figures["c/dense", "tpot_mape"].n == dense
    assert figures["c", "tpot_mape"].value == round(dense / len(rows), 4)
