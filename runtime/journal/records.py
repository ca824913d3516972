"""What a run says about its ops: a fold over its events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.runtime.engines.base import FinishReason, Usage
from orchestrator.runtime.journal.events import (
    Event,
    ItemDone,
    OpDone,
    OpStarted,
    OpUnsettled,
    Spent,
    TurnDone,
    region_key,
)
from orchestrator.runtime.program.program import Op, Program
from orchestrator.runtime.program.specs import Generate, Prefetch, Release, Sleep, Structure, Supersede, ToolCall

NO_USAGE: Final = Usage()


@dataclass(slots=True)
class Spending:
    """What model calls used."""

    usage: Usage = NO_USAGE
    cost_usd: float = 0.0
    """The calls whose price is known have cost so much."""
    unpriced: bool = False
    """The price of some call is unknown."""

    def add(self, usage: Usage, cost_usd: float | None) -> None:
        """Count one call."""
        self.usage += usage
        self.cost_usd += cost_usd or 0.0
        self.unpriced |= cost_usd is None


def forget(events: list[Event], spending: Spending) -> None:
    """Drop the older half of a run's events, but for what says something of ops that are not over, and count what
    they used."""
    half = len(events) // 2
    older = events[:half]
    done = {(event.frame, event.op) for event in older if isinstance(event, OpDone)}
    for event in older:
        if isinstance(event, (OpDone, Spent)) and event.usage is not None:
            spending.add(event.usage, event.cost_usd)
    events[:half] = [
        event
        for event in older
        if not isinstance(event, (Spent, TurnDone, ItemDone))
        and (getattr(event, "frame", None), getattr(event, "op", None)) not in done
    ]


@dataclass(frozen=True, slots=True)
class OpRecord:
    """One execution of an op that left the coordinator. Inline ops take microseconds and have no records."""

    id: str
    frame: str
    place: str
    seconds: float
    """It is the time from its first attempt to its result; for an op that did not finish, 0."""
    attempts: int
    usage: Usage | None = None
    cost_usd: float | None = None
    finish_reasons: tuple[FinishReason, ...] | None = None
    """Why each sample of a model call ended."""
    done: bool = False
    unsettled: bool = False
    """It must run at most once, and nobody knows whether it did."""


def place_of(op: Op) -> str:
    """Where an op runs, in the plan's words."""
    if isinstance(op.spec, ToolCall):
        return op.spec.place
    if isinstance(op.spec, Generate):
        return f"engine:{op.spec.engine}" if op.spec.engine else "engine"
    if isinstance(op.spec, (Release, Supersede, Prefetch)):
        return "hint"
    if isinstance(op.spec, Sleep):
        return "timer"
    return op.spec.kind if isinstance(op.spec, Structure) else "human"


def op_records(program: Program, events: Iterable[Event]) -> list[OpRecord]:
    """One record for each op that was started, in that order."""
    places = {(key, op.id): place_of(op) for key, region in program.regions.items() for op in region.ops()}
    records: dict[tuple[str, str], OpRecord] = {}
    started: dict[tuple[str, str], float] = {}
    for event in events:
        if isinstance(event, OpStarted):
            key = (event.frame, event.op)
            started.setdefault(key, event.at)
            place = places.get((region_key(event.frame), event.op), "")
            records[key] = OpRecord(event.op, event.frame, place, 0.0, event.attempt)
        elif isinstance(event, OpUnsettled):
            records[event.frame, event.op] = replace(records[event.frame, event.op], unsettled=True)
        elif isinstance(event, OpDone):
            key = (event.frame, event.op)
            place = places.get((region_key(event.frame), event.op), "")
            record = records.get(key) or OpRecord(event.op, event.frame, place, 0.0, 0)  # settled without an attempt
            records[key] = replace(
                record,
                place=record.place if event.engine is None else f"engine:{event.engine}",
                seconds=event.at - started.get(key, event.at),
                usage=event.usage,
                cost_usd=event.cost_usd,
                finish_reasons=event.finish,
                done=True,
                unsettled=False,
            )
    return list(records.values())
