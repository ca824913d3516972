"""A plan of a file, bound to the workflow as it is now: what of it holds, and what the code has changed.

The ops of plan and workflow are matched by their ids and by what they mean (:mod:`orchestrator.planner.meaning`). One
that matches keeps its place and its shares; every other is placed anew among what the plan has. Where nothing differs
the figures are the plan's as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.errors import Diagnostic, PlanError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.graph import Graph, Node
from orchestrator.planner.labels import describe, kind_of
from orchestrator.planner.meaning import PARTS, meanings, nodes_in
from orchestrator.planner.placer import serves
from orchestrator.planner.plan import OpPlan, Plan
from orchestrator.planner.serving import split_of
from orchestrator.planner.siting import as_sited
from orchestrator.redaction import HIDDEN, redacted

CHOSEN: Final = frozenset({"max_num_seqs", "replicas", "tensor_parallel_size"})
"""Options that a plan sets."""

NAMED = 5
"""Ops that a sentence names."""
_FIGURES = ("seconds", "tokens_in", "tokens_out", "cost_usd", "count", "batch_cap", "wait_s", "spent_s", "correction")
_WHOLE = (
    "seconds",
    "tokens",
    "cost_usd",
    "p95_s",
    "utilisation",
    "bill",
    "undeclared",
    "rejected",
    "warnings",
)


@dataclass(frozen=True, slots=True)
class Binding:
    """What of a plan holds for a workflow."""

    plan: Plan
    kept: frozenset[str]
    """Ids of the ops that are as they were planned."""

    @property
    def place_of(self) -> dict[str, str]:
        """Places of the ops that are kept."""
        return {name: self.plan.by_id[name].place for name in self.kept}

    def onto(self, placed: Plan) -> Plan:
        """The workflow's plan, its kept ops at their places, with what the plan says of sites, shares and aims, and
        with its figures where no op differs."""
        same = not self.differing(placed)
        fields = ("shares", *(_FIGURES if same else ()))
        ops = tuple(_taking(op, self.plan.by_id[op.id], fields) if op.id in self.kept else op for op in placed.ops)
        taken = ("objective", "sla_s", "rate_per_s", "sites", "target", "notes", *(_WHOLE if same else ()))
        return placed.model_copy(update={"ops": ops, **{name: getattr(self.plan, name) for name in taken}})

    def differing(self, placed: Plan) -> list[str]:
        """What the code has changed, in words: ops that the plan does not know as they are, and ops that are gone."""
        own = [op for op in placed.ops if op.kind not in PARTS]
        changed = [op.id for op in own if op.id not in self.kept and op.id in self.plan.by_id]
        added = [op.id for op in own if op.id not in self.plan.by_id]
        now = {op.id for op in own}
        gone = [op.id for op in self.plan.ops if op.id not in now and op.kind not in PARTS]
        named = (("changed", changed), ("new", added), ("gone", gone))
        return [f"{what}: {_listed(ops)}" for what, ops in named if ops]

    def require_same(self, placed: Plan) -> None:
        """Raise :class:`PlanError` ORCH-P094 where the code has changed."""
        if differing := self.differing(placed):
            raise PlanError(
                "ORCH-P094",
                f"`{placed.workflow}` is not the workflow that was planned any more ({'; '.join(differing)})",
                fix="plan it again with `orch plan TARGET --out FILE`, or run without --strict",
            )


def bind(plan: Plan, graph: Graph) -> Binding:
    """Match a plan with the workflow of ``graph``.

    Raises :class:`PlanError`: ORCH-P093 a plan of another workflow, ORCH-P095 for each op whose engine does not serve
    what the op asks for, ORCH-P097 an engine whose credential the plan's file does not hold.
    """
    if plan.workflow != graph.name:
        raise PlanError(
            "ORCH-P093",
            f"the plan is of the workflow `{plan.workflow}`, and not of `{graph.name}`",
            fix="name that workflow, or plan this one with `orch plan TARGET --out FILE`",
        )
    _require_credentials(plan.cluster)
    now = meanings(graph)
    nodes = {node.id: node for node in nodes_in(graph.body) if node.kind != "prefill"}
    kept = frozenset(op.id for op in plan.ops if op.id in nodes and _is_same(op, nodes[op.id], now[op.id]))
    problems = [found for name in kept if (found := _misplaced(plan, plan.by_id[name], nodes[name])) is not None]
    if problems:
        raise PlanError.collect(problems)
    sites = {site.engine: site for site in plan.sites}
    engines = tuple(as_sited(each, sites[each.name]) if each.name in sites else each for each in plan.cluster.engines)
    cluster = plan.cluster.model_copy(update={"engines": engines})
    return Binding(plan.model_copy(update={"cluster": cluster}), kept)


def _is_same(op: OpPlan, node: Node, meaning: str) -> bool:
    if op.kind != kind_of(node):
        return False
    return op.meaning == meaning if op.meaning else op.what == describe(node)  # older plans know no more


def _misplaced(plan: Plan, op: OpPlan, node: Node) -> Diagnostic | None:
    """Why a model call cannot be answered where the plan has it."""
    if op.kind != "decode" or not plan.cluster.engines:
        return None
    named = node.attrs.get("model")
    names = [each.engine for each in op.shares] or [op.place.removeprefix("engine:")]
    for name in names:
        engine = next((each for each in plan.cluster.engines if each.name == name), None)
        if engine is None or not (named is None or serves(engine, str(named))):
            what = "is no engine" if engine is None else f"serves {engine.model!r}"
            return Diagnostic(
                "ORCH-P095",
                f"the plan runs `{op.id}` at {op.place!r}, which {what}; it asks for {named!r}",
                node.where,
                fix="plan the workflow again with `orch plan TARGET --out FILE`",
            )
    return None


def at_home(plan: Plan, cluster: Cluster, where: str) -> Plan:
    """The plan for the devices of a cluster, named ``where``, with the credentials that its engines of the same names
    have. Raises :class:`PlanError` ORCH-P096 when devices that the plan needs are not there."""
    have: dict[str, int] = {}
    for device in cluster.devices:
        have[device.type] = have.get(device.type, 0) + device.count
    lacking = [
        f"{count} x {kind} (there {'is' if have.get(kind, 0) == 1 else 'are'} {have.get(kind, 0)})"
        for kind, count in _needed(plan).items()
        if count > have.get(kind, 0)
    ]
    if lacking:
        raise PlanError(
            "ORCH-P096",
            f"{where} lacks devices that the plan of `{plan.workflow}` needs: {', '.join(lacking)}",
            fix="run the plan where they are, or plan for what is there with `orch plan TARGET --out FILE`",
        )
    known = {each.name: each for each in cluster.engines}
    engines = tuple(_with_credentials(each, known.get(each.name)) for each in plan.cluster.engines)
    return plan.model_copy(update={"cluster": plan.cluster.model_copy(update={"engines": engines})})


def require_machine(plan: Plan, here: Cluster) -> None:
    """Raise :class:`PlanError` ORCH-P098 when the CPU that the plan counts on is not the one of ``here``."""
    used = {op.device for op in plan.ops if op.device is not None}
    cpus = {(each.type, each.cores) for each in here.devices if each.kind == "cpu"}
    for device in plan.cluster.devices:
        if device.kind != "cpu" or device.name not in used or (device.type, device.cores) in cpus:
            continue
        has = ", ".join(f"{cores} of {kind}" for kind, cores in sorted(cpus)) or "no CPU that is known"
        raise PlanError(
            "ORCH-P098",
            f"the plan of `{plan.workflow}` is for a machine with {device.cores} cores of {device.type}, and this one "
            f"has {has}",
            fix="plan for this machine with `orch plan TARGET --out FILE`, or run without --strict",
        )


def is_local(plan: Plan) -> bool:
    """Whether the plan has engines that are started on devices, and so needs those."""
    return bool(_needed(plan))


def _needed(plan: Plan) -> dict[str, int]:
    """Devices of each type that the engines take which the plan starts on accelerators."""
    used = {op.place.removeprefix("engine:") for op in plan.ops} | {
        each.engine for op in plan.ops for each in op.shares
    }
    sites = {site.engine: site for site in plan.sites}
    needed: dict[str, int] = {}
    for engine in plan.cluster.engines:
        if engine.kind != "vllm" or engine.device is None or engine.name not in used | sites.keys():
            continue
        device, site = plan.cluster.device(engine.device), sites.get(engine.name)
        one = split_of(engine).devices if site is None else site.tensor_parallel * site.pipeline_parallel
        copies = engine.option("replicas") if site is None else site.replicas
        count = one * (copies if isinstance(copies, int) and copies > 0 else 1)
        if device.kind == "gpu":  # engines that share a device take parts of its memory
            needed[device.name] = max(needed.get(device.name, 0), count)
    by_type: dict[str, int] = {}
    for name, count in needed.items():
        kind = plan.cluster.device(name).type
        by_type[kind] = by_type.get(kind, 0) + count
    return by_type


def _with_credentials(engine: EngineSpec, known: EngineSpec | None) -> EngineSpec:
    """The engine with what is hidden in the plan's file, as the cluster file has it: for an engine of the same kind and
    model, all of whose addresses and other options for a service are the same, so that no file of a stranger's gets a
    credential sent to where it likes."""
    if known is None or (known.kind, known.model) != (engine.kind, engine.model):
        return engine
    own = {name: value for name, value in known.options.items() if HIDDEN in "".join(_texts(engine.options.get(name)))}
    shown = redacted(known.options)
    told = (engine.options.keys() | known.options.keys()) - CHOSEN
    if any(engine.options.get(name) not in (shown.get(name), HIDDEN) for name in told):
        return engine
    return engine.model_copy(update={"options": {**engine.options, **own}})


def _require_credentials(cluster: Cluster) -> None:
    for engine in cluster.engines:
        if _lacks_credential(engine):
            raise PlanError(
                "ORCH-P097",
                f"engine {engine.name!r} needs a credential that the plan's file does not hold",
                fix="name the cluster file that has it, with --cluster, or have the engine read it from a variable",
            )


def _lacks_credential(engine: EngineSpec) -> bool:
    return any(HIDDEN in each for each in _texts(engine.options))


def _texts(value: object) -> Sequence[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []


def _taking(op: OpPlan, planned: OpPlan, fields: Sequence[str]) -> OpPlan:
    return op.model_copy(update={name: getattr(planned, name) for name in fields})


def _listed(ops: Sequence[str]) -> str:
    return ", ".join(f"`{each}`" for each in ops[:NAMED]) + (f" and {len(ops) - NAMED} more" if ops[NAMED:] else "")
