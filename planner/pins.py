"""The pins of a plan: which conversations are kept between turns, and what computing them again would take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from orchestrator.planner.cost.call import call_cost
from orchestrator.planner.interval import ZERO, Interval
from orchestrator.planner.placer import kv_capacity_bytes
from orchestrator.planner.plan import Pin

if TYPE_CHECKING:
    from orchestrator.planner.estimate import Estimate
    from orchestrator.planner.graph import Node, Region


def pins_of(region: Region, estimates: Mapping[str, Estimate]) -> Iterator[Pin]:
    """The pins in a region and those inside it, from the hints that the passes left."""
    turns = {value: node for node in region.nodes if node.kind == "decode" for value in node.results[1:]}
    for node in region.nodes:
        turn = turns.get(node.operands[0]) if node.kind == "kv_pin" else None
        if turn is not None:
            yield _pin(node, turn, estimates[turn.id])
        for inner in node.regions:
            yield from pins_of(inner, estimates)


def _pin(node: Node, turn: Node, estimate: Estimate) -> Pin:
    opts = node.opts
    tokens = estimate.tokens_in.mid + estimate.tokens_out.mid / int(turn.attrs.get("samples", 1))
    return Pin(
        op=turn.id,
        tool=opts.get("tool", ""),
        features=tuple(opts.get("features", ())),
        turns_left=opts.get("turns_left", 0.0),
        shared=opts.get("shared", False),
        longest_s=node.attrs["ttl_s"],
        because=opts.get("because", ""),
        typical_s=opts.get("typical_s"),
        tokens=tokens,
        prefill_s=_prefill_s(estimate, tokens),
        kv_share=_kv_share(estimate, tokens),
    )


def _prefill_s(estimate: Estimate, tokens: float) -> float | None:
    serving = estimate.placement.serving
    if serving is None or (serving.replica is None and serving.option("prefill_tokens_per_s") is None):
        return None
    prompt = Interval.exact(tokens)
    return call_cost(serving, prompt, prompt, ZERO, 1).seconds.mid


def _kv_share(estimate: Estimate, tokens: float) -> float | None:
    serving = estimate.placement.serving
    if serving is None or serving.replica is None:
        return None
    room = kv_capacity_bytes(serving.replica)
    return min(tokens * serving.replica.facts.kv_bytes_per_token / room, 1.0) if room > 0 else None
