"""Refuses a problem that is not one: wrong figures, names nothing bears, cycles, ops that fit nowhere.

All problems are reported together. Codes: ORCH-P040 a figure, P041 an empty cluster or workflow, P042 a name, P043 a
cycle, P044 an op that no device can hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from orchestrator.errors import Diagnostic, PlanError
from orchestrator.planner.solver.problem import Problem, figures

_POSITIVE = {"bytes_per_s", "capacity_bytes_per_s", "devices", "tensor", "pipeline", "expert", "batch", "sla_s"}
_POSITIVE |= {"rate_per_s", "throughput_per_s", "utilisation"}
_MAY_BE_INFINITE = {"memory_bytes"}


def check(problem: Problem) -> None:
    """Raise :class:`PlanError` with everything that is wrong with ``problem``."""
    found = [*_wrong_figures(problem), *_empty(problem), *_unknown_names(problem)]
    # A cycle or a fit can only be looked for among names that exist.
    found = found or [*_cycles(problem), *_unfitting(problem)]
    if found:
        raise PlanError.collect(found)


def _wrong_figures(problem: Problem) -> Iterator[Diagnostic]:
    for where, part in _parts(problem):
        for name, value in figures(part):
            least = "more than 0" if name in _POSITIVE else "0 or more"
            wrong = math.isnan(value) or value < 0 or (name in _POSITIVE and value == 0)
            wrong |= math.isinf(value) and name not in _MAY_BE_INFINITE
            if not wrong and not (name == "utilisation" and value > 1):
                continue
            yield Diagnostic(
                "ORCH-P040",
                f"`{name}` of {where} is {value:g}",
                why=f"it must be a finite number, {least}" + (" and at most 1" if name == "utilisation" else ""),
                fix="leave a figure out (None) where it is unknown",
            )


def _parts(problem: Problem) -> Iterator[tuple[str, object]]:
    yield "the workload", problem.workload
    yield from ((f"pool {pool.name!r}", pool) for pool in problem.pools)
    yield from ((f"link {link.src!r} -> {link.dst!r}", link) for link in problem.links)
    yield from ((f"configuration {each.name!r}", each) for each in problem.configurations)
    yield from ((f"transfer {each.src!r} -> {each.dst!r}", each) for each in problem.transfers)
    for op in problem.ops:
        yield f"op {op.id!r}", op
        yield from ((f"op {op.id!r} on {choice.configuration!r}", choice) for choice in op.choices)


def _empty(problem: Problem) -> Iterator[Diagnostic]:
    if not any(pool.count for pool in problem.pools):
        yield Diagnostic(
            "ORCH-P041",
            "the cluster is empty: no pool has a device",
            why="every op needs a device to run on",
            fix="add a device with `count` of 1 or more to the cluster file",
        )
    if not problem.ops:
        yield Diagnostic("ORCH-P041", "the workflow is empty: no op to place", fix="add a step to the workflow")


def _unknown_names(problem: Problem) -> Iterator[Diagnostic]:
    pools, configurations, ops = ({*names} for names in (problem.pool, problem.configuration, problem.op))
    for kind, names in (
        ("pool", [pool.name for pool in problem.pools]),
        ("configuration", [each.name for each in problem.configurations]),
        ("op", [op.id for op in problem.ops]),
        ("link", [f"{link.src} -> {link.dst}" for link in problem.links]),
    ):
        for name in sorted({name for name in names if names.count(name) > 1} if len({*names}) < len(names) else ()):
            yield Diagnostic("ORCH-P042", f"two are named {kind} {name!r}", fix="give each a name of its own")
    yield from _missing("link", [(f"{each.src} -> {each.dst}", (each.src, each.dst)) for each in problem.links], pools)
    yield from _missing("configuration", [(each.name, (each.pool,)) for each in problem.configurations], pools)
    yield from _missing("op", [(op.id, [c.configuration for c in op.choices]) for op in problem.ops], configurations)
    yield from _missing("transfer", [(f"{t.src} -> {t.dst}", (t.src, t.dst)) for t in problem.transfers], ops)


def _missing(kind: str, named: Iterable[tuple[str, Iterable[str]]], known: set[str]) -> Iterator[Diagnostic]:
    for name, used in named:
        for each in dict.fromkeys(used):
            if each not in known:
                yield Diagnostic(
                    "ORCH-P042",
                    f"{kind} {name!r} names {each!r}, which does not exist",
                    fix=f"known: {', '.join(sorted(known)[:8]) or 'none'}",
                )


def _cycles(problem: Problem) -> Iterator[Diagnostic]:
    placed = {*problem.order}
    left = [op.id for op in problem.ops if op.id not in placed]
    if not left:
        return
    # Each op that is left waits for one that is left too, so walking backwards must come round.
    walk = [left[0]]
    while len({*walk}) == len(walk):
        walk.append(next(each.src for each in problem.entering[walk[-1]] if each.src not in placed))
    cycle = walk[walk.index(walk[-1]) :][::-1]
    yield Diagnostic(
        "ORCH-P043",
        f"the transfers form a cycle: {' -> '.join(cycle)}",
        why="an op cannot wait for its own result",
        fix="unroll the loop up to its bound: one op with `executions` and `serial`",
    )


def _unfitting(problem: Problem) -> Iterator[Diagnostic]:
    for op in problem.ops:
        if not op.choices:
            yield Diagnostic(
                "ORCH-P044",
                f"op {op.id!r} has no choice: no pool can run it",
                fix="add a device of the kind it needs, or an engine for its model",
            )
            continue
        short = {}
        for choice in op.choices:
            need, pool = problem.configuration[choice.configuration].memory_bytes, problem.pool_of[choice.configuration]
            short[pool.name, choice.configuration] = need - pool.memory_bytes
        if all(missing > 0 for missing in short.values()):
            pool_name, name = min(short, key=short.__getitem__)
            need, has = problem.configuration[name].memory_bytes, problem.pool[pool_name].memory_bytes
            yield Diagnostic(
                "ORCH-P044",
                f"op {op.id!r} fits nowhere: each of its {len(short)} configurations needs more than a device holds",
                why=f"the closest, {name!r} on pool {pool_name!r}, needs {need / 1e9:.4g} GB of `memory_bytes` "
                f"and a device has {has / 1e9:.4g} GB",
                fix="split the model over more devices, use a smaller dtype, or add a device with more memory",
            )
