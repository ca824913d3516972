"""Two A100 80GB, an RTX A6000 and an L40S, each a replica of Qwen3-32B with INT8 weights and activations.

INT8 is the one dtype that all three have arithmetic for and in which the model fits on 48 GB. Speeds are the planner's
roofline at its expected efficiency, from the catalogue's data sheets; none of it is measured::

             weights a step   prefill        KV room
    a100     24 ms            4,290 tok/s    169,900 tokens
    l40s     54 ms            5,030 tok/s     40,900 tokens
    a6000    61 ms            2,130 tok/s     51,900 tokens
"""

from __future__ import annotations

from dataclasses import replace

from orchestrator.planner.catalogue import load
from orchestrator.planner.models import ModelFacts, bundled
from orchestrator.planner.serving import Replica
from orchestrator.planner.simulate.speed import ReplicaSpec, roofline_speed

MODEL = "Qwen/Qwen3-32B"
DEVICES = (("a100-0", "a100-pcie-80gb"), ("a100-1", "a100-pcie-80gb"), ("a6000", "rtx-a6000"), ("l40s", "l40s"))


def model() -> ModelFacts:
    """The model as served."""
    facts = bundled(MODEL)
    assert facts is not None
    return replace(facts, weight_dtype="int8")


def cluster() -> tuple[ReplicaSpec, ...]:
    """One replica a device."""
    return tuple(_replica(name, kind) for name, kind in DEVICES)


def _replica(name: str, kind: str) -> ReplicaSpec:
    facts, device = model(), load(kind).device(name)
    return ReplicaSpec(
        name,
        roofline_speed(facts, device),
        Replica(facts, device).kv_blocks(16),
        kv_bytes_per_token=facts.kv_bytes_per_token,
        link_bytes_per_s=device.pcie_bytes_per_s or device.link_bytes_per_s or 1e9,
    )
