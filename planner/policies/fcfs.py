"""First come, first served: what an engine does by itself."""

from __future__ import annotations

from orchestrator.planner.policies.view import SpeedView, StageView


def fcfs(request: StageView, replica: SpeedView, now: float) -> float:
    """Key: when the request became ready."""
    return request.ready_s
