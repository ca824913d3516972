"""Requests and replicas a policy can be shown without a simulator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from orchestrator.planner.policies.view import RequestView


@dataclass
class Call:
    """A request as a router sees it."""

    sequence: int = 0
    program: int = 0
    step: str = "s"
    prompt_tokens: int = 100
    predicted_output_tokens: float = 10.0
    prefix_ids: Sequence[int] = ()
    unit_tokens: int = 16
    ready_s: float = 0.0
    started_s: float = 0.0
    deadline_s: float = inf
    predicted_s: float = 1.0
    remaining_s: float = 0.0
    home: int | None = None


@dataclass
class Server:
    """A replica with a tenth of a second a step, a millisecond a prompt token and ``slowness`` times as much."""

    index: int = 0
    slowness: float = 1.0
    max_batch: int = 8
    block_tokens: int = 16
    total_blocks: int = 100
    kv_bytes_per_token: float = 1e5
    link_bytes_per_s: float = 1e9
    running_count: int = 0
    waiting_count: int = 0
    waiting_blocks: int = 0
    backlog_s: float = 0.0
    prompt_backlog_tokens: int = 0
    free: int = 100
    cached: int = 0
    context: int = 0

    def alone_s(self, prompt_tokens: float, output_tokens: float, cached_tokens: float = 0.0) -> float:
        """Prefill and one step a token."""
        return self.slowness * (0.001 * (prompt_tokens - cached_tokens) + 0.1 * output_tokens)

    def step_s(self, prefill_tokens: float, decodes: float, context_tokens: float) -> float:
        """Grows a little with the batch."""
        if not prefill_tokens and not decodes:
            return 0.0
        return self.slowness * (0.1 + 0.001 * prefill_tokens + 0.01 * decodes + 1e-6 * context_tokens)

    def free_blocks(self, now: float) -> int:
        """As set."""
        return self.free

    def cached_tokens(self, request: RequestView, now: float) -> int:
        """As set."""
        return self.cached

    def context_tokens(self, now: float) -> int:
        """As set."""
        return self.context

    def waiting(self) -> Iterable[tuple[float, RequestView]]:
        """Nothing to look at."""
        return ()

    def running(self, now: float) -> Iterable[tuple[RequestView, int, int]]:
        """Nothing to look at."""
        return ()
