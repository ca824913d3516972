"""The problems `benchmarks.planner_search` solves: random workflows, one model on 8 GPUs, a 4,096-GPU cluster.

Prices and speeds of real devices and models come from the catalogue and the roofline of ``planner/cost/call.py`` at its
expected efficiency; the random workflows are drawn from the distributions written out below.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache

from orchestrator.planner.catalogue import load
from orchestrator.planner.cluster import Device
from orchestrator.planner.cost.call import EFFICIENCY, decode_step_s, prefill_s
from orchestrator.planner.models import ModelFacts, bundled
from orchestrator.planner.placement import (
    Choice,
    Configuration,
    Link,
    Op,
    Pool,
    Problem,
    Transfer,
    Workload,
    solve,
)
from orchestrator.planner.serving import Replica
from orchestrator.planner.solver.one_model import Performance, Shape

EXPECTED = EFFICIENCY["gpu"][1]
INTERFERENCE = 1.3
"""How much longer the steps of a batch take for each prefill that runs between them, in prefills."""
MEMORY_SHARE = 0.9
"""Of a device's memory that weights and KV may fill."""


def random_workflow(seed: int, ops: int, pools: int, rate: float | None, slack: float = 1.3) -> Problem:
    """A random workflow: each op waits for 1 to 3 of the 8 ops before it, each pool has its own speed and price.

    Op sizes are log-normal, speeds span a factor of 8, prices follow speed imperfectly, each (op, pool) has an affinity
    of its own, and every pair of pools a link with a bandwidth, a latency and sometimes a price of its own. The SLA is
    ``slack`` times the shortest possible run; ``rate`` adds arrivals, which whole replicas must carry.
    """
    draw = random.Random(seed)
    speeds = [draw.uniform(1, 8) for _ in range(pools)]
    names = [f"pool{at}" for at in range(pools)]
    problem = Problem(
        pools=tuple(
            Pool(name, "random", 64, round(0.15 * speed ** draw.uniform(0.8, 1.4), 4), 300.0, 80e9)
            for name, speed in zip(names, speeds, strict=True)
        ),
        configurations=tuple(Configuration(name, name) for name in names),
        ops=tuple(_random_op(draw, at, names, speeds) for at in range(ops)),
        transfers=tuple(
            Transfer(f"op{src}", f"op{dst}", draw.lognormvariate(20, 1.5))
            for dst in range(1, ops)
            for src in sorted(draw.sample(range(max(0, dst - 8), dst), min(dst, draw.choice([1, 1, 2, 2, 3]))))
        ),
        links=tuple(
            Link(p, q, draw.choice([1e9, 3e9, 12e9, 50e9]), draw.uniform(1e-4, 1e-2), None, draw.choice([0.0, 1e-12]))
            for p in names
            for q in names
            if p != q
        ),
    )
    shortest = solve(problem, "latency", gap=1e-3).seconds
    return replace(problem, workload=Workload(rate_per_s=rate, sla_s=slack * shortest))


def _random_op(draw: random.Random, at: int, names: list[str], speeds: list[float]) -> Op:
    size = draw.lognormvariate(0, 0.8)
    seconds = [size * 8 / speed * draw.uniform(0.7, 1.4) for speed in speeds]
    return Op(f"op{at}", tuple(Choice(name, each, each) for name, each in zip(names, seconds, strict=True)))


@cache
def facts(name: str) -> ModelFacts:
    """A model that ships with the planner."""
    found = bundled(name)
    if found is None:
        raise LookupError(f"no bundled model {name!r}")
    return found


@cache
def device(name: str) -> Device:
    return load(name).device(name)


def pool_of(name: str, count: int) -> Pool:
    found = device(name)
    return Pool(name, name, count, found.usd_per_hour, found.power_w, found.memory_bytes)


def roofline(model: str, pool: Pool, shape: Shape, prompt: float, output: float) -> Performance | None:
    """One worker by the roofline; ``None`` where the weights do not fit.

    Pipeline stages work on different requests: a request pays all stages, and throughput is that of one stage.
    """
    of, on = facts(model), device(pool.device)
    room = MEMORY_SHARE * on.memory_bytes * shape.devices - of.weight_bytes
    if room <= 0:
        return None
    replica = Replica(of, on, shape.tensor)
    prefill = prefill_s(replica, prompt, 0.0, EXPECTED)
    step = decode_step_s(replica, prompt + output / 2, shape.batch, EXPECTED)
    kv_tokens = room / of.kv_bytes_per_token
    stages = shape.pipeline
    if shape.mode == "prefill":
        return Performance(prefill, 0.0, prompt * stages / prefill, kv_tokens)
    if shape.mode == "decode":
        return Performance(0.0, step, shape.batch * stages / step, kv_tokens)
    # Between two steps of a batch fall batch / output prefills of others.
    tpot = step + INTERFERENCE * shape.batch * prefill / output
    return Performance(prefill + step / 2, tpot, shape.batch * output * stages / (prefill + output * tpot), kv_tokens)


GPUS = {"h100-sxm": 1024, "a100-sxm-80gb": 1024, "a40": 768, "b200-sxm": 256, "gaudi3": 512, "mi300x": 512}
"""4,096 of 6 types."""
MODELS = ("llama-3.1-8b", "qwen3-32b", "llama-3.1-70b")
BATCHES = (16, 64)


def big_workflow(calls: int, seed: int) -> Problem:
    """``calls`` model calls, each a prefill and a decode, with a tool after every second, on 4,096 GPUs and a CPU pool.

    A call waits for 1 or 2 of the 6 calls (or their tools) before it. It may run on any type of GPU with 1, 2, 4 or 8
    devices, two batch caps, aggregated or apart, wherever the weights fit. 40 runs arrive a second.
    """
    draw = random.Random(seed)
    cpus = Pool("cpu", "x86", 2048, 0.05, 10.0, 4e9)
    pools = (*(pool_of(name, count) for name, count in GPUS.items()), cpus)
    engines: dict[str, tuple[Pool, str, Shape]] = {}
    ops: list[Op] = []
    transfers: list[Transfer] = []
    ends: list[str] = []
    for call in range(calls):
        prompt, output = draw.choice([512.0, 2048.0, 8192.0]), draw.choice([64.0, 256.0, 1024.0])
        model = draw.choice(MODELS)
        prefill, decode = _call(f"call{call}", (prompt, output), model, pools, engines)
        ops += [prefill, decode]
        awaited = draw.sample(ends[-6:], min(len(ends[-6:]), draw.choice([1, 1, 2])))
        transfers += [Transfer(before, prefill.id, 4 * output) for before in awaited]
        kv_bytes = prompt * facts(model).kv_bytes_per_token
        transfers.append(Transfer(prefill.id, decode.id, kv_bytes, pair=True))
        ends.append(decode.id)
        if call % 2:
            seconds = draw.uniform(0.05, 2.0)
            tool = Op(f"tool{call}", (Choice("cpu", seconds, seconds),))
            ops.append(tool)
            transfers.append(Transfer(decode.id, tool.id, 4 * output))
            ends.append(tool.id)
    configurations = [
        Configuration(name, pool.name, shape.devices, shape.tensor, 1, 1, shape.mode, float(shape.batch))
        for name, (pool, _, shape) in engines.items()
    ]
    names = [pool.name for pool in pools]
    problem = Problem(
        pools,
        (*configurations, Configuration("cpu", "cpu")),
        tuple(ops),
        tuple(transfers),
        tuple(Link(p, q, 2.5e10 if p == q else 1.25e10, 1e-3) for p in names for q in names),
    )
    shortest = solve(problem, "latency", gap=1e-2).seconds
    return replace(problem, workload=Workload(rate_per_s=40.0, sla_s=1.5 * shortest))


def _call(
    name: str,
    tokens: tuple[float, float],
    model: str,
    pools: tuple[Pool, ...],
    engines: dict[str, tuple[Pool, str, Shape]],
) -> tuple[Op, Op]:
    """Both halves of a call, with every way of running it; the configurations met are added to ``engines``."""
    prompt, output = tokens
    halves: dict[str, list[Choice]] = {"prefill": [], "decode": []}
    for pool in pools:
        if pool.name == "cpu":
            continue
        for tensor in (1, 2, 4, 8):
            shapes = [Shape("aggregated", tensor, batch=batch) for batch in BATCHES]
            shapes += [Shape("prefill", tensor), *(Shape("decode", tensor, batch=batch) for batch in BATCHES)]
            for shape in shapes:
                found = roofline(model, pool, shape, prompt, output)
                if found is None or found.kv_tokens < shape.batch * (prompt + output):
                    continue
                engine = f"{model}@{pool.name}:{shape}"
                engines.setdefault(engine, (pool, model, shape))
                busy_s = (prompt if shape.mode == "prefill" else output) / found.tokens_per_s
                if shape.mode in ("prefill", "aggregated"):
                    busy = busy_s if shape.mode == "prefill" else 0.0
                    halves["prefill"].append(Choice(engine, found.ttft_s, busy))
                if shape.mode in ("decode", "aggregated"):
                    halves["decode"].append(Choice(engine, output * found.tpot_s, busy_s))
    return Op(f"{name}/prefill", tuple(halves["prefill"])), Op(f"{name}/decode", tuple(halves["decode"]))
