"""Ours: send a stage where the program as a whole is done first, and run first what can wait least.

Dispatch adds up, for each replica, the predicted seconds until this stage would be done there, and the seconds by which
it would hold up everybody else there::

    prefill = (prompts ahead + own prompt - cached prefix) at the replica's prefill speed
    decode  = expected tokens * step time with the batch it would join
    queue   = batches that must end first * seconds of a batch, when the batch or the KV memory is full
    harm    = others * (own prefill + own tokens * growth of the step time)

Order is least laxity along the critical path: the program's deadline less what it still has to do from here on (this
stage on this replica, and the longest path behind it). Without an SLO it is the shortest remaining program, which ages.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nsmallest
from math import isfinite

from orchestrator.planner.policies.view import Dispatch, ReplicaView, RequestView


def predicted_cost_s(request: RequestView, replica: ReplicaView, now: float, harm_weight: float) -> float:
    """Seconds to the end of the stage on this replica, and ``harm_weight`` times those it costs others there."""
    cached = replica.cached_tokens(request, now)
    new = max(request.prompt_tokens - cached, 1)
    output = request.predicted_output_tokens
    others = replica.running_count + replica.waiting_count
    context = replica.context_tokens(now)
    idle_s = replica.step_s(0, others, context)
    own_prefill_s = replica.step_s(new, others, context) - idle_s
    ahead = replica.prompt_backlog_tokens
    ahead_s = replica.step_s(ahead, 0, 0) if ahead else 0.0
    batch = min(others + 1, replica.max_batch)
    running = max(replica.running_count, 1)
    step_s = replica.step_s(0, batch, context * batch / running + request.prompt_tokens)
    decode_s = output * step_s
    need = request.prompt_tokens / replica.block_tokens
    room = replica.free_blocks(now) - replica.waiting_blocks - need
    full = others >= replica.max_batch or room < 0
    queue_s = decode_s * (replica.waiting_count + 1) / running if full else 0.0
    harm_s = others * (own_prefill_s + output * max(step_s - idle_s, 0.0))
    return queue_s + ahead_s + own_prefill_s + decode_s + harm_weight * harm_s


def critical_path(harm_weight: float = 0.5, shortlist: int = 16) -> Dispatch:
    """The dispatch function; ``harm_weight`` is what a second of others counts beside one of its own.

    In a large cluster only the ``shortlist`` replicas with the least work, and the one that ran the stage before, are
    looked at closely.
    """

    def dispatch(request: RequestView, replicas: Sequence[ReplicaView], now: float) -> int:
        candidates: Sequence[int] = range(len(replicas))
        if len(replicas) > shortlist:
            candidates = nsmallest(shortlist, candidates, key=[replica.backlog_s for replica in replicas].__getitem__)
            if request.home is not None:
                candidates = [request.home, *candidates]
        return min(candidates, key=lambda i: predicted_cost_s(request, replicas[i], now, harm_weight))

    return dispatch


def least_laxity(request: RequestView, replica: ReplicaView, now: float) -> float:
    """Key: the latest moment at which the stage may start for its program to be done in time."""
    path_s = replica.alone_s(request.prompt_tokens, request.predicted_output_tokens) + request.remaining_s
    if isfinite(request.deadline_s):
        return request.deadline_s - path_s
    return request.started_s + path_s
