"""What the seconds of an op go into, and how many such calls an engine holds at once.

A model call's middle estimate is split by the roofline it rests on: for the prefill and for each decode step the larger
of arithmetic and weight traffic, on top of that the KV cache that attention reads and what crosses the links. Rates are
peaks times the usual share of them (:data:`ACHIEVED`), so the split is of the *shape* of the call; what no rate
explains is ``host overhead``: scheduling, kernel launches, tokenising. The parts always add up to the estimate.

====================  ==============================================================================================
``prefill compute``   arithmetic of the prompt's new tokens
``prefill weights``   reading the weights once, where that takes longer than the arithmetic
``decode weights``    reading the weights once for each output token
``decode compute``    arithmetic of the output tokens, where that takes longer
``KV reads``          attention over the context, for each output token and sample
``links``             exchanging activations between the devices that split the model
``host overhead``     the rest of a model call
``service``           a model call about whose hardware nothing is known
``waiting``           for a busy engine
``tool``              a tool or a retrieval, its dispatch included
``person``            a human answering
``sleep``             a sleep of the workflow's
``event loop``        bookkeeping
====================  ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orchestrator.planner.cluster import DeviceKind
from orchestrator.planner.cost.call import call_cost
from orchestrator.planner.dataflow import REGIONS
from orchestrator.planner.interval import Interval
from orchestrator.planner.plan import OpPlan, Plan
from orchestrator.planner.serving import Replica, Serving

ACHIEVED: Final = 0.6
"""Share of a peak, of arithmetic as of bandwidth, that serving engines usually reach."""
MAX_SEQUENCES: Final = 256
"""Sequences in one batch unless the engine's ``max_num_seqs`` says otherwise: vLLM's default on most GPUs."""
ASSUMED_LINK_BYTES_PER_S: Final[dict[DeviceKind, float]] = {"gpu": 1.6e10, "cpu": 1e10}
"""Where a device's link is unknown: PCIe 3.0 x16; two sockets."""

SHARED: Final = frozenset({"prefill weights", "decode weights", "links", "host overhead"})
"""Paid once for everything that is in the batch; the other parts of a model call are paid by each call."""
PREFILL: Final = frozenset({"prefill compute", "prefill weights"})


def spent(op: OpPlan, serving: Serving | None, samples: int = 1) -> dict[str, float]:
    """``op.seconds.mid`` by what takes it, largest first; empty for a region op.

    ``serving`` is the engine that answers it, ``None`` for anything but a model call; ``samples`` replies share the
    prompt.
    """
    whole = op.seconds.mid
    if op.kind in REGIONS or whole <= 0:
        return {}
    if op.kind != "decode":
        kinds = {"tool": "tool", "retrieve": "tool", "ask": "person", "sleep": "sleep"}
        return {kinds.get(op.kind, "event loop"): whole}
    if serving is None or serving.replica is None:
        return {"service": whole}
    parts = _roofline_s(op, serving.replica, samples)
    explained = sum(parts.values())
    if explained > whole:
        parts = {name: seconds * whole / explained for name, seconds in parts.items()}
    else:
        parts["host overhead"] = whole - explained
    return dict(sorted(((k, v) for k, v in parts.items() if v > 0), key=lambda part: -part[1]))


def _roofline_s(op: OpPlan, replica: Replica, samples: int) -> dict[str, float]:
    """Seconds of each part, at :data:`ACHIEVED` times the peaks."""
    facts, device = replica.facts, replica.device
    peaks = device.flops
    peak = peaks.get(facts.weight_dtype) or peaks.get(facts.dtype) or max(peaks.values())
    flops_per_s = peak * replica.parallel * ACHIEVED
    bytes_per_s = device.memory_bytes_per_s * replica.parallel * ACHIEVED
    replies = op.tokens_out.mid
    steps = replies / samples
    context = op.tokens_in.mid + max(steps - 1, 0.0) / 2
    decode_flops = replies * (2 * facts.active_params + facts.step_attention_flops(context))
    prefill_s = max(op.resources.flops - decode_flops, 0.0) / flops_per_s
    weights_once_s = facts.weight_bytes / bytes_per_s
    step_weights_s = facts.step_weight_bytes(samples) / bytes_per_s
    step_compute_s = 2 * facts.active_params * samples / flops_per_s
    parts = {
        "prefill compute" if prefill_s >= weights_once_s else "prefill weights": max(prefill_s, weights_once_s),
        "decode compute" if step_compute_s > step_weights_s else "decode weights": steps
        * max(step_compute_s, step_weights_s),
        "KV reads": replies * facts.kv_bytes(context) * replica.kv_copies / bytes_per_s,
    }
    if replica.parallel > 1:
        link = device.link_bytes_per_s or ASSUMED_LINK_BYTES_PER_S[device.kind]
        parts["links"] = op.resources.net_bytes / link
    return parts


def batch_cap(op: OpPlan, serving: Serving | None, samples: int = 1) -> int | None:
    """Calls like ``op`` that one replica holds at once: by KV memory at the middle estimate, and by ``max_num_seqs``.

    ``None`` when that is unknown (no model call, a service); 0 when not even one fits.
    """
    if op.kind != "decode" or serving is None or serving.replica is None:
        return None
    sequences = serving.option("max_num_seqs") or MAX_SEQUENCES
    by_sequences = max(int(sequences) // samples, 1)
    if op.resources.kv_bytes <= 0:
        return by_sequences
    return min(int(max(serving.replica.kv_capacity_bytes, 0.0) // op.resources.kv_bytes), by_sequences)


def speed(op: OpPlan, serving: Serving | None, samples: int = 1) -> Interval | None:
    """How far ``op.seconds`` may be off because of the hardware alone; ``None`` for anything but a model call."""
    if serving is None or op.kind != "decode":
        return None
    prompt, reply = Interval.exact(op.tokens_in.mid), Interval.exact(op.tokens_out.mid / samples)
    seconds = call_cost(serving, prompt, prompt, reply, samples).seconds
    return seconds.scaled(1 / seconds.mid) if seconds.mid > 0 else None


def scaled(parts: Mapping[str, float], factor: float) -> dict[str, float]:
    """Every part times ``factor``."""
    return {name: seconds * factor for name, seconds in parts.items()}


def on_critical_path(plan: Plan) -> dict[str, float]:
    """What the seconds of the critical path go into, largest first; empty when the parts are not in the plan.

    A region op on the path counts as what the ops inside it spend, scaled to the region's own seconds: items of a map
    overlap, so the sum of its parts may exceed what it takes.
    """
    children: dict[str | None, list[OpPlan]] = {}
    for op in plan.ops:
        children.setdefault(op.parent, []).append(op)

    def parts_of(op: OpPlan) -> dict[str, float]:
        if op.id not in children:
            return op.spent_s
        inside: dict[str, float] = {}
        for child in children[op.id]:
            times = child.count.mid / op.count.mid if op.count.mid > 0 else 0.0
            _add(inside, scaled(parts_of(child), times))
        whole = sum(inside.values())
        return scaled(inside, op.seconds.mid / whole) if whole > 0 else {}

    found: dict[str, float] = {}
    for name in plan.critical_path:
        _add(found, parts_of(plan.by_id[name]))
    return dict(sorted(found.items(), key=lambda part: -part[1]))


def _add(into: dict[str, float], parts: Mapping[str, float]) -> None:
    for name, seconds in parts.items():
        into[name] = into.get(name, 0.0) + seconds
