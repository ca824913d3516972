"""Whole plans for one workflow: the one to take, what it is expected to do, and the best of those that lost.

Where the cluster leaves engines without a device, the exact placement (:mod:`orchestrator.planner.siting`) chooses
devices, splits, batches, replicas and who asks whom; each solution is completed, and one whose tail misses the SLA goes
back with a shorter one. At an arrival rate the tail is a simulation's (:mod:`orchestrator.planner.simulated_tail`), and
never less than that of a run alone, which is estimated first and rules most plans out that are too slow.

Engines that have their devices stay there, and the greedy placer decides op by op. :class:`Planning` asks it several
times, each time with something taken away or moved (another objective, one engine less, an engine on another device),
completes every plan with what depends on the whole of it (corrections from measured runs, waiting at the arrival rate,
the tail), and takes the one that is best for the objective among those that keep the SLA. The others say by how much
they lost.

>>> planning = Planning(module, ir_hash)                                                    # doctest: +SKIP
>>> plan = planning.plan(Asked(cluster, "cost", rate_per_s=2.5, sla_s=8.0))                 # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from orchestrator.errors import PlanError
from orchestrator.planner import place
from orchestrator.planner.bill import bill
from orchestrator.planner.binding import bind
from orchestrator.planner.breakdown import batch_cap, speed, spent
from orchestrator.planner.choice import KEPT, TOO_SLOW, Candidate, best, fastest, keeps, rejected
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.graph import Graph, Region, read
from orchestrator.planner.meaning import meanings
from orchestrator.planner.observations import Corrections, corrected
from orchestrator.planner.plan import Objective, OpPlan, Plan
from orchestrator.planner.promises import check_promises
from orchestrator.planner.queueing import at_rate
from orchestrator.planner.rent import rented
from orchestrator.planner.serving import Serving, resolve
from orchestrator.planner.shares import shared
from orchestrator.planner.siting import Siting, anywhere, problem_of, proof, sited, unsited
from orchestrator.planner.tail import p95_s
from orchestrator.planner.undeclared import undeclared

if TYPE_CHECKING:
    from orchestrator.planner.placement import Problem, Solution, Workload
    from orchestrator.planner.simulated_tail import SimulatedTail


@dataclass(frozen=True)
class Asked:
    """What a plan is made for."""

    cluster: Cluster
    objective: Objective = "latency"
    rate_per_s: float | None = None
    """Arrivals of runs; ``None``: each has the cluster to itself."""
    sla_s: float | None = None
    """What 95 % of the runs must stay below."""
    corrections: Corrections = field(default_factory=dict)
    sited: Plan | None = None
    """An earlier plan on this cluster whose sites are kept, and its model calls where they are."""
    kept: Plan | None = None
    """A plan that is to be run as it stands: ops that are as it knows them keep their places, on its cluster."""
    strict: bool = False
    """Whether any other op is refused, in place of being placed anew."""
    told: bool = True
    """Whether somebody reads the plan, with its tail, its bill and the plans that lost. Where nothing is to be chosen a
    run needs none of them, and they take longer than placing."""


@dataclass(frozen=True)
class _Placed:
    """A completed plan, and the solution that it is of."""

    plan: Plan
    siting: Siting
    problem: Problem
    solution: Solution


class Planning:
    """Plans for the workflow of a level-2 module, whose ops have the places of the last plan that was made.

    ``graph`` is what :func:`orchestrator.planner.graph.read` gives for it, where that is there already. Raises
    :class:`IRError` ORCH-I001 when the module holds no workflow.
    """

    def __init__(self, module: Any, ir_hash: str = "", graph: Graph | None = None) -> None:
        self._module = module  # the graph's handles are into it, and do not keep it alive
        self._graph = read(module) if graph is None else graph
        self._ir_hash = ir_hash
        self._samples = dict(_samples(self._graph.body))
        self._last: Plan | None = None
        """The ops of the module have its places."""
        self._tails: dict[tuple[float, float, str], SimulatedTail | None] = {}
        """Its keys are the rate, the seconds at it, and the plan of runs alone: tightened problems often share it."""

    def plan(self, asked: Asked) -> Plan:
        """The best plan, and where it is told its bill and the best rejected ones; where not, the module's ops have its
        places.

        Raises what :func:`orchestrator.planner.place.plan_graph` raises, and :class:`PlanError` ORCH-P020 when no plan
        keeps the SLA, ORCH-P021 when every plan is overloaded, ORCH-P022 when the objective's figures are unknown. For
        a plan that is kept: what :func:`orchestrator.planner.binding.bind` raises, and ORCH-P094 when it has to be the
        same.
        """
        plan = self._chosen(asked)
        if not asked.told:
            if asked.kept is None and plan is not self._last:  # of several that were tried
                self._place(plan.cluster, "latency", _engine_of(plan))
            return plan
        meaning = meanings(self._graph)
        ops = tuple(op.model_copy(update={"meaning": meaning[op.id]}) for op in plan.ops)
        update = {"ops": ops, "bill": bill(plan), "undeclared": undeclared(self._graph, plan)}
        return plan.model_copy(update=update)

    def _chosen(self, asked: Asked) -> Plan:
        if asked.kept is not None:
            return self._bound(asked.kept, asked)
        if unsited(asked.cluster):
            return self._sited(asked)
        if asked.sited is not None and asked.sited.sites:
            return self._kept(asked.sited, asked)
        base = _greedy_objective(asked.objective)
        greedy = self._greedy(asked.cluster, base)
        if not asked.told and base == asked.objective and not _is_a_choice(greedy, asked):
            return greedy
        candidates = [self._candidate(f"made for {base}", lambda: greedy, asked), *self._others(greedy, asked)]
        taken, others = self._best(_distinct(candidates), asked)
        plan = taken.model_copy(update={"objective": asked.objective, "sla_s": asked.sla_s})
        return plan.model_copy(update={"rejected": rejected(plan, others, asked.sla_s)})

    def _best(self, candidates: list[Candidate], asked: Asked) -> tuple[Plan, list[Candidate]]:
        """The best plan whose tail keeps the SLA, simulated where it has to be, and the other candidates.

        Where none keeps it, the error names the shortest tail of all, so that one is simulated, too.
        """
        pool = list(candidates)
        while True:
            try:
                taken = best(pool, asked.objective, asked.sla_s)
            except PlanError as refused:
                if refused.code != TOO_SLOW:
                    raise
                taken = fastest([each for each in pool if not each.because])
                if taken.alone is None:
                    raise
            checked = self._simulated(taken, asked)
            if checked.plan is not None and keeps(checked.plan, asked.sla_s):
                return checked.plan, [each for each in pool if each is not taken]
            pool = [checked if each is taken else each for each in pool]

    def _sited(self, asked: Asked) -> Plan:
        """The exact placement's plan, with the best that lost."""
        from orchestrator.planner.placement import alternatives

        placed, tried = self._placed(asked)
        if placed is not None:
            lost = alternatives(placed.problem, placed.solution, KEPT) if asked.told else ()
            labelled = [(f"with {', '.join(each.instead)}", each.solution) for each in lost]
            rest = [self._solved(label, solution, placed.siting, asked) for label, solution in labelled]
            return _settled(placed.plan, proof(placed.solution), rest, asked)
        if asked.sla_s is not None:
            quickest = self._quickest(asked, tried)
            if quickest.plan is not None and keeps(quickest.plan, asked.sla_s):
                note = "placement: the fastest; no other that keeps the SLA was found"
                return _settled(quickest.plan, note, tried, asked)
            tried.append(quickest)
        return self._best(tried, asked)[0]

    def _placed(self, asked: Asked) -> tuple[_Placed | None, list[Candidate]]:
        """The first solution that keeps the SLA once it is completed, and those that did not."""
        from orchestrator.planner.placement import Workload, solve

        estimate = self._greedy(anywhere(asked.cluster), "latency")
        batched = asked.rate_per_s is not None or asked.objective == "throughput"
        siting = Siting(estimate, asked.cluster, self._samples, batched)
        workload = Workload(rate_per_s=asked.rate_per_s, sla_s=asked.sla_s)
        tried: list[Candidate] = []
        missed: float | None = None
        for _ in range(ATTEMPTS):
            problem = problem_of(siting, workload)
            try:
                solution = solve(problem, asked.objective)
            except PlanError as error:
                if not tried and (asked.sla_s is None or error.code != "ORCH-P047"):
                    raise
                if workload.sla_s is None or missed is None or missed < CLOSE * workload.sla_s:
                    break
                workload = replace(workload, sla_s=math.sqrt(workload.sla_s * missed))
                continue
            taken = self._solved("the exact placement", solution, siting, asked)
            in_time = taken.plan is not None and keeps(taken.plan, asked.sla_s)
            taken = self._simulated(taken, asked) if in_time else taken
            if taken.plan is not None and keeps(taken.plan, asked.sla_s):
                return _Placed(taken.plan, siting, problem, solution), tried
            tried.append(taken)
            missed = None if in_time else solution.seconds
            workload = _tightened(workload, solution, None if in_time else taken.plan, asked.sla_s)
        return None, tried

    def _quickest(self, asked: Asked, tried: Sequence[Candidate]) -> Candidate:
        """The placement with the shortest critical path that keeps up with the rate, whatever it costs: what can be
        had at all."""
        label, anyhow = "the fastest placement", replace(asked, objective="latency", sla_s=None)
        try:
            placed, overloaded = self._placed(anyhow)
            return Candidate(label, placed.plan if placed is not None else self._best(overloaded, anyhow)[0])
        except PlanError as error:
            if not tried:
                raise
            return Candidate(label, None, error)

    def _solved(self, label: str, solution: Solution, siting: Siting, asked: Asked) -> Candidate:
        site = sited(solution, siting)

        def make() -> Plan:
            return shared(self._place(site.cluster, "latency", site.engine_of), site.shares, self._samples)

        found = self._candidate(label, make, replace(asked, cluster=site.cluster))
        plan = found.plan.model_copy(update={"sites": site.sites}) if found.plan is not None else None
        return replace(found, plan=rented(plan) if plan is not None else None)

    def _kept(self, before: Plan, asked: Asked) -> Plan:
        """A plan with the sites of an earlier one: what they would do for the workflow as it is now."""
        placed = self._place(asked.cluster, "latency", _engine_of(before))
        shares = {op.id: op.shares for op in before.ops if op.shares and op.id in {each.id for each in placed.ops}}
        placed = shared(placed, shares, self._samples)
        plan = rented(self.complete(placed, asked).model_copy(update={"sites": before.sites}))
        return plan.model_copy(update={"objective": asked.objective, "sla_s": asked.sla_s})

    def _bound(self, before: Plan, asked: Asked) -> Plan:
        """The plan of a file for the workflow as it is now."""
        binding = bind(before, self._graph)
        placed = self._place(
            binding.plan.cluster,
            _greedy_objective(before.objective),
            {name: engine for name, engine in _engine_of(binding.plan).items() if name in binding.kept},
            binding.place_of,
        )
        differing = binding.differing(placed)
        if asked.strict:
            binding.require_same(placed)
        made = binding.onto(placed)
        if not differing:
            return made
        again = replace(asked, rate_per_s=before.rate_per_s)
        note = f"the workflow has changed since it was planned, and these ops are planned again: {'; '.join(differing)}"
        done = rented(self.complete(made, again))
        return done.model_copy(update={"notes": (*done.notes, note)})

    def complete(self, plan: Plan, asked: Asked) -> Plan:
        """A plan as the placement makes it, with batch caps, what seconds go into, corrections, waiting and the tail.

        Raises :class:`PlanError` ORCH-P021 when an engine cannot keep up with the rate.
        """
        made = self._simulated(self._completed(plan, asked), asked)
        if made.plan is None:
            assert made.error is not None
            raise made.error
        return made.plan

    def _completed(self, plan: Plan, asked: Asked) -> Candidate:
        """The plan but for its simulated tail; raises what :meth:`complete` raises."""
        servings = {engine.name: resolve(engine, plan.cluster) for engine in plan.cluster.engines}
        ops = tuple(self._detailed(op, servings.get(op.place.removeprefix("engine:"))) for op in plan.ops)
        alone = corrected(plan.model_copy(update={"ops": ops}), asked.corrections)
        done = alone if asked.rate_per_s is None else at_rate(alone, asked.rate_per_s, self._samples)
        done = done.model_copy(update={"p95_s": p95_s(alone)})
        broken, now_broken = (
            check_promises(self._graph.opts, each.seconds, each.tokens, each.cost_usd) for each in (plan, done)
        )
        warnings = [each for each in done.warnings if each not in broken]
        done = done.model_copy(update={"warnings": (*warnings, *now_broken)})
        return Candidate("", done, alone=None if asked.rate_per_s is None else alone)

    def _simulated(self, candidate: Candidate, asked: Asked) -> Candidate:
        """The candidate with the tail that the simulator finds at the arrival rate; without a rate, as it is."""
        plan, alone = candidate.plan, candidate.alone
        if plan is None or alone is None or asked.rate_per_s is None:
            return candidate
        from orchestrator.planner.simulated_tail import overload, simulated_tail

        subject = (asked.rate_per_s, plan.seconds.mid, alone.to_json())
        if subject not in self._tails:
            self._tails[subject] = simulated_tail(alone, asked.rate_per_s, plan.seconds.mid, self._samples)
        tail = self._tails[subject]
        if tail is None:
            note = "p95 is that of a run alone: no engine's hardware is known, or the workflow is too large to simulate"
            return replace(candidate, plan=plan.model_copy(update={"notes": (*plan.notes, note)}), alone=None)
        if tail.is_overload:
            return replace(candidate, plan=None, error=overload(tail), alone=None)
        alone_s = plan.p95_s or 0.0
        found = plan.model_copy(
            update={
                "p95_s": max(tail.p95_s, alone_s),
                "notes": (*plan.notes, tail.note(alone_s)),
                "warnings": (*plan.warnings, *tail.warnings),
            }
        )
        return replace(candidate, plan=found, alone=None)

    def _greedy(self, cluster: Cluster, objective: Objective) -> Plan:
        return self._place(cluster, objective)

    def _place(
        self,
        cluster: Cluster,
        objective: Objective,
        engine_of: Mapping[str, str] | None = None,
        place_of: Mapping[str, str] | None = None,
    ) -> Plan:
        self._last = place.plan_graph(
            self._graph, cluster, objective, ir_hash=self._ir_hash, engine_of=engine_of, place_of=place_of
        )
        return self._last

    def _detailed(self, op: OpPlan, serving: Serving | None) -> OpPlan:
        samples = self._samples.get(op.id, 1)
        cap = batch_cap(op, serving, samples)
        update = {"batch_cap": cap, "spent_s": spent(op, serving, samples), "speed": speed(op, serving, samples)}
        return op.model_copy(update=update)

    def _candidate(self, label: str, make: Callable[[], Plan], asked: Asked, because: str = "") -> Candidate:
        """What comes of a way to plan; it counts for ``asked.cluster`` unless it needs another one (``because``)."""
        try:
            made = self._completed(make(), asked)
        except PlanError as error:
            return Candidate(label, None, error, because)
        assert made.plan is not None
        plan = made.plan if because else made.plan.model_copy(update={"cluster": asked.cluster})
        return replace(made, label=label, plan=plan, because=because)

    def _others(self, greedy: Plan, asked: Asked) -> Iterator[Candidate]:
        base = greedy.objective
        for objective in place.OBJECTIVES:
            if objective != base:
                yield self._candidate(f"made for {objective}", partial(self._greedy, asked.cluster, objective), asked)
        used = {op.place for op in greedy.ops}
        for engine in asked.cluster.engines:
            if f"engine:{engine.name}" in used:
                yield from self._without(engine, greedy, asked)
                if asked.told:
                    yield from self._moved(engine, greedy, asked)

    def _without(self, engine: EngineSpec, greedy: Plan, asked: Asked) -> Iterator[Candidate]:
        """What the plan would be if the engine did not exist; nothing when no other serves its models."""
        rest = tuple(each for each in asked.cluster.engines if each != engine)
        if not rest:
            return
        cluster = asked.cluster.model_copy(update={"engines": rest})
        found = self._candidate(
            f"without engine:{engine.name}", partial(self._greedy, cluster, greedy.objective), asked
        )
        if found.error is None or found.error.code != "ORCH-P010":
            yield found

    def _moved(self, engine: EngineSpec, greedy: Plan, asked: Asked) -> Iterator[Candidate]:
        """The engine on each other device, unless an engine with its model is there already, and nothing beside it that
        the plan does not use anyway."""
        taken = {each.device for each in asked.cluster.engines if each.model == engine.model}
        for device in asked.cluster.devices:
            if engine.device is None or device.name in taken:
                continue
            moved = engine.model_copy(update={"device": device.name})
            used = [
                each for each in asked.cluster.engines if any(op.place == f"engine:{each.name}" for op in greedy.ops)
            ]
            engines = tuple(moved if each == engine else each for each in used)
            cluster = asked.cluster.model_copy(update={"engines": engines})
            yield self._candidate(
                f"engine:{engine.name} on {device.name}",
                partial(self._greedy, cluster, greedy.objective),
                asked,
                because=f"the cluster has {engine.name} on {engine.device}",
            )


ATTEMPTS: Final = 8
"""Solutions whose tail or queues are looked at before the SLA counts as out of reach."""
HEADROOM: Final = 0.6
"""Factor on the planned utilisation after a solution whose runs wait too long for each other."""


CLOSE: Final = 1.02
"""Two bounds on the critical path between which nothing more is looked for."""


def _settled(plan: Plan, note: str, lost: Sequence[Candidate], asked: Asked) -> Plan:
    made = plan.model_copy(update={"objective": asked.objective, "sla_s": asked.sla_s, "notes": (*plan.notes, note)})
    return made.model_copy(update={"rejected": rejected(made, lost, asked.sla_s)})


def _tightened(workload: Workload, solution: Solution, plan: Plan | None, sla_s: float | None) -> Workload:
    """What to ask next: a shorter critical path where even runs alone (in ``plan``) missed the SLA, emptier replicas
    where they did not. Tails grow about in proportion to the middle, which is what the program sees."""
    if plan is None or plan.p95_s is None or sla_s is None:
        return replace(workload, utilisation=workload.utilisation * HEADROOM)
    return replace(workload, sla_s=0.98 * solution.seconds * min(1.0, sla_s / plan.p95_s))


def _engine_of(plan: Plan) -> dict[str, str]:
    """The engines of the model calls, by op."""
    return {op.id: op.place.removeprefix("engine:") for op in plan.ops if op.place.startswith("engine:")}


def _is_a_choice(greedy: Plan, asked: Asked) -> bool:
    """Whether a plan may be another one than the greedy one: an SLA or a rate can refuse it, and a model call might go
    to another engine."""
    if asked.rate_per_s is not None or asked.sla_s is not None:
        return True
    return any(op.alternatives for op in greedy.ops if op.place.startswith("engine:"))


def _greedy_objective(objective: Objective) -> Objective:
    """What the placer is asked for: of each op's plans the fastest, where it does not know the objective itself."""
    return objective if objective in place.OBJECTIVES else "latency"


def _distinct(candidates: list[Candidate]) -> list[Candidate]:
    """Without those that place every op as an earlier one does."""
    seen: set[tuple[tuple[str, str | None], ...]] = set()
    found = []
    for each in candidates:
        if each.plan is not None:
            places = tuple((op.place, op.device) for op in each.plan.ops)
            if places in seen:
                continue
            seen.add(places)
        found.append(each)
    return found


def _samples(region: Region) -> Iterator[tuple[str, int]]:
    for node in region.nodes:
        if node.kind == "decode":
            yield node.id, int(node.attrs.get("samples", 1))
        for inner in node.regions:
            yield from _samples(inner)
