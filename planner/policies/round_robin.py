"""Replicas in turn."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.planner.policies.view import ReplicaView, RequestView


def round_robin(request: RequestView, replicas: Sequence[ReplicaView], now: float) -> int:
    """The next replica, whatever it is doing."""
    return request.sequence % len(replicas)
