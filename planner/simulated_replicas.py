"""The replicas behind a plan's engines, as the simulator needs them: as many, as fast and as large as the plan says.

Speeds are the roofline of :mod:`orchestrator.planner.cost.call` times the calibrated factors, prefill's on arithmetic
and decoding's on memory traffic and the host. One more factor, of the whole engine, makes the plan's calls take alone
what the plan says they take, corrections from measured runs included. How wrong all of that may be is an interval on
one further factor, common to everything the engine does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

from orchestrator.planner.breakdown import MAX_SEQUENCES
from orchestrator.planner.cost.call import Bound, all_reduce_s, bounds_of, prefill_flops
from orchestrator.planner.interval import Interval
from orchestrator.planner.plan import OpPlan, Plan
from orchestrator.planner.queueing import replicas
from orchestrator.planner.serving import Replica, resolve
from orchestrator.planner.shares import calls_by_engine
from orchestrator.planner.simulate.speed import ReplicaSpec, ReplicaSpeed, roofline_speed

BLOCK_TOKENS: Final = 16
STEP_TOKENS: Final = 2048
"""Tokens of a step unless ``max_num_batched_tokens`` says otherwise."""
LEAST_BLOCKS: Final = 64
"""Blocks that an engine is given even where its weights leave no room: the plan has a warning about that."""


@dataclass(frozen=True, slots=True)
class EngineModel:
    """An engine of a plan whose hardware is known."""

    name: str
    spec: ReplicaSpec
    """One replica, at the expected speed."""
    replicas: int
    error: Interval
    """Factor on all its seconds: 80 % of the outcomes, 1 in the middle."""
    cached: Mapping[str, float]
    """It has, for each op, the share of its prompt whose KV a call before it left there."""

    @property
    def capacity_tokens(self) -> int:
        """KV of the longest request that fits."""
        return self.spec.kv_blocks * self.spec.block_tokens

    def specs(self, factor: float, divisor: int = 1) -> list[ReplicaSpec]:
        """One in ``divisor`` of its replicas, ``factor`` times as slow as expected."""
        spec = replace(self.spec, speed=_scaled(self.spec.speed, factor))
        return [replace(spec, name=f"{self.name}/{number}") for number in range(self.replicas // divisor)]


def engine_models(plan: Plan, samples: Mapping[str, int]) -> dict[str, EngineModel]:
    """By name, the engines that the plan uses and whose hardware is known; ``plan`` has no waiting in its seconds.

    ``samples`` are the replies of each model call, 1 where absent.
    """
    known = {engine.name for engine in plan.cluster.engines}
    calls = calls_by_engine(plan, samples)
    found = (_model(plan, name, ops, samples) for name, ops in calls.items() if name in known)
    return {each.name: each for each in found if each is not None}


def _model(plan: Plan, name: str, ops: list[OpPlan], samples: Mapping[str, int]) -> EngineModel | None:
    engine = plan.cluster.engine(name)
    serving = resolve(engine, plan.cluster)
    replica = serving.replica
    if replica is None:
        return None
    cached = {op.id: _cached_share(op, replica, samples.get(op.id, 1)) for op in ops}
    low, middle, high = (_speed(replica, bound) for bound in bounds_of(replica))
    expected = sum(op.count.mid * op.seconds.mid for op in ops)
    best, alone, worst = (_alone_s(speed, ops, samples, cached) for speed in (low, middle, high))
    doubt = replica.facts.spread
    error = Interval(min(best / alone / doubt, 1.0), 1.0, max(worst / alone * doubt, 1.0))
    batch = int(serving.option("max_num_seqs") or MAX_SEQUENCES)
    steps = int(serving.option("max_num_batched_tokens") or STEP_TOKENS)
    spec = ReplicaSpec(
        name,
        _scaled(middle, expected / alone if expected > 0 else 1.0),
        max(replica.kv_blocks(BLOCK_TOKENS, _mean_tokens(ops, samples)), LEAST_BLOCKS),
        block_tokens=BLOCK_TOKENS,
        max_batch=max(batch, 1),
        step_tokens=max(steps, batch, 1),
        model=name,
        kv_bytes_per_token=replica.facts.kv_bytes_per_token,
        prefix_cache=engine.option("enable_prefix_caching") is not False,
    )
    return EngineModel(name, spec, replicas(engine, plan.cluster), error, cached)


def _speed(replica: Replica, bound: Bound) -> ReplicaSpeed:
    at = bound.at
    roofline = roofline_speed(
        replica.facts, replica.device, parallel=replica.parallel, compute=at.compute, bandwidth=at.bandwidth
    )
    latency_s = all_reduce_s(replica, 0.0)
    step_s = bound.decode * (at.step_s + latency_s)
    return replace(
        roofline,
        token_s=bound.prefill * roofline.token_s,
        pair_s=bound.prefill * roofline.pair_s,
        weight_s=bound.decode * roofline.weight_s,
        token_weight_s=bound.decode * roofline.token_weight_s,
        shared_weight_s=bound.decode * roofline.shared_weight_s,
        kv_token_s=bound.decode * roofline.kv_token_s,
        token_link_s=bound.decode * (all_reduce_s(replica, 1.0) - latency_s),
        step_s=step_s,
        # Mostly tokenising and HTTP, which keep no other call waiting.
        call_s=max(bound.prefill * (at.launch_s + latency_s) - step_s, 0.0),
    )


def _scaled(speed: ReplicaSpeed, factor: float) -> ReplicaSpeed:
    return replace(speed, **{field.name: getattr(speed, field.name) * factor for field in fields(speed)})


def _alone_s(
    speed: ReplicaSpeed, ops: Iterable[OpPlan], samples: Mapping[str, int], cached: Mapping[str, float]
) -> float:
    """Seconds of all calls of a run, at their middle lengths and with nothing beside them."""
    total = 0.0
    for op in ops:
        replies = samples.get(op.id, 1)
        prompt, output = max(op.tokens_in.mid, 1.0), op.tokens_out.mid / replies
        step_s = speed.decode_base_s(replies) + speed.kv_token_s * replies * (prompt + output / 2)
        prefill_s = speed.alone_s(prompt, 1, cached[op.id] * prompt, STEP_TOKENS)
        total += op.count.mid * (prefill_s + max(output - 1, 0.0) * step_s)
    return total


def _mean_tokens(ops: Sequence[OpPlan], samples: Mapping[str, int]) -> float:
    """Of a sequence, at the middle lengths of the calls."""
    calls = {op.id: op.count.mid * samples.get(op.id, 1) for op in ops}
    tokens = sum(calls[op.id] * (op.tokens_in.mid + op.tokens_out.mid / samples.get(op.id, 1)) for op in ops)
    return max(tokens / sum(calls.values()), 1.0)


def _cached_share(op: OpPlan, replica: Replica, samples: int) -> float:
    """The share of the prompt that was not computed, from the arithmetic that the plan counts for the call.

    More new tokens always take more of it, so halving finds how many there are.
    """
    facts, prompt = replica.facts, op.tokens_in.mid
    if prompt <= 0:
        return 0.0
    context = prompt + max(op.tokens_out.mid / samples - 1, 0.0) / 2
    decode_flops = op.tokens_out.mid * (2 * facts.active_params + facts.step_attention_flops(context))
    flops = op.resources.flops - decode_flops
    if flops >= (1 - NOTICED) * prefill_flops(facts, prompt, 0.0):
        return 0.0
    low, high = 0.0, prompt
    for _ in range(HALVINGS):
        new = (low + high) / 2
        low, high = (new, high) if prefill_flops(facts, new, prompt - new) < flops else (low, new)
    return min(max(1 - high / prompt, 0.0), 1.0)


HALVINGS: Final = 40
NOTICED: Final = 0.02
"""Share of a prompt's arithmetic below which nothing counts as cached."""
