import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.planner.cost import regression
from orchestrator.planner.cost.regression import GaussianProcess, Kernel, Points, fit_kernel, fit_terms


def points(inputs: np.ndarray, *labels: list[str]) -> Points:
    return Points(inputs, tuple(tuple(each) for each in labels))


def kernel(sets: int = 1, inputs: int = 1, noise: float = 0.01) -> Kernel:
    return Kernel(np.full(sets, 0.3), np.full(sets, 1.0), np.full(inputs, 1.0), noise)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_nonnegative_least_squares_keeps_the_optimality_conditions(seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(12, 4)), random.normal(size=12)
    x = regression.nonnegative_least_squares(a, b)
    slope = a.T @ (a @ x - b)
    assert (x >= 0).all()
    assert (slope >= -1e-6).all()
    assert np.abs(slope * x).max() < 1e-6


def test_terms_are_found_again_and_a_class_may_differ() -> None:
    random = np.random.default_rng(1)
    terms = random.uniform(1, 2, size=(200, 2))
    classes = ["slow"] * 100 + ["fast"] * 100
    y = np.concatenate([terms[:100] @ [4.0, 2.0], terms[100:] @ [1.0, 2.0]])
    found = fit_terms(terms, y, classes, ridge=1e-6)
    assert found["slow"] == pytest.approx([4.0, 2.0], rel=1e-3)
    assert found["fast"] == pytest.approx([1.0, 2.0], rel=1e-3)


def test_a_class_with_few_rows_keeps_the_common_coefficients() -> None:
    random = np.random.default_rng(2)
    terms = random.uniform(1, 2, size=(101, 1))
    y = terms[:, 0] * 3.0
    y[100] = terms[100, 0] * 30.0
    found = fit_terms(terms, y, ["many"] * 100 + ["one"], ridge=100.0)
    assert found["one"] == pytest.approx(found[""], rel=0.1)


def test_one_outlier_does_not_move_the_terms() -> None:
    terms = np.linspace(1, 2, 50)[:, None]
    y = terms[:, 0] * 2.0
    y[10] *= 100
    assert fit_terms(terms, y, [""] * 50, ridge=0.0)[""] == pytest.approx([2.0], rel=0.01)


def test_a_process_goes_through_what_it_has_seen_and_doubts_the_rest() -> None:
    x = np.linspace(0, 5, 12)[:, None]
    process = GaussianProcess(kernel(), points(x, ["g"] * 12), np.sin(x[:, 0]), np.ones(12))
    mean, deviation = process.predict(points(np.array([[2.5], [50.0]]), ["g", "g"]))
    assert mean[0] == pytest.approx(np.sin(2.5), abs=0.05)
    assert deviation[1] > 5 * deviation[0]


def test_another_label_is_another_world() -> None:
    x = np.zeros((20, 1))
    process = GaussianProcess(kernel(), points(x, ["known"] * 20), np.ones(20), np.ones(20))
    mean, deviation = process.predict(points(np.zeros((2, 1)), ["known", "unknown"]))
    assert mean == pytest.approx([1.0, 0.0], abs=0.02)
    assert deviation[1] ** 2 == pytest.approx(process.kernel.variance + process.kernel.noise**2)


def test_a_measurement_that_all_others_contradict_is_doubted() -> None:
    x = np.linspace(0, 1, 21)[:, None]
    values = np.zeros(21)
    values[10] = 5.0
    known = points(x, ["g"] * 21)
    naive = GaussianProcess(kernel(noise=0.1), known, values, np.ones(21))
    trusting = GaussianProcess.trusting(kernel(noise=0.1), known, values, np.ones(21))
    assert abs(trusting.predict(known)[0][10]) < 0.1 < abs(naive.predict(known)[0][10])


def test_the_slope_of_the_likelihood_is_that_of_finite_differences() -> None:
    random = np.random.default_rng(3)
    at = points(random.normal(size=(15, 2)), ["a"] * 8 + ["b"] * 7, ["x", "y", "z"] * 5)
    values, repeats = random.normal(size=15), np.array([1.0, 2.0, 4.0] * 5)
    logs = np.log(np.array([0.5, 0.3, 0.7, 0.4, 1.2, 0.8, 0.2]))

    def likelihood(logs: np.ndarray) -> float:
        at_logs = regression._unpack(logs, 2)
        matrix = at_logs(at, at) + np.diag(at_logs.noise**2 / np.sqrt(repeats))
        return float(-0.5 * values @ np.linalg.solve(matrix, values) - 0.5 * np.linalg.slogdet(matrix)[1]) / 15

    slope = regression._likelihood_slope(regression._unpack(logs, 2), at, values, repeats)
    for j in range(len(logs)):
        step = np.zeros_like(logs)
        step[j] = 1e-5
        assert slope[j] == pytest.approx((likelihood(logs + step) - likelihood(logs - step)) / 2e-5, rel=1e-4, abs=1e-8)


def test_fitting_the_kernel_is_deterministic_and_finds_the_noise() -> None:
    random = np.random.default_rng(4)
    x = random.uniform(0, 4, size=(150, 1))
    values = np.sin(2 * x[:, 0]) + random.normal(scale=0.2, size=150)
    at = points(x, ["g"] * 150)
    first, second = (fit_kernel(at, values, np.ones(150), seed=5) for _ in range(2))
    assert first.noise == second.noise == pytest.approx(0.2, rel=0.25)
    assert first.length[0] < 2.0
