"""Scheduling policies, one function a file: the simulator and the runtime call the same ones.

``dispatch`` picks a replica for a request, ``order`` sorts a replica's queue, ``migrate`` picks the replica for a stage
after the first, ``admit`` takes a program on or turns it away (:mod:`orchestrator.planner.policies.view`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from orchestrator.planner.policies.critical_path import EXPONENT, critical_path, least_laxity
from orchestrator.planner.policies.fcfs import fcfs
from orchestrator.planner.policies.freeness import freeness
from orchestrator.planner.policies.late_binding import late_binding
from orchestrator.planner.policies.migration import migrate_between_turns
from orchestrator.planner.policies.round_robin import round_robin
from orchestrator.planner.policies.urgency import urgency
from orchestrator.planner.policies.view import Order, Policy
from orchestrator.planner.policies.workload_balanced import workload_balanced

ROUND_ROBIN_FCFS: Final = Policy("round-robin+fcfs", round_robin, fcfs)
FREENESS_MIGRATION: Final = Policy("freeness+migration", freeness, fcfs, migrate=migrate_between_turns)


ORDERS: Final[dict[str, Order]] = {"fcfs": fcfs, "least-laxity": least_laxity, "urgency": urgency}
"""Every order of a queue by name."""


def workload_balanced_urgency(alpha: float = 0.5, beta_s2: float = 1.0) -> Policy:
    """HexGen-Text2SQL's; ``alpha`` is to be tuned by simulation."""
    return Policy("workload-balanced+urgency", workload_balanced(alpha, beta_s2), urgency)


def critical_path_laxity(exponent: float = EXPONENT, crowding: float = 3.0) -> Policy:
    """Ours."""
    return Policy("critical-path+laxity", critical_path(exponent), least_laxity, hold=late_binding(crowding))


POLICIES: Final[dict[str, Callable[[], Policy]]] = {
    "round-robin+fcfs": lambda: ROUND_ROBIN_FCFS,
    "workload-balanced+urgency": workload_balanced_urgency,
    "freeness+migration": lambda: FREENESS_MIGRATION,
    "critical-path+laxity": critical_path_laxity,
}
"""Every policy by name, with its default settings."""
DEFAULT_POLICY: Final = "critical-path+laxity"
