"""Where one op runs: the greedy heuristic behind :func:`orchestrator.planner.place.plan`.

Each op is placed by itself, without regard to what else runs there:

- a model call goes to the engine that serves its model, fits its device, and is best for the objective on a reference
  call (1,000 tokens in, 200 out); ties go to the engine listed first;
- a person answers at place ``human``, a sleep passes at ``timer``; bookkeeping and tools declared cheap run
  ``inline``; an async tool stays on the event loop (``async``), an isolated one in the ``process`` or ``thread`` of its
  own that it asks for;
- any other tool runs where the calls of it that run at once are done first (:mod:`orchestrator.planner.tools.choices`):
  on a thread of the coordinator, whose journal guards its side effects, or a pure one in a process or a Ray worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.errors import Diagnostic
from orchestrator.passes.inline_cheap import ELSEWHERE
from orchestrator.planner.catalogue import catalogue
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.cost.call import CallCost, call_cost
from orchestrator.planner.figures import dollars, duration
from orchestrator.planner.graph import Node
from orchestrator.planner.interval import ZERO, Interval
from orchestrator.planner.plan import Objective
from orchestrator.planner.serving import GIB, USABLE_MEMORY, Replica, Serving, resolve
from orchestrator.planner.tools.choices import Chosen, Cores, Work, cheapest

DEFAULT_MODEL: Final = "default"
LEAST_KV_TOKENS: Final = 2048
"""An engine that cannot hold the KV cache of this many tokens is not considered."""

_REFERENCE_PROMPT, _REFERENCE_REPLY = Interval.exact(1000), Interval.exact(200)
_COMPILED = frozenset({"inline", "async"})
"""Places that passes give; any other is of an earlier plan."""
_BOOKKEEPING = frozenset({"prompt", "chat", "const", "field"})


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an op runs, and what was considered besides."""

    place: str
    device: str | None = None
    serving: Serving | None = None
    """Set for model calls."""
    alternatives: tuple[str, ...] = ()


class Placer:
    """Places ops on one cluster: model calls in ``engine_of`` (by op id) on that engine, other ops in ``place_of``
    there, and all the rest greedily.

    Problems are collected in ``diagnostics``, so that all are reported together.
    """

    def __init__(
        self,
        cluster: Cluster,
        objective: Objective,
        engine_of: Mapping[str, str] | None = None,
        place_of: Mapping[str, str] | None = None,
    ) -> None:
        self.cluster = cluster
        self._place_of = place_of or {}
        self._engine_of = engine_of or {}
        self.objective = objective
        self.servings = {engine.name: resolve(engine, cluster) for engine in cluster.engines}
        self.diagnostics: list[Diagnostic] = []
        self._by_model: dict[str, Placement | None] = {}
        self._cpu = next((device for device in cluster.devices if device.kind == "cpu"), None)
        self._inline = Placement("inline", self._cpu.name if self._cpu else None)
        here = max(self._cpu.cores, 1) if self._cpu else 1
        everywhere = sum(each.cores * each.count for each in cluster.devices if each.kind == "cpu")
        self._cores = Cores(here, max(here, everywhere))
        self._chosen: dict[tuple[str, Work, str | None], Chosen] = {}

    def model_call(self, node: Node, model: str) -> Placement | None:
        """The engine for ``model``; ``None`` (and a diagnostic, once for each model) when there is none."""
        if (serving := self.servings.get(self._engine_of.get(node.id, ""))) is not None:
            return Placement(f"engine:{serving.engine.name}", serving.engine.device, serving)
        if model not in self._by_model:
            self._by_model[model] = self._choose(node, model)
        return self._by_model[model]

    def costliest(self, node: Node) -> Placement | None:
        """The engine that costs most of those that a call may go to whose model is a value: of the models that its
        type lists, else of all. ``None`` (and a diagnostic for each model that nobody serves) when there is none."""
        named = node.opts.get("models") or sorted({each.engine.model for each in self.servings.values()})
        found = [self.model_call(node, model) for model in named or [DEFAULT_MODEL]]
        return max((each for each in found if each is not None), key=_reference_price, default=None)

    def call(self, node: Node) -> Placement | None:
        """A person, bookkeeping, or a tool that a pass or the user has placed; ``None`` for a tool whose place is to be
        chosen (:meth:`tool`)."""
        own = self._given(node)
        if own is not None and self._place_of.get(node.id, own.place) != own.place:
            self._refuse(node, own.place)
        return own

    def _given(self, node: Node) -> Placement | None:
        given, kind = node.attrs.get("place"), node.attrs.get("kind")
        callee = str(node.attrs.get("callee", ""))
        device = self._cpu.name if self._cpu else None
        if kind in ELSEWHERE:
            return Placement(ELSEWHERE[kind])
        if given in _COMPILED:
            return Placement(given, device)
        if node.opts.get("isolation"):
            return Placement(str(node.opts["isolation"]), device)
        if kind in _BOOKKEEPING or callee.startswith("builtin."):
            return self._inline
        if node.opts.get("is_async"):
            return Placement("async", device)
        return None

    def tool(self, node: Node, work: Work) -> tuple[Placement, Chosen]:
        """The cheapest place for a tool, and what a call costs there beside the seconds of its function."""
        effects = str(node.attrs.get("effects", "once"))
        wanted = self._place_of.get(node.id)
        chosen = self._chosen.get((effects, work, wanted))
        if chosen is None:
            chosen = cheapest(work, effects, self._cores, ray=self.cluster.ray, at=wanted)
            self._chosen[effects, work, wanted] = chosen
        if wanted is not None and chosen.place != wanted:
            self._refuse(node, chosen.place)
        device = self._cpu.name if self._cpu else None
        return Placement(chosen.place, device, alternatives=chosen.alternatives), chosen

    def _refuse(self, node: Node, own: str) -> None:
        refused = _cannot_run_at(node, self._place_of[node.id], own)
        if refused not in self.diagnostics:  # a loop's body is walked more than once
            self.diagnostics.append(refused)

    def cpu_use(self, seconds: Interval) -> tuple[Interval | None, Interval]:
        """What ``seconds`` of one core cost (``None``: unknown), and how long they keep the whole CPU from others.

        A tool may wait rather than compute, so at best it keeps nobody from anything.
        """
        if self._cpu is None:
            return None, ZERO
        cores, per_hour = max(self._cpu.cores, 1), self._cpu.usd_per_hour
        cost = seconds.scaled(per_hour / 3600 / cores) if per_hour is not None else None
        return cost, Interval(0.0, seconds.mid / cores, seconds.hi / cores)

    def _choose(self, node: Node, model: str) -> Placement | None:
        if not self.servings:
            return unassigned(model)
        serving = [s for s in self.servings.values() if model in _names(s.engine)]
        serving = serving or [s for s in self.servings.values() if serves(s.engine, model)]
        if not serving:
            self.diagnostics.append(_nobody_serves(node, model, self.servings))
            return None
        fitting = [s for s in serving if shortfall_bytes(s.replica) <= 0] or [s for s in serving if _is_a_guess(s)]
        if not fitting:
            self.diagnostics.append(_nothing_fits(node, model, serving))
            return None
        ranked = sorted(fitting, key=self._rank)
        best = ranked[0]
        rejected = [
            f"engine:{s.engine.name}: {_reference(s)} for 1,000 tokens in and 200 out, the chosen {_reference(best)}"
            for s in ranked[1:]
        ]
        rejected += [f"engine:{s.engine.name}: {_too_big(s)}" for s in serving if s not in fitting]
        return Placement(f"engine:{best.engine.name}", best.engine.device, best, tuple(rejected))

    def _rank(self, serving: Serving) -> tuple[bool, float]:
        cost = reference_call(serving)
        if self.objective == "cost":
            return cost.cost_usd is None, cost.cost_usd.mid if cost.cost_usd else cost.seconds.mid
        return False, cost.seconds.mid


def serves(engine: EngineSpec, model: str) -> bool:
    """Whether an engine answers calls of a model; a script is any model."""
    return engine.kind == "scripted" or model in _names(engine)


def _names(engine: EngineSpec) -> tuple[str, ...]:
    return DEFAULT_MODEL, engine.model, engine.name


def unassigned(model: str) -> Placement:
    """Where ``model`` runs on a cluster without any engine: whoever starts the run must bring one of that name."""
    nobody = EngineSpec(name=model, kind="openai", model=model)
    return Placement(f"engine:{model}", None, Serving(nobody, None))


def reference_call(serving: Serving) -> CallCost:
    """The call by which engines are compared."""
    return call_cost(serving, _REFERENCE_PROMPT, _REFERENCE_PROMPT, _REFERENCE_REPLY, samples=1)


def _reference_price(placement: Placement) -> tuple[float, float]:
    """Dollars, then seconds; what has no price may have any."""
    if placement.serving is None:
        return 0.0, 0.0
    cost = reference_call(placement.serving)
    return (float("inf") if cost.cost_usd is None else cost.cost_usd.hi), cost.seconds.hi


def _reference(serving: Serving) -> str:
    cost = reference_call(serving)
    price = dollars(cost.cost_usd.mid) if cost.cost_usd else "an unknown price"
    return f"{duration(cost.seconds.mid)} and {price}"


def _least_bytes(replica: Replica) -> float:
    """Of the weights and the least useful KV cache, over all devices."""
    return replica.weight_bytes + replica.facts.kv_bytes(LEAST_KV_TOKENS) * replica.kv_copies


def shortfall_bytes(replica: Replica | None) -> float:
    """What is missing for the weights and the least useful KV cache; at most 0 when they fit (or nobody knows)."""
    if replica is None:
        return 0.0
    if replica.parallel > replica.device.count:
        return float("inf")
    return _least_bytes(replica) - replica.usable_bytes


def _is_a_guess(serving: Serving) -> bool:
    """Whether the size of the model is not known: then it is the engine that says whether it fits."""
    replica = serving.replica
    return replica is not None and not replica.facts.known and replica.parallel <= replica.device.count


def _cannot_run_at(node: Node, wanted: str, own: str) -> Diagnostic:
    return Diagnostic(
        "ORCH-P095",
        f"the plan runs `{node.id}` at {wanted!r}, where it cannot run; it can at {own!r}",
        node.where,
        fix="plan the workflow again with `orch plan TARGET --out FILE`",
    )


def _nobody_serves(node: Node, model: str, servings: Mapping[str, Serving]) -> Diagnostic:
    offered = ", ".join(sorted({s.engine.model for s in servings.values()}))
    return Diagnostic(
        "ORCH-P010",
        f"no engine serves the model {model!r}, which `{node.id}` calls",
        node.where,
        why=f"models served: {offered}",
        fix="ask for one of those, or add an [[engine]] to the cluster file",
    )


def _nothing_fits(node: Node, model: str, serving: list[Serving]) -> Diagnostic:
    reasons = "; ".join(f"engine {s.engine.name}: {_too_big(s)}" for s in serving)
    replica = serving[0].replica
    fits = _what_would_fit(replica) if replica else []
    return Diagnostic(
        "ORCH-P011",
        f"the model {serving[0].engine.model!r}, which `{node.id}` calls, does not fit any device that should serve it",
        node.where,
        why=reasons,
        fix=f"it would fit on {' or '.join(fits)}" if fits else "serve a smaller or quantised model",
    )


def _too_big(serving: Serving) -> str:
    replica = serving.replica
    if replica is None:
        return "fits"
    device = replica.device
    if replica.parallel > device.count:
        over = "tensor_parallel_size is" if replica.at.pp == 1 else "tensor and pipeline parallelism together are"
        return f"{over} {replica.parallel}, but there are only {device.count} of {device.name!r}"
    need = _least_bytes(replica) / GIB
    have = replica.usable_bytes / GIB
    return f"needs {need:.1f} GiB for weights and KV cache, {replica.parallel} x {device.name} has {have:.1f} to give"


def _what_would_fit(replica: Replica) -> list[str]:
    """As few of the same device as are enough, of those there are and that divide the heads, and the three smallest of
    the GPUs that are large enough."""
    heads = replica.facts.heads
    counts = [n for n in (1, 2, 4, 8) if n <= replica.device.count and heads % n == 0 and n != replica.parallel]
    more = [f"{n} x {replica.device.name}" for n in counts if _fits(replica, replica.device.memory_bytes, n)]
    singles = sorted(
        (kind.memory_bytes.value, name)
        for name, kind in catalogue().items()
        if kind.kind == "gpu" and kind.memory_bytes and _fits(replica, kind.memory_bytes.value, 1)
    )
    return more[:1] + [name for _, name in singles[:3]]


def _fits(replica: Replica, memory_bytes: float, parallel: int) -> bool:
    return (
        _least_bytes(replace(replica, parallel=parallel, split=None))
        <= memory_bytes * (replica.usable or USABLE_MEMORY["gpu"]) * parallel
    )
