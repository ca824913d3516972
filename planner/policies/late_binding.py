"""Keep a request at the router while every replica is crowded, so that its place is chosen when one has room.

A place chosen early is a guess about which queue will move. A replica is crowded when a step with one request more
would take ``crowding`` times as long as with that request alone (from there on a larger batch buys little throughput),
or when its KV memory would not hold the request and the growth of all it runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.planner.policies.critical_path import spare_tokens
from orchestrator.planner.policies.view import Admit, ReplicaView, RequestView


def late_binding(crowding: float) -> Admit:
    """The ``hold`` function: whether no replica should take the request yet."""

    def hold(request: RequestView, replicas: Sequence[ReplicaView], now: float) -> bool:
        return all(_crowded(request, replica, now, crowding) for replica in replicas)

    return hold


def _crowded(request: RequestView, replica: ReplicaView, now: float, crowding: float) -> bool:
    others = replica.running_count + replica.waiting_count
    if not others:
        return False
    joined_s = replica.step_s(0, others + 1, replica.context_tokens(now) + request.prompt_tokens)
    if joined_s > crowding * replica.step_s(0, 1, request.prompt_tokens):
        return True
    needed = request.prompt_tokens - replica.cached_tokens(request, now) + request.predicted_output_tokens
    return spare_tokens(replica, now) < needed
