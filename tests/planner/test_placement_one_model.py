"""One model on given devices: parallelism, batches, and prefill and decode apart."""

from __future__ import annotations

import itertools
import math

import pytest

from orchestrator.errors import PlanError
from orchestrator.planner.placement import Link, Pool
from orchestrator.planner.solver.one_model import Demand, Performance, Priced, ServingPlan, Shape, serve_model, shapes

GPU = Pool("gpu", "h100", 8, 2.0, 700.0, 80e9)
BATCHES = (1, 4, 16, 64)
REQUEST = Demand(input_tokens=2000, output_tokens=200, ttft_s=1.0, tpot_s=0.05, kv_bytes_per_token=3e5)


def made_up(interference: float, weights: float = 100e9) -> Priced:
    """A model of ``weights`` bytes whose prefills slow an aggregated worker's steps ``interference`` times."""

    def priced(pool: Pool, shape: Shape) -> Performance | None:
        room = shape.devices * pool.memory_bytes - weights
        if room <= 0:
            return None
        prefill = 0.8 / shape.tensor**0.9 * shape.pipeline**0.1
        step = 0.06 / shape.tensor**0.8 + 0.0004 * shape.batch
        kv_tokens = room / 3e5
        if shape.mode == "prefill":
            return Performance(prefill, 0.0, 2000 * shape.pipeline / prefill, kv_tokens)
        if shape.mode == "decode":
            return Performance(0.0, step, shape.batch * shape.pipeline / step, kv_tokens)
        tpot = step + interference * shape.batch * prefill / 200
        rate = shape.batch * shape.pipeline / (prefill + 200 * tpot)
        return Performance(prefill, tpot, 200 * rate, kv_tokens)

    return priced


def brute_force(pool: Pool, priced: Priced, demand: Demand, link: Link | None) -> float:
    """Most requests per second over all pairs of shapes and all counts of workers."""
    kv_bytes = demand.input_tokens * demand.kv_bytes_per_token
    best = 0.0
    usable: list[tuple[Shape, float, float]] = []
    for shape in shapes(pool, batches=BATCHES):
        found = priced(pool, shape)
        held = shape.batch * (demand.input_tokens + (0 if shape.mode == "prefill" else demand.output_tokens))
        if found is None or found.kv_tokens < held:
            continue
        if found.ttft_s > (demand.ttft_s or math.inf) or found.tpot_s > (demand.tpot_s or math.inf):
            continue
        tokens = demand.input_tokens if shape.mode == "prefill" else demand.output_tokens
        rate = found.tokens_per_s / tokens
        if link is not None and shape.mode != "aggregated":
            rate = min(rate, link.bytes_per_s * shape.devices / kv_bytes)
        usable.append((shape, rate * demand.utilisation, found.ttft_s))
    for shape, rate, _ in usable:
        if shape.mode == "aggregated":
            best = max(best, pool.count // shape.devices * rate)
    sources = [each for each in usable if each[0].mode == "prefill"]
    sinks = [each for each in usable if each[0].mode == "decode"]
    for (source, out, ttft_s), (sink, into, _) in itertools.product(sources, sinks):
        way_s = link.seconds(kv_bytes) if link is not None else 0.0
        if ttft_s + way_s > (demand.ttft_s or math.inf):
            continue
        for number in range(1, pool.count // source.devices + 1):
            left = (pool.count - number * source.devices) // sink.devices
            best = max(best, min(number * out, left * into))
    return best


@pytest.mark.parametrize("interference", [0.0, 0.3, 1.3, 3.0])
@pytest.mark.parametrize("link", [None, Link("gpu", "gpu", 5e10, 1e-3), Link("gpu", "gpu", 1e9, 1e-3)])
@pytest.mark.parametrize("count", [3, 8])
def test_no_other_workers_serve_more(interference: float, link: Link | None, count: int) -> None:
    pool = Pool("gpu", "h100", count, 2.0, 700.0, 80e9)
    priced = made_up(interference)
    plan = serve_model([pool], priced, REQUEST, links=(link,) if link else (), batches=BATCHES)
    assert plan.requests_per_s == pytest.approx(brute_force(pool, priced, REQUEST, link), rel=1e-4)
    assert plan.tokens_per_s_per_device == pytest.approx(plan.requests_per_s * 200 / count)
    assert_adds_up(plan, pool)


def assert_adds_up(plan: ServingPlan, pool: Pool) -> None:
    assert sum(each.count * each.shape.devices for each in plan.workers) <= pool.count
    assert {each.shape.mode for each in plan.workers} in ({"aggregated"}, {"prefill", "decode"})
    assert plan.ttft_s <= 1.0
    assert 0 < plan.tpot_s <= 0.05


def test_interference_decides_whether_phases_are_apart() -> None:
    link = (Link("gpu", "gpu", 5e10, 1e-3),)
    together = serve_model([GPU], made_up(0.0), REQUEST, links=link, batches=BATCHES)
    apart = serve_model([GPU], made_up(3.0), REQUEST, links=link, batches=BATCHES)
    assert {each.shape.mode for each in together.workers} == {"aggregated"}
    assert {each.shape.mode for each in apart.workers} == {"prefill", "decode"}
    # The way of the KV is part of the time to the first token only where there is one.
    assert together.ttft_s < apart.ttft_s or apart.ttft_s > 2000 * 3e5 / 5e10


def test_a_slow_link_keeps_phases_together() -> None:
    slow = (Link("gpu", "gpu", 1e8, 1e-3),)
    plan = serve_model([GPU], made_up(1.3), REQUEST, links=slow, batches=BATCHES)
    assert {each.shape.mode for each in plan.workers} == {"aggregated"}


def test_prefill_and_decode_on_different_devices() -> None:
    """One pool is only good at prefill, the other only at decode."""
    priced = made_up(1.3, weights=20e9)

    def split(pool: Pool, shape: Shape) -> Performance | None:
        fits = {"fast": ("prefill",), "wide": ("decode",)}[pool.name]
        return priced(pool, shape) if shape.mode in fits else None

    pools = [Pool("fast", "b200", 2, 3.0, 1000.0, 80e9), Pool("wide", "gaudi3", 4, 1.0, 900.0, 80e9)]
    plan = serve_model(pools, split, REQUEST, links=(Link("fast", "wide", 5e10, 1e-3),), batches=BATCHES)
    assert {(each.pool, each.shape.mode) for each in plan.workers} == {("fast", "prefill"), ("wide", "decode")}


def test_the_cheapest_way_to_serve_a_rate() -> None:
    demand = Demand(2000, 200, 1.0, 0.05, rate_per_s=1.0, kv_bytes_per_token=3e5)
    priced = made_up(0.3)
    plan = serve_model([GPU], priced, demand, objective="cost", batches=BATCHES)
    assert plan.usd_per_hour is not None
    assert plan.requests_per_s >= 1.0
    devices = round(plan.usd_per_hour / 2.0)
    # With one device less the rate cannot be reached.
    fewer = Pool("gpu", "h100", devices - 1, 2.0, 700.0, 80e9)
    assert brute_force(fewer, priced, demand, None) < 1.0


def test_a_model_that_is_too_large_and_promises_nobody_keeps() -> None:
    with pytest.raises(PlanError, match="ORCH-P052") as caught:
        serve_model([GPU], made_up(0.3, weights=700e9), REQUEST, batches=BATCHES)
    assert "fits on no worker" in str(caught.value)
    with pytest.raises(PlanError, match="ORCH-P052") as caught:
        serve_model([GPU], made_up(0.3), Demand(2000, 200, 1.0, 0.001), batches=BATCHES)
    assert "`tpot_s` 0.001 s (best" in str(caught.value)


def test_shapes_stay_within_the_pool() -> None:
    offered = list(shapes(Pool("gpu", "h100", 6, 1.0), batches=(1, 2)))
    assert {each.devices for each in offered} == {1, 2, 4}
    assert len(offered) == len({*offered}) == 6 * (2 + 1 + 2)
