"""The compile benchmark's workflow and its arithmetic."""

import time

import pytest

from benchmarks.arms.compile_arm import count_ops, stages_for
from benchmarks.arms.reference_work import reference_work, with_ratio
from benchmarks.arms.sample_workflow import build
from benchmarks.compile import results_of


def test_the_sample_workflow_holds_every_kind_of_op_and_grows_linearly() -> None:
    small, large = build(16).trace().module, build(32).trace().module
    text = str(small)
    kinds = ("prompt", "generate", "tool", "field", "branch", "loop", "map")
    assert [kind for kind in kinds if f"agent.{kind}" not in text] == []
    assert count_ops(large) == pytest.approx(2 * count_ops(small), rel=0.05)


def test_the_wanted_number_of_ops_is_reached_and_hardly_passed() -> None:
    ops = count_ops(build(stages_for(300)).trace().module)
    assert 300 <= ops <= 330


def test_the_ratio_is_of_cpu_time_whatever_the_machine_does_meanwhile() -> None:
    result, seconds, ratio = with_ratio(lambda: [reference_work() for _ in range(4)])
    assert len(set(result)) == 1
    assert seconds > 0
    assert 1 < ratio < 16
    _, slept, ratio = with_ratio(lambda: time.sleep(0.5))
    assert slept < 0.5
    assert ratio < 1


def test_medians_and_growth() -> None:
    samples = {
        10: [{"ops": 10, "seconds": s, "cached_seconds": 0.001, "reference_ratio": 4.0} for s in (1.0, 3.0, 2.0)],
        100: [{"ops": 100, "seconds": 20.0, "cached_seconds": 0.001}],
    }
    found = {(r.case, r.metric): r for r in results_of(samples)}
    assert found["ops=10", "seconds"].value == 2.0
    assert (found["ops=10", "seconds"].low, found["ops=10", "seconds"].high) == (1.0, 3.0)
    assert (found["ops=10", "reference_ratio"].unit, found["ops=10", "seconds"].unit) == ("ratio", "s")
    assert found["growth", "growth_exponent"].value == 1.0
