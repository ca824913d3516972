"""The data flow of a module as networkx graphs. Views: made to be looked at and thrown away.

Nodes are op ids. An edge says that one op waits for another; a region op waits for whatever its regions use from
outside, and what is in a region waits for the region's op (edge attribute ``nested``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import networkx as nx

from orchestrator.ir.walk import Body, Node, op_id, tree

ENTRY: Final = ""
"""The node before all others in :func:`dominators`."""


def data_flow(module: Any) -> nx.DiGraph:
    """Op ids with ``kind``; edges from producer to consumer."""
    graph = nx.DiGraph()
    _add(graph, tree(module).bodies[0], [], {})
    return graph


def _add(graph: nx.DiGraph, body: Body, owners: list[Node], producers: dict[Any, tuple[str, int]]) -> None:
    """``producers`` gives each value's op and its nesting depth; a use crosses the owners below that depth."""
    depth = len(owners)
    for node in body.nodes:
        name = op_id(node.op)
        graph.add_node(name, kind=node.op.name)
        if owners:
            graph.add_edge(op_id(owners[-1].op), name, nested=True)
        _use(graph, node.op, name, owners, producers)
        producers.update((value, (name, depth)) for value in node.op.results)
        for inner in node.bodies:
            _add(graph, inner, [*owners, node], producers)
    if body.terminator is not None and owners:
        _use(graph, body.terminator, None, owners, producers)


def _use(
    graph: nx.DiGraph, op: Any, name: str | None, owners: list[Node], producers: dict[Any, tuple[str, int]]
) -> None:
    for value in op.operands:
        if value in producers:
            producer, depth = producers[value]
            if name is not None:
                graph.add_edge(producer, name)
            for owner in owners[depth:]:
                if op_id(owner.op) != producer:
                    graph.add_edge(producer, op_id(owner.op))


def levels(module: Any) -> list[list[str]]:
    """Ops that may start together, one list per step."""
    return [sorted(level) for level in nx.topological_generations(data_flow(module))]


def critical_path(module: Any, weights: Mapping[str, float]) -> list[str]:
    """The ids on the longest path, where an op takes ``weights[id]`` (0 if absent)."""
    graph = data_flow(module)
    longest: dict[str, tuple[float, str | None]] = {}
    for name in nx.topological_sort(graph):
        before = max(((longest[each][0], each) for each in graph.predecessors(name)), default=(0.0, None))
        longest[name] = (before[0] + weights.get(name, 0.0), before[1])
    path: list[str] = []
    at = max(longest, key=lambda name: longest[name][0], default=None)
    while at is not None:
        path.append(at)
        at = longest[at][1]
    return path[::-1]


def dominators(module: Any) -> dict[str, str]:
    """For each op the nearest one that everything it depends on passes through, or :data:`ENTRY`."""
    graph = data_flow(module)
    graph.add_edges_from([(ENTRY, name) for name, degree in list(graph.in_degree()) if degree == 0])
    if ENTRY not in graph:
        return {}
    found = nx.immediate_dominators(graph, ENTRY)
    return {name: above for name, above in found.items() if name != ENTRY}
