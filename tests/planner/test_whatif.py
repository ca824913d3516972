"""Scenarios: reading them, and what they do to a cluster."""

from __future__ import annotations

import pytest

from orchestrator.errors import UsageError
from orchestrator.planner.catalogue import load
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.whatif import Change, changed_cluster, parse
from tests.planner.clusters import cpu, gpu

MAIN = EngineSpec(name="main", kind="vllm", model="m", device="gpu")
CLUSTER = Cluster(devices=(cpu(), gpu(count=2), gpu(name="spare", memory_bytes=7e9)), engines=(MAIN,))


def test_every_key_is_read() -> None:
    text = "device=h100-sxm, count=4,rate=2.5 ,price=1.9"
    assert parse(text) == Change(text, "h100-sxm", 4, 2.5, 1.9)
    assert parse("rate=1") == Change("rate=1", rate_per_s=1.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "keys are device, count, rate, price"),
        ("count", "keys are"),
        ("cout=4", "did you mean `count=`?"),
        ("gpus=4", "keys are"),
        ("count=4,count=5", "twice"),
        ("count=0", "above 0"),
        ("count=2.5", "whole number"),
        ("count=many", "above 0"),
        ("rate=-1", "above 0"),
        ("rate=nan", "above 0"),
        ("price=inf", "above 0"),
        ("device=,rate=1", "no device ''"),
        ("device=h100", "did you mean `device=h100-"),
        ("device=x86", "cores"),
    ],
)
def test_what_cannot_be_applied_is_a_usage_error_that_says_what_can(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        changed_cluster(CLUSTER, parse(text))
    assert caught.value.code == "ORCH-U022"
    assert says in str(caught.value)
    assert repr(text) in caught.value.message


def test_the_devices_under_the_engines_change_and_no_others() -> None:
    made = changed_cluster(CLUSTER, parse("device=h200-sxm,count=3"))
    assert made.engines == CLUSTER.engines
    assert made.device("cpu") == CLUSTER.device("cpu")
    assert made.device("spare") == CLUSTER.device("spare")
    assert made.device("gpu") == load("h200-sxm").device("gpu", count=3)


def test_the_count_stays_and_the_price_is_the_new_devices() -> None:
    made = changed_cluster(CLUSTER, parse("device=h200-sxm")).device("gpu")
    assert made.count == 2
    assert made.usd_per_hour == load("h200-sxm").device("x").usd_per_hour
    assert changed_cluster(CLUSTER, parse("device=spare")).device("gpu").memory_bytes == 7e9


def test_a_price_says_where_it_comes_from() -> None:
    made = changed_cluster(CLUSTER, parse("price=1.9")).device("gpu")
    assert made.usd_per_hour == 1.9
    assert made.sources["usd_per_hour"] == "--what-if"


def test_a_rate_leaves_the_cluster_alone() -> None:
    assert changed_cluster(Cluster(), parse("rate=2")) == Cluster()


def test_a_cluster_without_devices_under_engines_has_nothing_to_change() -> None:
    with pytest.raises(UsageError) as caught:
        changed_cluster(Cluster(devices=(gpu(),)), parse("count=2"))
    assert "no engine" in caught.value.message
    assert "--cluster" in (caught.value.diagnostics[0].fix or "")


def test_a_gpu_is_added_beside_the_cpu_that_runs_the_tools() -> None:
    here = Cluster(devices=(cpu(), gpu(name="l4")), engines=(MAIN.model_copy(update={"device": "cpu"}),))
    made = changed_cluster(here, parse("device=l4"))
    assert [each.name for each in made.devices] == ["cpu", "round", "l4"]
    assert made.engine("main").device == "round"
    other = changed_cluster(here, parse("device=l40s,count=3"))
    assert other.engine("main").device == "l40s"
    assert other.device("l40s").count == 3
    assert other.device("cpu") == here.device("cpu")
