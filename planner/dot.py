"""A plan as a graphviz graph: a box per op, a frame per loop, map, branch and race, the critical path in bold."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.planner import figures
from orchestrator.planner.plan import OpPlan, Plan


def to_dot(plan: Plan) -> str:
    """Valid DOT text; the same plan gives the same text."""
    return "\n".join(_lines(plan)) + "\n"


def quoted(text: str) -> str:
    """A DOT string: quotes and backslashes escaped, line ends as ``\\n``."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "").replace("\n", "\\n")
    return f'"{escaped}"'


def _lines(plan: Plan) -> Iterator[str]:
    children: dict[str | None, list[OpPlan]] = {}
    for op in plan.ops:
        children.setdefault(op.parent, []).append(op)
    yield f"digraph {quoted(plan.workflow)} {{"
    yield "  rankdir=TB; compound=true;"
    yield '  node [shape=box, style=rounded, fontname="Helvetica", fontsize=10];'
    yield from _inside(None, children, set(plan.critical_path), "  ")
    on_path = set(zip(plan.critical_path, plan.critical_path[1:], strict=False))
    for op in plan.ops:
        for before in op.after:
            style = " [penwidth=2]" if (before, op.id) in on_path else ""
            yield f"  {quoted(before)} -> {quoted(op.id)}{style};"
    yield "}"


def _inside(
    parent: str | None, children: dict[str | None, list[OpPlan]], critical: set[str], indent: str
) -> Iterator[str]:
    for op in children.get(parent, []):
        bold = ", penwidth=2" if op.id in critical else ""
        box = f"{quoted(op.id)} [label={quoted(_label(op))}{bold}];"
        if op.id not in children:
            yield indent + box
            continue
        yield f"{indent}subgraph {quoted(f'cluster {op.id}')} {{"
        yield f"{indent}  label={quoted(op.what)}; style=dashed;"
        yield f"{indent}  {box}"
        yield from _inside(op.id, children, critical, indent + "  ")
        yield f"{indent}}}"


def _label(op: OpPlan) -> str:
    seconds = figures.spread(op.seconds, figures.duration)
    count = f" × {figures.times(op.count)}" if figures.times(op.count) != "1" else ""
    return f"{op.id}\n{op.what}\n{op.place}\n{seconds}{count}"
