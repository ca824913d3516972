"""The scale benchmark's load and its output."""

from __future__ import annotations

import json
from itertools import islice

import pytest

from benchmarks import planner_scale
from benchmarks.arms import simulate_arm


def test_the_cluster_mixes_three_devices() -> None:
    kinds = {spec.name.rsplit("-", 1)[0] for spec in simulate_arm.cluster(8)}
    assert kinds == {"a100-sxm-80gb", "rtx-a6000", "l40s"}


def test_the_load_is_a_stream_that_depends_on_its_seed_alone() -> None:
    first = list(islice(simulate_arm.requests(10**12, 100.0, 1), 2000))
    assert first == list(islice(simulate_arm.requests(10**12, 100.0, 1), 2000))
    assert first != list(islice(simulate_arm.requests(10**12, 100.0, 2), 2000))
    shared = sum(bool(program.stages[0].prefix_ids) for program in first) / len(first)
    assert shared == pytest.approx(1 / 3, abs=0.05)


def test_one_small_simulation(capsys: pytest.CaptureFixture[str]) -> None:
    simulate_arm.main(["300", "4", "critical-path+laxity", "1"])
    figures = json.loads(capsys.readouterr().out)
    assert figures["seconds"] > 0
    assert figures["steps"] > 300
    assert 0 < figures["slo_attainment"] <= 1


def test_results_name_sizes_and_compare_memory() -> None:
    found = {
        "seconds": 2.0, "cpu_seconds": 1.5, "peak_rss_mib": 100.0, "simulated_s": 9.0, "steps": 5, "tokens": 7,
        "mean_batch": 1.0, "p95_s": 0.5,
    }  # fmt: skip
    results = planner_scale.results_of("orchestrator", 10, {100: found, 400: {**found, "peak_rss_mib": 110.0}})
    by = {(result.case, result.metric): result.value for result in results}
    assert by["requests=400,replicas=10", "rss_ratio"] == 1.1
    assert by["requests=100,replicas=10", "seconds"] == 2.0
