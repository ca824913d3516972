"""Most urgent first, as in HexGen-Text2SQL (its local priority queue).

A stage's budget is its share of what is left of the program's SLO, by expected time::

    budget = (SLO - spent) * T(step) / (T(step) + sum of T(remaining))

and its urgency what it will take on this replica less what is left of the budget.
"""

from __future__ import annotations

from orchestrator.planner.policies.view import SpeedView, StageView


def urgency(request: StageView, replica: SpeedView, now: float) -> float:
    """Key: the latest moment to start the stage on this replica and still meet its own deadline."""
    path_s = request.predicted_s + request.remaining_s
    share = request.predicted_s / path_s if path_s > 0 else 1.0
    stage_deadline_s = request.ready_s + (request.deadline_s - request.ready_s) * share
    return stage_deadline_s - replica.alone_s(request.prompt_tokens, request.predicted_output_tokens)
