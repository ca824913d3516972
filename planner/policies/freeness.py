"""Dispatch by free KV memory, as in Llumnix (OSDI 2024, section 4.3, "virtual usage").

``freeness = (free blocks - blocks the queue wants) / requests``: how many more steps the batch can grow.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.planner.policies.view import ReplicaView, RequestView


def freeness_of(replica: ReplicaView, now: float) -> float:
    """Blocks each request could still take; negative when the queue wants more than there is."""
    requests = replica.running_count + replica.waiting_count
    return (replica.free_blocks(now) - replica.waiting_blocks) / max(requests, 1)


def freeness(request: RequestView, replicas: Sequence[ReplicaView], now: float) -> int:
    """The replica with the most room."""
    return max(range(len(replicas)), key=lambda i: freeness_of(replicas[i], now))
