"""What no engine is faster than: a prediction is drawn up to these, whatever the measurements suggest.

Where nothing was measured the residual is extrapolated, and a long prompt or a deep pipeline may come out faster than
the devices can be. A token takes at least the reading of the weights and of its batch's KV at the memory's full speed,
in every stage of a pipeline after the other; a first token at least what kernels take for its own prompt alone. One in
a hundred measurements lies below (speculative decoding gives several tokens a step).
"""

from __future__ import annotations

from orchestrator.planner.cost.inputs import Shape, in_a_stage
from orchestrator.planner.cost.steps import hit_share, prefill_step
from orchestrator.planner.models import DTYPE_BYTES


def least_tpot_s(shape: Shape) -> float:
    """Seconds to read the weights that a step needs and the KV of its batch once, at peak bandwidth.

    Of routed experts, those that the batch hits. Rows of separate prefill and decode workers seldom say how many
    workers share the load, so there it is the experts that one token needs.
    """
    of, facts, at = shape.of, shape.of.facts, shape.of.decode
    shared = facts.shared_params * DTYPE_BYTES[facts.dense_weight_dtype or facts.weight_dtype] / at.tp
    batch = in_a_stage(of, shape.running)
    tokens = 1.0 if of.disaggregated else max(batch, 1.0) * at.dp
    routed = facts.routed_params * DTYPE_BYTES[facts.weight_dtype] / at.expert_shards * hit_share(facts, tokens)
    return (shared + routed) / of.device.memory_bytes_per_s + shape.decode.kv_s * max(1.0, 1 / batch)


def least_ttft_s(shape: Shape) -> float:
    """Seconds of kernels for the request's own prompt, on a worker that has nothing else to do."""
    of = shape.of
    return prefill_step(of, of.isl, of.cached, ranks=1).work_s if of.prefill.dp > 1 else shape.prefill.work_s
