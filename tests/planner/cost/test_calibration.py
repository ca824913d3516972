"""The shipped calibration, and what it is worth on measurements it has not seen."""

from dataclasses import replace

import numpy as np
import pytest

from orchestrator.planner.catalogue import load
from orchestrator.planner.cost.calibration import Measurement, Prediction, Quantity, calibrate, hash_fold
from orchestrator.planner.cost.regression import Kernel
from orchestrator.planner.cost.store import (
    AGGREGATED,
    Factors,
    data_folder,
    measurements,
    newest_day,
    of_today,
    predict,
    shipped,
)


def vllm() -> list[Measurement]:
    known = measurements(data_folder() / "measurements.csv", disaggregated=False)
    return [each for each in known if each.of.backend == "vllm"]


def kernels(quantity: Quantity) -> Kernel:
    model = shipped(False)
    return model.tpot.fit.kernel if quantity == "tpot" else model.ttft.fit.kernel


@pytest.fixture(scope="module")
def unseen() -> list[tuple[Measurement, Prediction]]:
    """Every measurement under vLLM, asked about as a plan asks of a model that has not seen its configuration."""
    known, found = vllm(), []
    folds = [hash_fold(("test", each.of.configuration), 5) for each in known]
    for fold in range(5):
        model = calibrate([each for each, its in zip(known, folds, strict=True) if its != fold], kernels)
        held = [each for each, its in zip(known, folds, strict=True) if its == fold]
        found += list(zip(held, model.predict([of_today(each.of) for each in held]), strict=True))
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_80_percent_interval_covers_80_percent_of_unseen_rows(
    unseen: list[tuple[Measurement, Prediction]],
) -> None:
    for quantity in ("ttft", "tpot"):
        inside = [getattr(seen, f"{quantity}_s") in getattr(said, quantity) for seen, said in unseen]
        assert 0.75 <= np.mean(inside) <= 0.85, quantity


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_unseen_configurations_are_predicted_within_the_target(unseen: list[tuple[Measurement, Prediction]]) -> None:
    for quantity, target in (("tpot", 0.12), ("ttft", 0.27)):
        errors = [abs(getattr(said, quantity).mid / getattr(seen, f"{quantity}_s") - 1) for seen, said in unseen]
        assert np.mean(errors) <= target, quantity


def test_what_was_never_measured_together_has_wide_bounds() -> None:
    of = next(each.of for each in vllm() if each.of.device.type == "h100-sxm")
    elsewhere = replace(of, device=load("gb300").device("d"))
    [near, far] = predict([of, elsewhere])
    assert (near.measured, far.measured) == (True, False)
    for quantity in ("ttft", "tpot"):
        narrow, wide = getattr(near, quantity), getattr(far, quantity)
        assert wide.hi / wide.lo > narrow.hi / narrow.lo


def test_predictions_do_not_depend_on_what_else_is_asked() -> None:
    some = [each.of for each in vllm()[:7]]
    together = predict(some)
    for of, expected in zip(some, together, strict=True):
        [alone] = predict([of])
        assert alone.tpot.bounds == pytest.approx(expected.tpot.bounds)
        assert alone.ttft.bounds == pytest.approx(expected.ttft.bounds)


def test_aggregated_and_disaggregated_rows_keep_their_order() -> None:
    agg = vllm()[0].of
    apart = measurements(data_folder() / "measurements.csv", disaggregated=True)[0].of
    mixed = predict([agg, apart, agg])
    assert mixed[0].tpot.bounds == pytest.approx(mixed[2].tpot.bounds)
    assert mixed[1].tpot.mid != mixed[0].tpot.mid


def test_factors_survive_their_file() -> None:
    model = shipped(False)
    stored = Factors.of("here", {AGGREGATED: model})
    again = Factors.model_validate_json(stored.to_json())
    before, after = stored.fits[AGGREGATED]["tpot"], again.fits[AGGREGATED]["tpot"]
    assert after.stretch == pytest.approx(before.stretch, rel=1e-5)
    for term, value in before.coefficients["vllm"].items():
        assert after.coefficients["vllm"][term] == pytest.approx(value, rel=1e-5)


def test_today_is_the_newest_measurement() -> None:
    assert newest_day("vllm") > 400
    assert newest_day("nobody") == 0.0
