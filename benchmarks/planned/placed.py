"""Three nodes, two engines of unlike speed: does every op run where its plan put it, and take what the plan said?

The machine is measured on the workflows of :data:`benchmarks.planned.flows.CALIBRATING`, once on each engine; plans of
:data:`benchmarks.planned.flows.JUDGED` are then made with what that taught, run, and compared with. Each is planned
twice: for latency, and for cost with an SLA between what the fast and what the slow engine do. A plan that asks the
other engine everywhere is run as well: it must be slower where the plan took the fast one, else the plan was no use.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.harness.process import ROOT
from benchmarks.planned.commands import Orch
from benchmarks.planned.flows import CALIBRATING, JUDGED

MODEL: Final = ROOT / "examples" / "text2sql" / "model"
SPEEDS: Final = {"fast": 1.0, "slow": 0.4, "tools": 0.5}
"""Nodes, and the cores that each may use. The engines are on the first two."""
ENGINE_ON: Final = {"quick": "fast", "thrifty": "slow"}
USD_PER_HOUR: Final = {"fast": 1.0, "slow": 0.2, "tools": 0.1}
CORE_FLOPS: Final = 8e10
CORE_BYTES_PER_S: Final = 1e10
"""Data-sheet figures of one core with AVX2, from which predictions start before anything is measured."""


@dataclass(frozen=True)
class Executions:
    """What a plan said of ops and runs, and what they were."""

    held: int
    """Ops and runs that took what was predicted,"""
    of: int
    """of so many."""
    widths: tuple[float, ...]
    """High over low of what was predicted."""
    elsewhere: int
    """Ops that did not run where the plan put them,"""
    ops: int
    """of so many."""


def cluster_file(folder: Path, engines: Mapping[str, str]) -> Path:
    """The cluster file of the nodes, with these engines."""
    parts = [
        f'[[device]]\nname = "{name}"\nkind = "cpu"\ncores = 1\nflops = {{ fp32 = {cores * CORE_FLOPS:g}, '
        f"bf16 = {cores * CORE_FLOPS:g} }}\nmemory_bytes = 4e9\nmemory_bytes_per_s = {cores * CORE_BYTES_PER_S:g}\n"
        f"usd_per_hour = {USD_PER_HOUR[name]}\n"
        for name, cores in SPEEDS.items()
    ]
    parts += [
        f'[[engine]]\nname = "{name}"\nkind = "vllm"\nmodel = "{MODEL}"\ndevice = "{device}"\n'
        for name, device in engines.items()
    ]
    path = folder / f"{'-'.join(engines)}.toml"
    path.write_text("\n".join(parts))
    return path


def deploy(orch: Orch) -> None:
    """Start both engines on their nodes."""
    plan = orch.plan("both", cluster_file(orch.folder, ENGINE_ON), orch.folder / "both.json")
    assert {op["place"] for op in plan["ops"] if op["kind"] == "decode"} == {f"engine:{name}" for name in ENGINE_ON}
    orch("deploy", orch.folder / "both.json", "--ray-address", orch.address)


def calibrate(orch: Orch, times: int) -> None:
    """Run the calibrating workflows on each engine, and learn from them."""
    for engine, device in ENGINE_ON.items():
        cluster = cluster_file(orch.folder, {engine: device})
        for flow in CALIBRATING:
            plan = orch.folder / f"{flow}-{engine}.json"
            orch.plan(flow, cluster, plan)
            record = orch.folder / f"{flow}-{engine}-record.json"
            orch.run(flow, plan, record, times)
            orch.learn(record)


def plans(orch: Orch, flow: str) -> Iterator[Path]:
    """The fastest plan of a workflow, and the cheapest that is done before the middle of fast and slow."""
    cluster = cluster_file(orch.folder, ENGINE_ON)
    quick, cheap = orch.folder / f"{flow}-latency.json", orch.folder / f"{flow}-cost.json"
    fast = orch.plan(flow, cluster, quick, "--objective", "latency")
    slow = orch.plan(flow, cluster, cheap, "--objective", "cost")
    yield quick
    if fast["p95_s"] < slow["p95_s"]:
        sla_s = (fast["p95_s"] * slow["p95_s"]) ** 0.5
        orch.plan(flow, cluster, cheap, "--objective", "cost", "--sla", f"{sla_s:.3f}s")
    yield cheap


def executions(record: Mapping[str, Any]) -> Executions:
    """What is to be said of a record of `orch run --record`."""
    plan = record["plan"]
    predicted = {op["id"]: op for op in plan["ops"]}
    ran = [op for run in record["runs"] for op in run["ops"] if predicted[op["id"]]["place"] != "inline"]
    pairs = [(op["seconds"], predicted[op["id"]]["seconds"]) for op in ran]
    pairs += [(run["seconds"], plan["seconds"]) for run in record["runs"]]
    held = sum(said["lo"] <= seconds <= said["hi"] for seconds, said in pairs)
    widths = tuple(said["hi"] / said["lo"] for _, said in pairs if said["lo"] > 0)
    elsewhere = sum(op["place"] != predicted[op["id"]]["place"] for op in ran)
    return Executions(held, len(pairs), widths, elsewhere, len(ran))


def swapped(plan: Path) -> Path:
    """The plan with every model call at the other engine, its figures left as they are."""
    found = json.loads(plan.read_text())
    other = dict(zip(ENGINE_ON, reversed(ENGINE_ON), strict=True))
    for op in found["ops"]:
        engine = op["place"].removeprefix("engine:")
        if engine in other:
            op["place"], op["device"] = f"engine:{other[engine]}", ENGINE_ON[other[engine]]
    path = plan.with_name(plan.stem + "-wrong.json")
    path.write_text(json.dumps(found))
    return path


def measure(orch: Orch, times: int) -> tuple[list[Executions], list[float]]:
    """What the judged workflows did, and how much slower wrong plans were where the right ones took the fast engine."""
    found: list[Executions] = []
    slower: list[float] = []
    for flow in JUDGED:
        for plan in dict.fromkeys(plans(orch, flow)):
            record = orch.run(flow, plan, plan.with_name(plan.stem + "-record.json"), times)
            found.append(executions(record))
            if plan.stem.endswith("latency"):
                wrong = orch.run(flow, swapped(plan), plan.with_name(plan.stem + "-wrong-record.json"), times)
                slower.append(_middle(wrong) / _middle(record))
    return found, slower


def _middle(record: Mapping[str, Any]) -> float:
    return median(run["seconds"] for run in record["runs"])


def summary(found: Sequence[Executions]) -> dict[str, float]:
    """The figures of all of them together."""
    return {
        "as_placed": 1 - sum(each.elsewhere for each in found) / sum(each.ops for each in found),
        "inside": sum(each.held for each in found) / sum(each.of for each in found),
        "width": median([width for each in found for width in each.widths]),
    }
