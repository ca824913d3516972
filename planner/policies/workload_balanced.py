"""Dispatch by queue and speed, as in HexGen-Text2SQL (its section on workload-balanced dispatching).

The score of a request on replica m is ``(1 - alpha) beta / t_queue(m) - alpha t_comp(m)``: prefer short queues, and
among them fast devices. ``t_queue`` is the predicted work of the replica's requests and ``t_comp`` that of this one
there. ``alpha`` weighs the two and is tuned by simulation; ``beta`` (s^2) brings them to one scale.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.planner.policies.view import Dispatch, ReplicaView, RequestView

SHORTEST_QUEUE_S = 1e-3
"""An empty queue counts as this: the score divides by it."""


def workload_balanced(alpha: float, beta_s2: float = 1.0) -> Dispatch:
    """The dispatch function for one ``alpha`` in [0, 1]."""

    def dispatch(request: RequestView, replicas: Sequence[ReplicaView], now: float) -> int:
        prompt, output = request.prompt_tokens, request.predicted_output_tokens
        best, best_score = 0, float("-inf")
        for i, replica in enumerate(replicas):
            queue_s = max(replica.backlog_s, SHORTEST_QUEUE_S)
            score = (1 - alpha) * beta_s2 / queue_s - alpha * replica.alone_s(prompt, output)
            if score > best_score:
                best, best_score = i, score
        return best

    return dispatch
