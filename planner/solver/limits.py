"""The limits a plan must keep, by the names a conflict is stated in."""

from __future__ import annotations

from typing import Final

from orchestrator.planner.solver.problem import Problem

SLA: Final = "sla"
BUDGET: Final = "budget"
RATE: Final = "rate"


def capacity(pool: str) -> str:
    """The number of devices of a pool."""
    return f"capacity of {pool}"


def memory(pool: str) -> str:
    """The memory of a pool's devices: weights that must fit, and the KV budget."""
    return f"memory of {pool}"


def link(src: str, dst: str) -> str:
    """The capacity of a link, or that there is none."""
    return f"link {src} -> {dst}"


def limits(problem: Problem) -> tuple[str, ...]:
    """All limits the problem sets; what cannot be changed, such as the order of ops, is none of them."""
    load, names = problem.workload, [pool.name for pool in problem.pools]
    return (
        *((SLA,) if load.sla_s is not None else ()),
        *((BUDGET,) if load.budget_usd_per_hour is not None else ()),
        *((RATE,) if load.sizing_per_s is not None else ()),
        *map(capacity, names),
        *map(memory, names),
        *(link(each.src, each.dst) for each in problem.links if each.capacity_bytes_per_s is not None),
        *(link(p, q) for p in names for q in names if p != q and (p, q) not in problem.link),
    )
