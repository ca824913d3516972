"""What each op of a graph says for itself, as a hash: a plan's choice for an op holds as long as that is the same.

Unlike the hashes of :mod:`orchestrator.ir.hash`, which follow the data flow, an op is known here by its own attributes
and by whose results it takes, so that an edit changes the ops it is made in, and none behind them. Prompts, constants
and conversations are no ops to a reader: they count as a part of the op that takes them. Names count, places do not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Final

from orchestrator.ir.hash import NOT_MEANING
from orchestrator.planner.graph import Graph, Node, Region

_OWN: Final = frozenset({"id", "sym_name"})
PARTS: Final = frozenset({"prompt", "chat", "const", "field"})
"""Kinds of calls that are a part of what takes their results."""


def meanings(graph: Graph) -> dict[str, str]:
    """16 hex digits for each op, by id."""
    found: dict[str, str] = {}
    _region(graph.body, "", found, {})
    return found


def nodes_in(region: Region) -> Iterator[Node]:
    """Every op of a region and inside it."""
    for node in region.nodes:
        yield node
        for inner in node.regions:
            yield from nodes_in(inner)


def _region(region: Region, path: str, found: dict[str, str], made_by: dict[int, str]) -> None:
    for index, value in enumerate(region.args):
        made_by[value] = f"{path} argument {index} {region.arg_types[index]}"
    for node in region.nodes:
        given = [made_by.get(value, "") for value in node.operands]
        inside = [inner.name for inner in node.regions]
        own = [path, node.kind, _said(node.attrs), _said(node.opts)]
        digest = _digest([*own, *node.result_types, *given, *inside])
        known_as = digest if _is_part(node) else node.id
        for index, value in enumerate(node.results):
            made_by[value] = f"{known_as} {index}"
        if node.kind != "prefill":
            found[node.id] = digest
        for inner in node.regions:
            _region(inner, f"{node.id}.{inner.name}", found, made_by)


def _is_part(node: Node) -> bool:
    return node.kind == "prefill" or (node.kind == "call" and node.attrs.get("kind") in PARTS)


def _said(attributes: Mapping[str, object]) -> str:
    kept = {name: value for name, value in attributes.items() if name not in NOT_MEANING and name not in _OWN}
    return json.dumps(kept, sort_keys=True, default=str)


def _digest(parts: list[str]) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
