"""Move a program to another replica between its turns, where that costs no more than moving its KV would.

A stock vLLM does not move KV while a request runs. Between turns nothing runs, and the next prompt can be prefilled
elsewhere: worth it when ``tokens / prefill rate < KV bytes / bandwidth``, and the other replica has more room.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.planner.policies.freeness import freeness, freeness_of
from orchestrator.planner.policies.view import ReplicaView, RequestView


def migrate_between_turns(request: RequestView, replicas: Sequence[ReplicaView], now: float) -> int:
    """The freest replica if re-prefilling there is cheap enough, else the one that ran the stage before."""
    freest = freeness(request, replicas, now)
    home = request.home
    if home is None or home == freest:
        return freest
    there, here = replicas[freest], replicas[home]
    if freeness_of(there, now) <= freeness_of(here, now):
        return home
    lost = here.cached_tokens(request, now) - there.cached_tokens(request, now)
    if lost <= 0:
        return freest
    prefill_s = there.step_s(lost, 0, 0)
    transfer_s = lost * here.kv_bytes_per_token / here.link_bytes_per_s
    return freest if prefill_s < transfer_s or freeness_of(here, now) < 0 else home
