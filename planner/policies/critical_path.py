"""Ours: a second of delay weighs as much as its program is late, so tails are cut where that is cheap.

From the compiler the scheduler knows what a program still has to do, so each program has a predicted latency: its age,
this stage, and the longest path behind it. Minimising the mean of ``latency ** 4`` punishes the tail rather than the
mean; its derivative, the *pressure* of a program, prices what a placement costs everybody::

    own(m)  = prompts ahead + own prompt that is not cached + expected tokens * step with the batch it joins
              + the wait for memory or a place, where there is none
    cost(m) = pressure(own program) * own(m) + sum over requests r on m of pressure(r) * delay(r)
    delay(r) = own prefill + tokens both decode * growth of the step

So a program that is early goes where it disturbs nobody, a slow device if need be, and one that is late gets a fast
device with a small batch, its cached prefix counted in the seconds of prefill that it saves. No SLO is needed; with
one, lateness is relative to it.

Order, where requests queue, is least laxity along the critical path: the program's deadline less what it still has to
do from here on. Without an SLO it is the shortest remaining program, which ages.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nsmallest
from math import isfinite
from typing import Final

from orchestrator.planner.policies.view import Dispatch, ReplicaView, RequestView, SpeedView, StageView

EXPONENT: Final = 4.0
"""Chosen on tuning seeds of ``benchmarks/planner_policies.py`` among 1 to 8: 3 favours the mean, 6 costs throughput."""
LEAST_LEFT: Final = 0.35
"""Of the expected reply, what a request is taken to have left however much it wrote: replies have long tails."""
LEAST_ALLOWED_S: Final = 1e-3
"""A program with less time than this from the beginning is not more urgent than others like it."""
UNHURRIED_S: Final = 60.0
"""What latencies are compared to where a program has no SLO."""


def pressure(request: RequestView, now: float, stage_s: float, exponent: float = EXPONENT) -> float:
    """What a second of this program is worth when its stage takes ``stage_s`` more seconds."""
    allowed_s = request.deadline_s - request.started_s
    latency_s = now - request.started_s + stage_s + request.remaining_s
    is_hurried = isfinite(allowed_s) and allowed_s > 0
    return float((latency_s / (max(allowed_s, LEAST_ALLOWED_S) if is_hurried else UNHURRIED_S)) ** exponent)


def tokens_left(request: RequestView, generated: int = 0) -> float:
    """Expected rest of a reply."""
    expected = request.predicted_output_tokens
    return max(expected - generated, LEAST_LEFT * expected)


def spare_tokens(replica: ReplicaView, now: float) -> float:
    """Tokens of KV there is room for once all it runs and queues has grown to its expected length."""
    free = (replica.free_blocks(now) - replica.waiting_blocks) * replica.block_tokens
    growing = sum(tokens_left(other, generated) for other, _, generated in replica.running(now))
    return free - growing - sum(other.predicted_output_tokens for _, other in replica.waiting())


def placement_cost(request: RequestView, replica: ReplicaView, now: float, exponent: float = EXPONENT) -> float:
    """Seconds on this replica, its own and those it costs others there, each times its program's pressure."""
    new = max(request.prompt_tokens - replica.cached_tokens(request, now), 1)
    output = request.predicted_output_tokens
    others = replica.running_count + replica.waiting_count
    context = replica.context_tokens(now)
    now_s = replica.step_s(0, others, context)
    prefill_s = replica.step_s(new, others, context) - now_s
    batch = min(others + 1, replica.max_batch)
    step_s = replica.step_s(0, batch, context + request.prompt_tokens + output / 2)
    growth_s = max(step_s - now_s, 0.0) if others else 0.0
    backlog = replica.prompt_backlog_tokens
    own_s = (replica.step_s(backlog, 0, 0) if backlog else 0.0) + prefill_s + output * step_s
    if others >= replica.max_batch or spare_tokens(replica, now) < new + output:
        own_s += output * step_s * (replica.waiting_count + 1) / max(replica.running_count, 1)
    cost = pressure(request, now, own_s, exponent) * own_s
    beside = [(other, tokens_left(other, generated)) for other, _, generated in replica.running(now)]
    beside += [(other, other.predicted_output_tokens) for _, other in replica.waiting()]
    for other, left in beside:
        delay_s = prefill_s + min(left, output) * growth_s
        cost += pressure(other, now, left * step_s, exponent) * delay_s
    return cost


def critical_path(exponent: float = EXPONENT, shortlist: int = 16) -> Dispatch:
    """The dispatch function; a higher ``exponent`` cuts the tail more and costs the mean more.

    In a large cluster only the ``shortlist`` replicas with the least work, and the one that ran the stage before, are
    looked at closely.
    """

    def dispatch(request: RequestView, replicas: Sequence[ReplicaView], now: float) -> int:
        candidates: Sequence[int] = range(len(replicas))
        if len(replicas) > shortlist:
            candidates = nsmallest(shortlist, candidates, key=[replica.backlog_s for replica in replicas].__getitem__)
            if request.home is not None:
                candidates = [request.home, *candidates]
        return min(candidates, key=lambda i: placement_cost(request, replicas[i], now, exponent))

    return dispatch


def least_laxity(request: StageView, replica: SpeedView, now: float) -> float:
    """Key: the latest moment at which the stage may start for its program to be done in time."""
    path_s = replica.alone_s(request.prompt_tokens, request.predicted_output_tokens) + request.remaining_s
    if isfinite(request.deadline_s):
        return request.deadline_s - path_s
    return request.started_s + path_s
