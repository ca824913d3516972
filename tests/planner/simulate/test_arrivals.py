"""Arrivals have the rate and burstiness asked for, and drawn programs are the templates'."""

from __future__ import annotations

from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import PlanError
from orchestrator.planner.simulate.arrivals import draw, fit_arrivals, gamma_arrivals, replay
from orchestrator.planner.simulate.program import Program, Stage


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.0, 3.0])
def test_fitting_finds_what_was_generated(cv: float) -> None:
    fit = fit_arrivals(list(islice(gamma_arrivals(4.0, cv, seed=2), 30_000)))
    assert fit.rate_per_s == pytest.approx(4.0, rel=0.06)
    assert fit.cv == pytest.approx(cv, rel=0.05, abs=1e-6)
    assert not fit.coarse


@pytest.mark.parametrize("cv", [1.0, 2.0])
def test_fitting_timestamps_in_steps_of_three_seconds(cv: float) -> None:
    """Their gaps say nothing: most are 0. Counts in windows do."""
    times = [3.0 * (time_s // 3.0) for time_s in islice(gamma_arrivals(4.0, cv, seed=3), 40_000)]
    fit = fit_arrivals(times)
    assert fit.coarse
    assert fit.cv == pytest.approx(cv, rel=0.15)


@given(st.integers(0, 2**32), st.floats(0.1, 100), st.floats(0, 5))
def test_arrivals_ascend_and_depend_on_the_seed_alone(seed: int, rate_per_s: float, cv: float) -> None:
    times = list(islice(gamma_arrivals(rate_per_s, cv, seed, start_s=10.0), 50))
    assert times == list(islice(gamma_arrivals(rate_per_s, cv, seed, start_s=10.0), 50))
    assert all(before <= after for before, after in pairwise([10.0, *times]))


@pytest.mark.parametrize(("rate_per_s", "cv"), [(0.0, 1.0), (-1.0, 1.0), (1.0, -0.1), (float("nan"), 1.0)])
def test_impossible_arrivals(rate_per_s: float, cv: float) -> None:
    with pytest.raises(PlanError) as caught:
        gamma_arrivals(rate_per_s, cv, seed=1)
    assert caught.value.code == "ORCH-P070"


@pytest.mark.parametrize("times", [[], [1.0, 2.0], [1.0, 1.0, 1.0], [1.0, 3.0, 2.0, 4.0]])
def test_too_little_to_fit(times: list[float]) -> None:
    with pytest.raises(PlanError) as caught:
        fit_arrivals(times)
    assert caught.value.code == "ORCH-P071"


TEMPLATES = [
    Program(5, 0.0, (Stage(100, 9, prefix_ids=(7, -1, -2)), Stage(50, 3, after=(0,), prefix_ids=(7, -1))), slo_s=3.0),
    Program(6, 0.0, (Stage(10, 1),)),
]


def test_private_prefixes_of_two_instances_differ_and_public_ones_do_not() -> None:
    drawn = list(draw(TEMPLATES, gamma_arrivals(1.0, 1.0, seed=1), 50, seed=1))
    assert [program.id for program in drawn] == list(range(50))
    private: set[int] = set()
    for program in drawn:
        if len(program.stages) == 2:
            one, two = (stage.prefix_ids for stage in program.stages)
            assert one[0] == two[0] == 7
            assert one[1] == two[1] < 0
            assert not private & set(one[1:])
            private |= set(one[1:])
    assert len(private) > 20


def test_drawing_is_deterministic_and_sets_the_slo() -> None:
    times = [1.0, 2.0, 4.0]
    assert list(draw(TEMPLATES, times, 9, seed=3)) == list(draw(TEMPLATES, times, 9, seed=3))
    assert {program.slo_s for program in draw(TEMPLATES, times, 9, seed=3, slo_s=2.5)} == {2.5}
    with pytest.raises(PlanError) as caught:
        draw([], times, 9, seed=3)
    assert caught.value.code == "ORCH-P072"


def test_replaying_faster_brings_arrivals_closer() -> None:
    (program,) = replay([Program(0, 9.0, (Stage(1, 1, tool_s=2.0),), slo_s=5.0)], speedup=3.0)
    assert (program.arrival_s, program.stages[0].tool_s, program.slo_s) == (3.0, 2.0, 5.0)
