"""How a worker splits a model over its devices, and what each of them then holds.

Tensor parallelism splits matrices and KV heads; where there are more devices than KV heads, or one latent for all of
them, each device has a copy. Pipeline stages have layers of their own. Attention data parallelism copies all but the
experts, and each copy has requests of its own. Experts are split over all devices of a stage, by either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.planner.models import ModelFacts


@dataclass(frozen=True, slots=True)
class Parallel:
    """How one worker splits a model over its devices."""

    tp: int = 1
    pp: int = 1
    dp: int = 1
    """Attention data parallelism: copies of the attention weights, each with its own requests."""
    moe_tp: int = 1
    moe_ep: int = 1

    @classmethod
    def of(cls, tp: int, pp: int = 1, dp: int = 1, *, expert: bool = False) -> Parallel:
        """The split of an engine, whose experts are split over all devices of a stage: whole ones, or by width."""
        every = tp * dp
        return cls(tp, pp, dp, 1 if expert else every, every if expert else 1)

    @property
    def devices(self) -> int:
        return self.tp * self.pp * self.dp

    @property
    def expert_shards(self) -> int:
        return self.moe_tp * self.moe_ep

    def weight_bytes(self, facts: ModelFacts) -> float:
        """The bytes of weights on one device."""
        routed = facts.routed_weight_bytes
        return ((facts.weight_bytes - routed) / self.tp + routed / self.expert_shards) / self.pp

    def kv_bytes(self, facts: ModelFacts, tokens: float, value_bytes: float | None = None) -> float:
        """The bytes on one device of what is cached of a sequence of ``tokens``.

        ``value_bytes`` is the width of a cached value where it is not the model's own.
        """
        values = sum(each.values_on(self.tp) * each.kept(tokens) for each in facts.attention)
        width = facts.kv_value_bytes if value_bytes is None else value_bytes
        return (values * width + facts.index_bytes * tokens + facts.state_bytes / self.tp) / self.pp

    def kv_copies(self, facts: ModelFacts) -> float:
        """How often the devices that serve one sequence cache each value of it."""
        one = sum(each.values_on(1) for each in facts.attention)
        return self.tp * sum(each.values_on(self.tp) for each in facts.attention) / one if one else 1.0
