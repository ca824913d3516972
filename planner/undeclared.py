"""What tools that declare no effects cost: as writes they wait for each other, and others for them.

Each run of a chain of ops takes the middle estimates of the plan. Without the order of a tool's effects its calls wait
for their arguments alone, and nothing waits for them but what takes their results; what stood before and behind them
still keeps its own order. A region takes longer or shorter by the factor by which the longest chain in it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from orchestrator.planner.graph import Graph, Node, Region
from orchestrator.planner.plan import Plan, Undeclared

LEAST_SHARE: Final = 0.05
"""It is a share of a run's seconds: to save less is not worth a word."""
LEAST_S: Final = 0.01


def undeclared(graph: Graph, plan: Plan) -> tuple[Undeclared, ...]:
    """The tools without declared effects whose order costs time, those that cost most first; what the later ones would
    save comes on top of what the earlier ones do. Empty where all together cost next to nothing."""
    calls: dict[str, int] = {}
    for node in _nodes(graph.body):
        if _is_undeclared(node):
            calls[_callee(node)] = calls.get(_callee(node), 0) + 1
    if not calls:
        return ()
    chain = _Chain(graph, plan)
    whole = chain.seconds(frozenset())
    if whole - chain.seconds(frozenset(calls)) < max(LEAST_SHARE * plan.seconds.mid, LEAST_S):
        return ()
    found: list[Undeclared] = []
    free: frozenset[str] = frozenset()
    for tool in sorted(calls, key=lambda name: chain.seconds(frozenset({name}))):
        free |= {tool}
        left = chain.seconds(free)
        if whole - left >= LEAST_S:
            found.append(Undeclared(tool=tool, calls=calls[tool], saved_s=whole - left))
        whole = left
    return tuple(found)


class _Chain:
    """The longest chain of a workflow, with or without the order of some tools' effects."""

    def __init__(self, graph: Graph, plan: Plan) -> None:
        self._body = graph.body
        self._planned = plan.by_id
        self._tokens = {node.token for node in _nodes(graph.body) if node.token is not None}

    def seconds(self, free: frozenset[str]) -> float:
        """Where the tools of these names are not ordered."""
        return self._region(self._body, free)

    def _region(self, region: Region, free: frozenset[str]) -> float:
        ready: dict[int, float] = {}
        last = 0.0
        for node in region.nodes:
            is_ordered = node.token is None or _is_ordered(node, free)
            tokens = [value for value in node.behind if value in self._tokens]
            waits = node.reads if is_ordered else [value for value in node.reads if value not in self._tokens]
            end = max((ready.get(value, 0.0) for value in waits), default=0.0) + self._node(node, free)
            last = max(last, end)
            ready.update(dict.fromkeys(node.results, end))
            if node.token is not None:
                before = max((ready.get(value, 0.0) for value in tokens), default=0.0)
                ready[node.token] = end if is_ordered else before
        return last

    def _node(self, node: Node, free: frozenset[str]) -> float:
        planned = self._planned.get(node.id)
        if planned is None:  # a hint, or a prefill, whose time is its decode's
            return 0.0
        own = planned.seconds.mid
        if not node.regions or not free:
            return own
        was = self._inside(node, frozenset())
        return own * self._inside(node, free) / was if was > 0 else own

    def _inside(self, node: Node, free: frozenset[str]) -> float:
        if node.kind == "race":
            return min(self._region(arm.regions[0], free) for arm in node.regions[0].nodes)
        parts = [self._region(region, free) for region in node.regions]
        return sum(parts) if node.kind == "loop" else max(parts)


def _is_ordered(node: Node, free: frozenset[str]) -> bool:
    """Whether it is still in the order of effects."""
    if node.regions:
        inside = (each for region in node.regions for each in _nodes(region) if not each.regions)
        return any(each.token is not None and _is_ordered(each, free) for each in inside)
    return not (_is_undeclared(node) and _callee(node) in free)


def _nodes(region: Region) -> Iterator[Node]:
    for node in region.nodes:
        yield node
        for inner in node.regions:
            yield from _nodes(inner)


def _is_undeclared(node: Node) -> bool:
    return bool(node.opts.get("undeclared", False))


def _callee(node: Node) -> str:
    return str(node.attrs.get("callee", ""))
