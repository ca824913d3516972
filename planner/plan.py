"""The ``Plan``: where each op of a workflow runs, what it is expected to take, and why.

A plan is plain frozen data, stored as JSON beside the run it belongs to. Whatever makes plans (today a greedy
heuristic) and whatever reads them (the runtime, ``explain``, the simulator) share only this module.

>>> again = Plan.from_json(plan.to_json())                             # doctest: +SKIP
>>> again == plan                                                    # doctest: +SKIP
True
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import isclose
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.errors import PlanError, SourceLoc
from orchestrator.planner.cluster import Cluster
from orchestrator.planner.datafile import line_of, parse_json, read_text
from orchestrator.planner.interval import Interval
from orchestrator.planner.resources import Resources
from orchestrator.whole_file import write_whole

PLAN_VERSION: Final = 3
"""Raised by one whenever a reader of the previous version would misread the JSON, or refuse it."""
READABLE: Final = (1, 2, PLAN_VERSION)
"""Versions that are read; of version 1, what a plan says of shares and sites is what the defaults say, and the ops of
both earlier ones are known by their labels alone."""

Objective = Literal["latency", "cost", "throughput", "energy"]
"""Least seconds of a run, least USD, most runs per second, least joules."""
Role = Literal["both", "prefill", "decode"]


class Share(BaseModel):
    """The part of an op's executions that one engine takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: str = Field(min_length=1)
    share: float = Field(gt=0, le=1)


class OpPlan(BaseModel):
    """The plan of one op: seconds, tokens, cost and resources of *one* execution, and how many there are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    """The op's id in the workflow, as in the IR and in run records."""
    kind: str
    """The op's name without its dialect (``loop``, ``decode`` with its prefill, …); of an ``op.call`` what it calls:
    ``tool``, ``retrieve``, ``ask``, ``prompt``, ``chat``, ``const``, ``field``, ``builtin``."""
    what: str = ""
    """What it does, in the user's terms: the tool's name, the model, the bound of a loop."""
    meaning: str = ""
    """A hash of what it says for itself (:mod:`orchestrator.planner.meaning`), by which a plan in a file knows it;
    empty: not computed."""
    place: str
    """``inline`` | ``async`` | ``thread`` | ``ray-task`` | ``ray-actor`` | ``human`` | ``engine:NAME``."""
    device: str | None = None
    """Name of the cluster's device that does the work; ``None`` for a human or a service whose hardware is unknown."""
    shares: tuple[Share, ...] = ()
    """Where several engines take a model call: their shares, largest first, which add up to 1; ``place`` is the first.
    Empty: ``place`` takes all of it."""
    seconds: Interval
    """Seconds of one execution, alone on its device; of a region op, from start to end of everything inside."""
    tokens_in: Interval
    """Prompt tokens of one execution; the shared prompt of several samples counts once."""
    tokens_out: Interval
    """Generated tokens of one execution, over all samples."""
    cost_usd: Interval | None = None
    """USD of one execution; ``None`` when a price is unknown. Region ops cost nothing themselves."""
    count: Interval
    """Executions in one run of the workflow, from the bounds of the loops, maps and branches around the op."""
    resources: Resources = Resources()
    """What one execution moves and computes, at the middle estimate."""
    source: str = ""
    """``file:line`` of the user's code."""
    parent: str | None = None
    """Id of the region op (loop, map, branch, race) that the op is in; ``None`` at the top."""
    region: str | None = None
    """Which region of ``parent``: ``cond``, ``body``, ``then``, ``otherwise``, ``arm 1``, …"""
    after: tuple[str, ...] = ()
    """Ids of the ops whose results it reads."""
    alternatives: tuple[str, ...] = ()
    """Placements not taken, each with its reason."""
    guesses: tuple[str, ...] = ()
    """Figures above that rest on a default instead of something known about this workflow."""
    note: str = ""
    batch_cap: int | None = None
    """Such calls that one replica of the engine holds at once, by its KV memory and its own bound on sequences;
    ``None``: unknown, or not a model call."""
    wait_s: Interval | None = None
    """The part of ``seconds`` that it waits for its engine at the plan's arrival rate; ``None``: no rate was given."""
    spent_s: dict[str, float] = Field(default_factory=dict)
    """What the middle estimate of ``seconds`` goes into, in seconds; empty for a region op, which is made of others.
    The keys are those of :mod:`orchestrator.planner.breakdown`."""
    speed: Interval | None = None
    """How uncertain the speed of a model call's hardware is: factors on ``seconds.mid`` that hold 80 % of the calls
    with the middle token counts. ``None``: not a model call, or not looked at."""
    correction: float = Field(default=1.0, gt=0)
    """It is the factor by which measured runs have scaled ``seconds``; see :mod:`orchestrator.planner.observations`."""

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        if self.shares and not isclose(sum(each.share for each in self.shares), 1.0, abs_tol=1e-6):
            raise ValueError(
                f"the shares of `{self.id}` add up to {sum(each.share for each in self.shares):g}, and not to 1"
            )
        if len({each.engine for each in self.shares}) != len(self.shares):
            raise ValueError(f"`{self.id}` has two shares on the same engine")
        if self.shares and self.place != f"engine:{self.shares[0].engine}":
            raise ValueError(f"`{self.id}` is at {self.place!r}, and its largest share at {self.shares[0].engine!r}")
        return self


class PinWorth(BaseModel):
    """What a pin is expected to bring, by a forecast of its pause."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    median_s: float | None
    """It is the median of the pause; ``None``: it may never end."""
    upper_s: float | None
    """What 90 % of the pauses stay below; ``None``: there is no such bound."""
    source: str
    """What the forecast rests on: ``features``, ``tool``, ``workflow``, ``global`` (pauses seen there), ``declared``,
    ``prior``."""
    count: int = Field(default=0, ge=0)
    """Pauses seen."""
    ttl_s: float | None
    """How long the cache is worth keeping while another request waits for memory; ``None``: unknown, for the time that
    a hit saves is."""
    hit_probability: float = Field(ge=0, le=1)
    """That the next turn comes before that."""
    saved_s: float | None
    """Expected seconds of prefill that are saved in each pause; ``None``: unknown."""


class Pin(BaseModel):
    """A cache that the engine is asked to keep between two turns of a conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    op: str
    """The turn that it follows."""
    tool: str = ""
    """What runs before the next turn: callees in order joined by ``+``, alternatives by ``|``; empty for nothing."""
    features: tuple[str, ...] = ()
    """Arguments that tell how long that takes."""
    turns_left: float
    """Expected turns of the conversation after this one."""
    shared: bool = False
    """Several forks start from it."""
    longest_s: float
    """It is kept for at most this long; 0: not at all."""
    because: str = ""
    """Why it is not kept at all."""
    moves: bool = False
    """The conversation's next turn runs on another engine, which cannot use it."""
    typical_s: float | None = None
    """The user's word for how long the pause takes."""
    tokens: float = Field(ge=0)
    """So many tokens the conversation has by then."""
    prefill_s: float | None = None
    """Seconds to compute them again on the engine of the turn; ``None``: unknown."""
    kv_share: float | None = None
    """Share of a replica's KV memory that they take; ``None``: unknown."""
    worth: PinWorth | None = None
    """``None``: not forecast."""


class Rejected(BaseModel):
    """A whole plan that was considered and not taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    """What it does differently: ``engine:big instead of engine:small``."""
    seconds: Interval | None
    """End to end; ``None`` when there is no such plan."""
    cost_usd: Interval | None
    """``None`` when there is no such plan, or the price of anything in it is unknown."""
    why: str
    """Why it lost."""


class Site(BaseModel):
    """Where the planner puts an engine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: str
    device: str
    tensor_parallel: int = Field(ge=1)
    """Devices that split each layer in each replica."""
    pipeline_parallel: int = Field(default=1, ge=1)
    """Stages that the layers are divided into; a replica has ``tensor_parallel * pipeline_parallel`` devices."""
    expert_parallel: int = Field(default=1, ge=1)
    """Devices, of those, that share a layer's experts out between them."""
    role: Role = "both"
    """Which phase of a call the replicas do."""
    replicas: int = Field(ge=1)
    batch: int | None = Field(default=None, ge=1)
    """Calls a replica holds at once; ``None``: not limited."""


class Move(BaseModel):
    """Values, or the KV of a conversation, that cross a link between pools for one execution of an op."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    op: str
    """The op that they are for, or that made them."""
    what: Literal["arguments", "result", "kv"]
    source: str
    """The place that they leave: ``coordinator``, or a place as of an op."""
    target: str
    bytes: float = Field(ge=0, allow_inf_nan=False)
    seconds: float = Field(ge=0, allow_inf_nan=False)
    """They are part of the op's seconds. KV is not sent: these are the seconds to compute it again."""


class Bill(BaseModel):
    """What the devices and services that a plan uses cost over time (:mod:`orchestrator.planner.bill`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    usd_per_hour: float | None
    """``None``: of some part it is unknown."""
    usd_per_month: float | None
    parts_usd_per_hour: dict[str, float | None]
    """It has parts by device and by service. A service is unknown also where no rate says how many runs use it."""


class Undeclared(BaseModel):
    """A tool that declares no effects, so that its calls count as writes (:mod:`orchestrator.planner.undeclared`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: str
    calls: int = Field(ge=1)
    """Ops that call it."""
    saved_s: float = Field(gt=0)
    """Expected seconds of a run that a declaration as pure, or as reading between no writes, would save."""


class Plan(BaseModel):
    """A placed and priced workflow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = PLAN_VERSION
    workflow: str
    ir_hash: str
    """It is the hash of what the workflow means that the plan was made for (:mod:`orchestrator.ir.hash`)."""
    cluster: Cluster
    objective: Objective = "latency"
    ops: tuple[OpPlan, ...]
    """They are in program order, a region op directly before the ops inside it."""
    seconds: Interval
    """End to end: along the critical path."""
    tokens: Interval
    """Prompt and output tokens of the whole run."""
    cost_usd: Interval | None
    """USD of the whole run; ``None`` when the price of anything in it is unknown."""
    pins: tuple[Pin, ...] = ()
    """Caches kept between turns, in program order."""
    moves: tuple[Move, ...] = ()
    """What crosses links between pools, in program order."""
    critical_path: tuple[str, ...] = ()
    """Ids of the top-level ops that decide ``seconds``, in order."""
    warnings: tuple[str, ...] = ()
    p95_s: float | None = Field(default=None, ge=0)
    """Seconds that 95 % of the runs are expected to stay below (:mod:`orchestrator.planner.tail`, and at a rate
    :mod:`orchestrator.planner.simulated_tail`); ``None``: not computed."""
    sla_s: float | None = Field(default=None, gt=0)
    """What ``p95_s`` had to stay below; ``None``: nothing was asked."""
    rate_per_s: float | None = Field(default=None, gt=0)
    """Arrivals of runs for which waiting is priced; ``None``: a run has the cluster to itself."""
    utilisation: dict[str, float] = Field(default_factory=dict)
    """Share of its capacity that each engine is busy at ``rate_per_s``."""
    sites: tuple[Site, ...] = ()
    """Engines whose devices the planner chose."""
    bill: Bill | None = None
    """``None``: no price is known."""
    undeclared: tuple[Undeclared, ...] = ()
    """Tools whose effects are kept in order only because nobody has declared them; empty where that costs nothing."""
    rejected: tuple[Rejected, ...] = ()
    """The best of the other plans, best first."""
    target: str = ""
    """What names the workflow on the command line (``flow.py:answer``), where ``orch plan`` wrote the plan."""
    notes: tuple[str, ...] = ()
    """What a reader should know that is no reason to worry, such as corrections from measured runs."""

    @model_validator(mode="after")
    def _ids_are_consistent(self) -> Self:
        ids = {op.id for op in self.ops}
        if len(ids) != len(self.ops):
            raise ValueError("two ops of the plan have the same id")
        strangers = {name for name in self.critical_path if name not in ids}
        strangers |= {op.parent for op in self.ops if op.parent is not None and op.parent not in ids}
        if strangers:
            raise ValueError(f"the plan mentions ops that are not in it: {', '.join(sorted(strangers))}")
        return self

    @model_validator(mode="after")
    def _hardware_is_in_the_cluster(self) -> Self:
        devices = {device.name for device in self.cluster.devices}
        engines = {f"engine:{engine.name}" for engine in self.cluster.engines}
        for op in self.ops:
            if op.device is not None and op.device not in devices:
                raise ValueError(f"`{op.id}` runs on {op.device!r}, which is not one of the cluster's devices")
            if engines and op.place.startswith("engine:") and op.place not in engines:
                raise ValueError(f"`{op.id}` runs at {op.place!r}, which is not one of the cluster's engines")
            strangers = [each.engine for each in op.shares if f"engine:{each.engine}" not in engines]
            if strangers:
                raise ValueError(f"`{op.id}` has shares on {', '.join(strangers)}, which the cluster does not have")
        return self

    @model_validator(mode="after")
    def _sites_are_of_engines(self) -> Self:
        devices = {device.name for device in self.cluster.devices}
        engines = {engine.name for engine in self.cluster.engines}
        for site in self.sites:
            if site.engine not in engines or site.device not in devices:
                raise ValueError(f"engine {site.engine!r} is put on {site.device!r}: the cluster has not both of them")
        twice = [(site.engine, site.device, site.role) for site in self.sites]
        if len(set(twice)) != len(twice):
            raise ValueError("an engine is put on the same device twice")
        return self

    @cached_property
    def by_id(self) -> dict[str, OpPlan]:
        """The plan of each op."""
        return {op.id: op for op in self.ops}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Pydantic's, which would carry ``by_id`` of the old ops over."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("by_id", None)
        return copied

    def to_json(self) -> str:
        """The stable text form: keys in declaration order, two spaces of indentation, a final newline."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, file: str = "<plan>") -> Plan:
        """Read a plan back. Raises :class:`PlanError`: ORCH-P003 for another version, ORCH-P002 and P004 to P006 for
        text that is not a plan."""
        version = parse_json(_Versioned, text, file).version
        if version not in READABLE:
            raise PlanError(
                "ORCH-P003",
                f"the plan has version {version}; this orchestrator reads versions up to {PLAN_VERSION}",
                where=SourceLoc(file, line_of(text, "version")),
                fix="make the plan again with `orch plan TARGET --out FILE`",
            )
        return parse_json(cls, text, file).model_copy(update={"version": PLAN_VERSION})

    def save(self, path: Path) -> None:
        """Write the plan as JSON. Raises ``OSError``."""
        write_whole(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read a plan from a file; raises :class:`PlanError` ORCH-P001, else as ``from_json``."""
        return cls.from_json(read_text(path), str(path))


class _Versioned(BaseModel):
    version: int
