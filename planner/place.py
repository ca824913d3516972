"""Planning: read the level-2 module, place and price each op, and write the outcome back into it.

The heuristic is greedy and says so: ops are placed one by one (:mod:`orchestrator.planner.placer`), priced by a
roofline (:mod:`orchestrator.planner.cost.call`), and added up along the data flow
(:mod:`orchestrator.planner.estimate`).
Linear in the number of ops, and in how deep loops are nested.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.errors import PlanError
from orchestrator.ir._mlir import ir
from orchestrator.planner.cluster import Cluster
from orchestrator.planner.estimate import Estimate, Estimator
from orchestrator.planner.graph import Graph, Node, read
from orchestrator.planner.interval import Interval, total
from orchestrator.planner.labels import describe, kind_of
from orchestrator.planner.pins import pins_of
from orchestrator.planner.placer import Placement, Placer
from orchestrator.planner.plan import Objective, OpPlan, Plan
from orchestrator.planner.promises import check_promises
from orchestrator.planner.resources import Resources
from orchestrator.planner.serving import GIB

OBJECTIVES: tuple[Objective, ...] = ("latency", "cost")


def plan(module: Any, cluster: Cluster, objective: Objective = "latency", *, ir_hash: str = "") -> Plan:
    """Plan a level-2 module on ``cluster``, and set ``place`` and ``resources`` of its ops; see :func:`plan_graph`."""
    return plan_graph(read(module), cluster, objective, ir_hash=ir_hash)


def plan_graph(
    graph: Graph,
    cluster: Cluster,
    objective: Objective = "latency",
    *,
    ir_hash: str = "",
    engine_of: Mapping[str, str] | None = None,
    place_of: Mapping[str, str] | None = None,
) -> Plan:
    """Plan a module that has been read already; places and resources go into the graph's nodes and the module's ops.

    ``engine_of`` names the engine of model calls (by op id) that are placed already, by the exact placement or in an
    earlier plan, and ``place_of`` the places of other ops that are.
    ``ir_hash`` is of what the module means, and kept in the plan so that one can tell what it was made for.
    Raises :class:`PlanError`, with everything that is wrong: ORCH-P010 nobody serves a model, ORCH-P011 a model fits
    nowhere, ORCH-P012 an op that cannot be priced, ORCH-P013 an unknown objective, ORCH-P014 an engine does not take
    what a call asks for, ORCH-P095 an op cannot run at its place in ``place_of``.
    """
    if objective not in OBJECTIVES:
        raise PlanError("ORCH-P013", f"unknown objective {objective!r}", fix=f"use one of {', '.join(OBJECTIVES)}")
    placer = Placer(cluster, objective, engine_of, place_of)
    estimator = Estimator(graph, placer)
    outcome = estimator.run()
    problems = [*placer.diagnostics, *estimator.diagnostics.values()]
    if problems:
        raise PlanError.collect(problems)
    estimates = estimator.estimates.values()
    _write([*((each.node, each.placement, each.resources) for each in estimates), *estimator.companions.values()])
    cost_usd = _total_cost(estimates)
    tokens = total((e.tokens_in + e.tokens_out) * e.count for e in estimates)
    warnings = [*cluster.warnings, *_engine_warnings(cluster, estimates), *_price_warnings(estimates)]
    warnings += check_promises(graph.opts, outcome.seconds, tokens, cost_usd)
    return Plan(
        workflow=graph.name,
        ir_hash=ir_hash,
        cluster=cluster,
        objective=objective,
        ops=tuple(map(_op_plan, estimates)),
        seconds=outcome.seconds,
        tokens=tokens,
        cost_usd=cost_usd,
        pins=tuple(pins_of(graph.body, estimator.estimates)),
        moves=tuple(move for moves in estimator.moves.values() for move in moves),
        critical_path=outcome.path,
        warnings=tuple(warnings),
    )


def _write(placed: Sequence[tuple[Node, Placement, Resources]]) -> None:
    """Set ``place`` and ``resources`` of leaf ops; region ops stay as they are."""
    leaves = [each for each in placed if not each[0].regions]
    if not leaves:
        return
    context = leaves[0][0].handle.context
    places: dict[str, Any] = {}
    vectors: dict[Resources, Any] = {}
    with ir.Location.unknown(context):
        for node, placement, resources in leaves:
            if placement.place not in places:
                places[placement.place] = ir.StringAttr.get(placement.place)
            if resources not in vectors:
                figures = resources.as_attributes()
                vectors[resources] = ir.DictAttr.get(
                    {name: ir.FloatAttr.get_f64(figure) for name, figure in figures.items()}
                )
            node.attrs["place"] = placement.place
            attributes = node.handle.attributes
            attributes["place"] = places[placement.place]
            attributes["resources"] = vectors[resources]


def _op_plan(estimate: Estimate) -> OpPlan:
    node, placement = estimate.node, estimate.placement
    return OpPlan(
        id=node.id,
        kind=kind_of(node),
        what=describe(node),
        place=placement.place,
        device=placement.device,
        seconds=estimate.seconds,
        tokens_in=estimate.tokens_in,
        tokens_out=estimate.tokens_out,
        cost_usd=estimate.cost_usd,
        count=estimate.count,
        resources=estimate.prefill + estimate.resources,
        source=node.source,
        parent=estimate.parent,
        region=estimate.region,
        after=estimate.after,
        alternatives=placement.alternatives,
        guesses=estimate.guesses,
    )


def _total_cost(estimates: Iterable[Estimate]) -> Interval | None:
    costs = []
    for each in estimates:
        if each.cost_usd is None:
            return None
        costs.append(each.cost_usd * each.count)
    return total(costs)


def _engine_warnings(cluster: Cluster, estimates: Iterable[Estimate]) -> list[str]:
    """What is guessed about the engines in use, and the largest request of each that its memory may not hold."""
    largest: dict[str, Estimate] = {}
    for each in estimates:
        if each.placement.serving is not None:
            known = largest.setdefault(each.placement.place, each)
            if each.resources.kv_bytes > known.resources.kv_bytes:
                largest[each.placement.place] = each
    if largest and not cluster.engines:
        return ["the cluster has no engine: model calls are priced as a service about which nothing is known"]
    found = []
    for each in largest.values():
        serving = each.placement.serving
        assert serving is not None
        found += serving.warnings()
        if serving.replica and each.resources.kv_bytes > serving.replica.kv_capacity_bytes:
            have, need = serving.replica.kv_capacity_bytes / GIB, each.resources.kv_bytes / GIB
            if have < 0:
                said = f"engine {serving.engine.name} may not start: as far as is known, {-have:.1f} GiB are missing"
            else:
                said = f"`{each.node.id}` needs {need:.1f} GiB of KV cache; engine {serving.engine.name} has {have:.1f}"
            found.append(said)
        context = serving.replica.facts.context_tokens if serving.replica else None
        if context is not None and each.tokens_in.mid > context:
            found.append(
                f"`{each.node.id}` has about {each.tokens_in.mid:.0f} prompt tokens; the model takes {context}"
            )
    return found


def _price_warnings(estimates: Iterable[Estimate]) -> list[str]:
    unpriced: dict[str, list[str]] = {}
    for each in estimates:
        if each.cost_usd is None:
            unpriced.setdefault(each.placement.device or each.placement.place, []).append(each.node.id)
    return [
        f"no price known for {device}, used by {', '.join(ids[:3])}{' …' if len(ids) > 3 else ''}: "
        "set usd_per_hour, or for a service the prices per token, in the cluster file"
        for device, ids in unpriced.items()
    ]
