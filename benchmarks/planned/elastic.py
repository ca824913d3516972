"""Replicas that are added, removed and killed while runs are under way: what is lost, and how soon all is well again.

One command runs a workflow many times, a few runs at once, on a deployment of two replicas. Meanwhile another plan
makes them three, the first plan makes them two again, and then the node of one of them loses its power; a third node
has room.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.planned.commands import Orch
from benchmarks.planned.nodes import Nodes
from benchmarks.planned.placed import CORE_BYTES_PER_S, CORE_FLOPS, MODEL

FLOW: Final = "interview"
AT_ONCE: Final = 6
CORES: Final = 1.0
"""Of each node; an engine that starts takes all of one."""
SETTLED: Final = 1.25
"""Runs take no more than that times their usual p95 when all is well again."""
WINDOW_S: Final = 5.0
"""Runs that end so close to each other are looked at together."""


@dataclass(frozen=True)
class Ended:
    """A run that is over."""

    at_s: float
    """Seconds since the epoch."""
    seconds: float
    done: bool


@dataclass(frozen=True)
class Told:
    """What happened while the runs went on."""

    runs: int
    lost: int
    usual_p95_s: float
    """Of runs that ended before anything was changed."""
    served_again_s: float | None
    """From the kill until runs took no longer than is usual; None: they never did."""
    capacity_again_s: float | None
    """From the kill until there were as many replicas as before; None: there never were."""


def cluster_file(folder: Path, replicas: int) -> Path:
    """Three devices of one kind, and an engine of so many replicas."""
    path = folder / f"elastic-{replicas}.toml"
    path.write_text(
        f'[[device]]\nname = "node"\nkind = "cpu"\ncores = 1\ncount = 3\nnode_devices = 1\n'
        f"flops = {{ fp32 = {CORES * CORE_FLOPS:g}, bf16 = {CORES * CORE_FLOPS:g} }}\nmemory_bytes = 4e9\n"
        f"memory_bytes_per_s = {CORES * CORE_BYTES_PER_S:g}\nusd_per_hour = 1.0\n\n"
        f'[[engine]]\nname = "all"\nkind = "vllm"\nmodel = "{MODEL}"\ndevice = "node"\n'
        f"options = {{ replicas = {replicas} }}\n"
    )
    return path


def play(orch: Orch, nodes: Nodes, runs: int) -> Told:
    """Run, scale, kill; ``nodes`` are ``node-0`` to ``node-2``."""
    two, three = (orch.folder / f"elastic-{count}.json" for count in (2, 3))
    orch.plan(FLOW, cluster_file(orch.folder, 2), two)
    orch.plan(FLOW, cluster_file(orch.folder, 3), three)
    orch("deploy", two, "--ray-address", orch.address)
    store = orch.folder / "elastic.db"
    load = orch.start(FLOW, two, runs, AT_ONCE, store)
    try:
        _wait_for(orch, store, load, runs // 6)
        before = len(ended(orch, store, runs))
        orch("deploy", three, "--ray-address", orch.address)
        _wait_for(orch, store, load, runs // 3)
        orch("deploy", two, "--ray-address", orch.address)
        _wait_for(orch, store, load, runs // 2)
        nodes.kill(nodes.of(status(orch)[0]["pid"]))
        killed_s = time.time()
        again_s = _until_capacity(orch, 2, killed_s)
        load.wait(timeout=orch.timeout_s)
    finally:
        load.kill()
    found = sorted(ended(orch, store, runs), key=lambda each: each.at_s)
    usual = percentile([each.seconds for each in found[:before]], 0.95)
    lost = runs - sum(each.done for each in found)
    return Told(runs, lost, usual, served_again_s(found, killed_s, usual), again_s)


def ended(orch: Orch, store: Path, most: int) -> list[Ended]:
    """The runs of a store that are over."""
    listed = json.loads(orch("runs", "list", "--store", store, "--limit", min(most, 1000), "--json"))["runs"]
    over = [run for run in listed if run["status"] in ("done", "failed", "cancelled")]
    return [Ended(run["updated_at"], run["updated_at"] - run["created_at"], run["status"] == "done") for run in over]


def served_again_s(found: Sequence[Ended], killed_s: float, usual_p95_s: float) -> float | None:
    """Seconds from the kill to the first window from which on p95 is as usual, in this and all later ones."""
    after = [each for each in found if each.at_s > killed_s]
    if not after:
        return None
    windows: dict[int, list[float]] = {}
    for each in after:
        windows.setdefault(int((each.at_s - killed_s) // WINDOW_S), []).append(each.seconds)
    late = [number for number, seconds in windows.items() if percentile(seconds, 0.95) > SETTLED * usual_p95_s]
    if not late:
        return 0.0
    return (max(late) + 1) * WINDOW_S if max(late) < max(windows) else None


def percentile(seconds: Sequence[float], share: float) -> float:
    """Nearest rank."""
    ascending = sorted(seconds)
    return ascending[min(int(share * len(ascending)), len(ascending) - 1)]


def status(orch: Orch) -> list[dict[str, Any]]:
    """The replicas that serve."""
    found: list[dict[str, Any]] = json.loads(orch("deploy", "--json", "--ray-address", orch.address))["replicas"]
    return found


def _wait_for(orch: Orch, store: Path, load: subprocess.Popen[str], over: int) -> None:
    while load.poll() is None and len(ended(orch, store, 1000)) < over:
        time.sleep(1.0)


def _until_capacity(orch: Orch, replicas: int, since_s: float) -> float | None:
    while time.time() - since_s < orch.timeout_s:
        if len(status(orch)) >= replicas:
            return time.time() - since_s
        time.sleep(1.0)
    return None
