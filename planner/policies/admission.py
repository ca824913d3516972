"""Turn programs away that would come too late anyway, so that those that can be in time are.

A program is taken on when on some replica ``(this stage + the longest path behind it) * slowdown`` ends before its
deadline. The slowdown is that of a step with the batch a request would join there, over one alone, times that of a
queue: where n requests wait for r places, every stage waits about ``(n + 1) / r`` times as long as it runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.planner.policies.view import ReplicaView, RequestView


def in_time(request: RequestView, replicas: Sequence[ReplicaView], now: float) -> bool:
    """Whether the program can be done by its deadline."""
    left_s = request.deadline_s - now
    return any(_done_in_s(request, replica, now) <= left_s for replica in replicas)


def _done_in_s(request: RequestView, replica: ReplicaView, now: float) -> float:
    alone_s = replica.alone_s(request.prompt_tokens, request.predicted_output_tokens) + request.remaining_s
    return alone_s * crowding(replica, now) * queueing(replica)


def crowding(replica: ReplicaView, now: float) -> float:
    """Seconds of a step with one more request than now, over those of one with it alone."""
    batch = min(replica.running_count + replica.waiting_count + 1, replica.max_batch)
    context = replica.context_tokens(now) / max(replica.running_count, 1)
    return replica.step_s(0, batch, batch * context) / replica.step_s(0, 1, context)


def queueing(replica: ReplicaView) -> float:
    """Seconds from readiness to the end, over those of running; 1 while nobody waits."""
    waiting = replica.waiting_count
    return 1 + (waiting + 1) / max(replica.running_count, 1) if waiting else 1.0
