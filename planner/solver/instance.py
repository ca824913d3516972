"""The problem with names turned into positions: what the MILP, the warm start and the evaluation compute with.

Ops stand in topological order. A *need* is what one run per second takes of a configuration, in replicas: of
compute (at the planned utilisation), of batch slots and of KV budget. The latter two follow Little's law, executions in
flight = rate x residence; the largest of the three sizes the configuration.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.planner.solver.problem import Choice, Configuration, Op, Problem, Transfer

Need = tuple[float, float, float]
"""Replicas per run per second, for compute, batch slots and KV."""


@dataclass(frozen=True, slots=True)
class Option:
    """One choice of one op."""

    choice: Choice
    configuration: int
    pool: int
    seconds: float
    """They count on the path, for all rounds of the op."""
    need: Need
    usd: float | None
    """Per run, charged beside the devices."""
    usd_alone: float | None
    """Per run, with device time at its price."""
    joules: float | None
    fits: bool
    """Whether weights and one execution's KV have room."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One transfer; ``delay_s[p][q]`` is infinite where pools ``p`` and ``q`` have no link."""

    src: int
    dst: int
    transfer: Transfer
    delay_s: tuple[tuple[float, ...], ...]

    @property
    def free(self) -> bool:
        """Whether it takes no time, whichever the pools."""
        return all(delay == 0 for row in self.delay_s for delay in row)


@dataclass(frozen=True)
class Instance:
    """A checked problem, by position."""

    problem: Problem
    ops: tuple[Op, ...]
    options: tuple[tuple[Option, ...], ...]
    configurations: tuple[Configuration, ...]
    pool_of: tuple[int, ...]
    edges: tuple[Edge, ...]
    entering: tuple[tuple[int, ...], ...]
    """Positions of the edges that enter each op."""
    leaving: tuple[tuple[int, ...], ...]

    def most_replicas(self, configuration: int) -> int:
        """How many fit into the pool when nothing else is there."""
        each = self.configurations[configuration]
        return self.problem.pool[each.pool].count // each.devices

    def usd_per_replica_hour(self, configuration: int) -> float | None:
        each = self.configurations[configuration]
        price = self.problem.pool[each.pool].usd_per_device_hour
        return None if price is None else price * each.devices

    def choices(self) -> Iterator[tuple[int, int, Option]]:
        """Position of the op, position of the choice, the choice."""
        for o, options in enumerate(self.options):
            for c, option in enumerate(options):
                yield o, c, option


def instance(problem: Problem) -> Instance:
    """By position; ``problem`` must have passed :func:`check`."""
    ops = tuple(problem.op[each] for each in problem.order)
    position = {op.id: at for at, op in enumerate(ops)}
    by_configuration = {each.name: at for at, each in enumerate(problem.configurations)}
    by_pool = {pool.name: at for at, pool in enumerate(problem.pools)}
    edges = tuple(_edge(problem, each, position) for each in problem.transfers)
    entering: list[list[int]] = [[] for _ in ops]
    leaving: list[list[int]] = [[] for _ in ops]
    for at, edge in enumerate(edges):
        entering[edge.dst].append(at)
        leaving[edge.src].append(at)
    return Instance(
        problem=problem,
        ops=ops,
        options=tuple(
            tuple(_option(problem, op, choice, by_configuration, by_pool) for choice in op.choices) for op in ops
        ),
        configurations=problem.configurations,
        pool_of=tuple(by_pool[each.pool] for each in problem.configurations),
        edges=edges,
        entering=tuple(map(tuple, entering)),
        leaving=tuple(map(tuple, leaving)),
    )


def _option(
    problem: Problem, op: Op, choice: Choice, by_configuration: dict[str, int], by_pool: dict[str, int]
) -> Option:
    engine, pool = problem.configuration[choice.configuration], problem.pool_of[choice.configuration]
    in_flight = op.executions * choice.residence_s
    kv = in_flight * choice.kv_bytes
    alone, joules = problem.usd_per_execution(choice), problem.joules_per_execution(choice)
    return Option(
        choice=choice,
        configuration=by_configuration[choice.configuration],
        pool=by_pool[pool.name],
        seconds=op.rounds * choice.seconds,
        need=(
            op.executions * choice.busy_s / problem.workload.utilisation,
            in_flight / engine.batch if engine.batch else 0.0,
            kv / engine.kv_bytes if engine.kv_bytes else 0.0,
        ),
        usd=None if choice.usd is None else op.executions * choice.usd,
        usd_alone=None if alone is None else op.executions * alone,
        joules=None if joules is None else op.executions * joules,
        fits=engine.memory_bytes <= pool.memory_bytes
        and (engine.kv_bytes is None or choice.kv_bytes <= engine.kv_bytes),
    )


def _edge(problem: Problem, transfer: Transfer, position: dict[str, int]) -> Edge:
    delay = tuple(
        tuple(_delay_s(problem, src.name, dst.name, transfer.moved_bytes) for dst in problem.pools)
        for src in problem.pools
    )
    return Edge(position[transfer.src], position[transfer.dst], transfer, delay)


def _delay_s(problem: Problem, src: str, dst: str, moved_bytes: float) -> float:
    link = problem.link.get((src, dst))
    if link is not None:
        return link.seconds(moved_bytes)
    return 0.0 if src == dst else math.inf
