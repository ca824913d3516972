"""Layouts, what they change, and what runs of them, as people read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.cli.terminal import width

if TYPE_CHECKING:
    from orchestrator.runtime.deploy.changes import Change
    from orchestrator.runtime.deploy.keeper import Status
    from orchestrator.runtime.deploy.layout import EngineGroup, Layout


def layout_lines(layout: Layout, reasons: Sequence[str]) -> list[str]:
    """What would start; ``reasons`` say why some of it would not."""
    from orchestrator.planner.table import Column, fitted, table

    columns = (
        Column("engine"),
        Column("replicas", right=True),
        Column("devices of each", least=15),
        Column("batch", right=True, rank=1),
        Column("Ray reserves for each", least=10, rank=2),
        Column("model", least=10, keep_end=True, rank=3),
    )
    rows = [
        (
            each.name,
            str(each.replicas),
            _split(each),
            "" if each.batch is None else str(each.batch),
            _reserved(each),
            each.engine.model,
        )
        for each in layout.groups
    ]
    lines = [f"The deployment `{layout.name}` starts:", ""]
    lines += table(columns, rows, width()) if rows else ["no engine"]
    lines.append("")
    for service in layout.services:
        lines.append(f"service     {service.name}: {service.model}, run by somebody else")
    for pool in layout.pools:
        cores = f" of {pool.cores} cores" if pool.cores else ""
        lines.append(f"CPU pool    {pool.count} x {pool.device}{cores}: {', '.join(pool.ops)}")
    for tool in layout.tools:
        busy = "" if tool.busy is None else f", {tool.busy:.2g} calls at once on average"
        limit = "" if tool.limit is None else f", {tool.limit} at once at most"
        lines.append(f"tool        {tool.tool}: {tool.place}{limit}{busy}; started by runs")
    lines += [f"not started {reason}" for reason in reasons]
    return [part for line in lines for part in fitted(line, width())]


def _split(group: EngineGroup) -> str:
    if group.engine.device is None:
        return "none"
    ways = (
        ("tensor", group.tensor_parallel),
        ("pipeline", group.pipeline_parallel),
        ("data", group.data_parallel),
        ("experts", group.expert_parallel),
    )
    split = ", ".join(f"{name} {count}" for name, count in ways if count > 1)
    return f"{group.devices} x {group.engine.device}" + (f" ({split})" if split else "")


def _reserved(group: EngineGroup) -> str:
    reserved = group.reserved
    parts = [] if reserved.device is None else [f"{reserved.device}: {reserved.count}"]
    parts += [f"GPU: {reserved.gpus}"] if reserved.gpus else []
    parts += [f"memory: {reserved.memory_bytes / 2**30:.3g} GiB"] if reserved.memory_bytes else []
    return ", ".join(parts) or "nothing"


def change_line(change: Change) -> str:
    """What becomes of a group."""
    parts = [f"{change.started} started"] if change.started else []
    parts += [f"{change.stopped} drained and stopped"] if change.stopped else []
    parts += [f"{change.kept} serving on"] if change.kept else []
    return f"{change.group}: {', '.join(parts)}" + (f" ({change.why})" if change.why else "")


def status_lines(name: str, status: Status) -> list[str]:
    """The replicas that run, and what keeps others from running."""
    from orchestrator.planner.table import Column, fitted, table

    columns = (
        Column("engine"),
        Column("node", rank=1),
        Column("process", right=True, rank=3),
        Column("model", least=10, keep_end=True, rank=2),
    )
    rows = [(each.engine.name, each.node, str(each.pid), each.engine.model) for each in status.members]
    lines = [f"The deployment `{name}` serves with {len(rows)} replica{'s' * (len(rows) != 1)}:", ""]
    lines += table(columns, rows, width()) if rows else ["no engine"]
    lines += [f"{status.leaving} more end what they have"] if status.leaving else []
    lines += ["", *(f"trouble     {line}" for line in status.trouble.splitlines())] if status.trouble else []
    return [part for line in lines for part in fitted(line, width())]
