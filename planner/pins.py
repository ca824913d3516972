"""The pins of a plan: which conversations are kept between turns, and what computing them again would take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from orchestrator.planner.cost.call import call_cost
from orchestrator.planner.interval import ZERO, Interval
from orchestrator.planner.plan import Pin

if TYPE_CHECKING:
    from orchestrator.planner.estimate import Estimate
    from orchestrator.planner.graph import Node, Region

NOT_TOLD: Final = "its engine takes no hints"
NOT_KNOWN: Final = "its server may take no hints"


def pins_of(region: Region, estimates: Mapping[str, Estimate]) -> Iterator[Pin]:
    """The pins in a region and those inside it, from the hints that the passes left."""
    turns = {value: node for node in region.nodes if node.kind == "decode" for value in node.results[1:]}
    following = _following(region, estimates)
    for node in region.nodes:
        turn = turns.get(node.operands[0]) if node.kind == "kv_pin" else None
        if turn is not None:
            there = following.get(node.operands[0], set())
            moves = bool(there) and estimates[turn.id].placement.place not in there
            yield _pin(node, turn, estimates[turn.id], moves=moves)
        for inner in node.regions:
            yield from pins_of(inner, estimates)


def _following(region: Region, estimates: Mapping[str, Estimate]) -> dict[int, set[str]]:
    """By conversation, where the turns that continue it run; none for one of which that is not known here."""
    decodes = {node.operands[0]: node.id for node in region.nodes if node.kind == "decode"}
    found: dict[int, set[str]] = {}
    unknown = set(region.yields)
    for node in region.nodes:
        if node.kind == "prefill":
            for value in node.operands:
                found.setdefault(value, set()).add(estimates[decodes[node.results[0]]].placement.place)
        elif not node.kind.startswith("kv_"):
            unknown |= _used(node)
    return {value: places for value, places in found.items() if value not in unknown}


def _used(node: Node) -> set[int]:
    """Values that an op uses, or anything in it."""
    inner = (used for region in node.regions for used in (set(region.yields), *map(_used, region.nodes)))
    return set(node.operands).union(*inner)


def _pin(node: Node, turn: Node, estimate: Estimate, *, moves: bool) -> Pin:
    opts = node.opts
    serving = estimate.placement.serving
    because = "its next turn runs on another engine" if moves else opts.get("because", "")
    if not because and serving is not None and serving.engine.takes_hints is not True:
        because = NOT_TOLD if serving.engine.takes_hints is False else NOT_KNOWN
    tokens = estimate.tokens_in.mid + estimate.tokens_out.mid / int(turn.attrs.get("samples", 1))
    return Pin(
        op=turn.id,
        tool=opts.get("tool", ""),
        features=tuple(opts.get("features", ())),
        turns_left=opts.get("turns_left", 0.0),
        shared=opts.get("shared", False),
        longest_s=0.0 if because else node.attrs["ttl_s"],
        because=because,
        moves=moves,
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
    room = serving.replica.kv_capacity_bytes
    return min(serving.replica.facts.kv_bytes(tokens) / room, 1.0) if room > 0 else None
