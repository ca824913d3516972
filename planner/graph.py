"""A level-2 module as plain Python, read once: what the estimator needs of each op, in program order.

The records mirror the module and are thrown away after planning; the IR stays the source of truth. Values are numbers,
unique in the graph.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.errors import SourceLoc
from orchestrator.ir import walk
from orchestrator.ir.dialect import MOVES
from orchestrator.ir.tokens import DONE, TOKEN
from orchestrator.ir.walk import op_id, opts, python_type, to_python, tree
from orchestrator.planner.dataflow import EXCEPT, FINALLY, OTHERWISE, TRY

_REGION_NAMES: Final = {"loop": ("cond", "body"), "branch": ("then", "otherwise"), "race": ("arms",)}
LONGEST_CASE: Final = 40
"""Characters of a region's name."""
_IGNORED: Final = frozenset({"resources"})
"""What the planner writes itself and nobody reads."""


@dataclass(slots=True)
class Region:
    """One block of ops with arguments, and the values it yields."""

    name: str
    args: tuple[int, ...]
    arg_types: tuple[str, ...]
    nodes: list[Node] = field(default_factory=list)
    yields: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Node:
    """One op."""

    id: str
    kind: str
    """Its name without the dialect: ``call``, ``prefill``, ``decode``, ``loop``, …"""
    attrs: dict[str, Any]
    opts: Mapping[str, Any]
    operands: tuple[int, ...]
    results: tuple[int, ...]
    result_types: tuple[str, ...]
    """Python type strings."""
    source: str
    """``file:line``, empty when the IR does not know."""
    handle: Any
    """The MLIR operation."""
    regions: tuple[Region, ...] = ()
    behind: tuple[int, ...] = ()
    """Values that it waits for and does not use: the tokens of effects before it, and what its token is made of."""
    token: int | None = None
    """What those wait for that come behind its effects."""
    reads: Sequence[int] = ()
    """Values that it or anything inside it uses or waits for, in that order."""

    @property
    def where(self) -> SourceLoc | None:
        """``source`` as errors take it."""
        file, _, line = self.source.rpartition(":")
        return SourceLoc(file, int(line)) if file else None


@dataclass(slots=True)
class Graph:
    """One workflow."""

    name: str
    body: Region
    opts: Mapping[str, Any]


def read(module: Any) -> Graph:
    """Read the workflow of a module. Raises :class:`IRError` as :func:`orchestrator.ir.walk.tree` does."""
    return graph_of(tree(module))


def graph_of(root: walk.Node) -> Graph:
    """Read a workflow whose ops have been collected already."""
    return Graph(op_id(root.op), _Reader().region(root.bodies[0], "body"), opts(root.op))


class _Reader:
    """One reading. It numbers the values in order of appearance."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._types: dict[Any, str] = {}
        self._values: dict[Any, Any] = {}
        self._tokens: dict[int, tuple[int, ...]] = {}
        """What those wait for who take a token: the token itself, or what it is made of."""

    def region(self, body: walk.Body, name: str) -> Region:
        """One block and all that is inside it."""
        args, types = self._add(body.arguments)
        nodes = [node for each in body.nodes if (node := self._node(each)) is not None]
        yields = [] if body.terminator is None else self._known(body.terminator)
        return Region(name, tuple(args), tuple(types), nodes, yields)

    def _note_done(self, op: Any) -> None:
        """A token that is made of values stands for them; it is nothing that runs."""
        given = self._known(op)
        (token,), _ = self._add(op.results)
        self._tokens[token] = tuple(value for each in given for value in self._tokens.get(each, (each,)))

    def _node(self, given: walk.Node) -> Node | None:
        handle = given.op
        if given.name == DONE:
            self._note_done(handle)
            return None
        if given.name in MOVES:
            self._numbers.update(zip(handle.results, self._known(handle), strict=True))
            return None
        attrs = {name: self._python(value) for name, value in handle.attributes.items() if name not in _IGNORED}
        options = attrs.pop("opts", {})
        operands, behind = self._given(handle)
        results, types = self._add(handle.results)
        token = None
        if types and types[-1] == TOKEN:
            *results, token = results
            types.pop()
            self._tokens[token] = (token,)
        waits = (*operands, *behind)
        kind = given.name.partition(".")[2]
        names = _region_names(kind, attrs, len(given.bodies))
        regions = tuple(self.region(body, name) for body, name in zip(given.bodies, names, strict=False))
        return Node(
            id=attrs.get("id") or kind,
            kind=kind,
            attrs=attrs,
            opts=options,
            operands=operands,
            results=tuple(results),
            result_types=tuple(types),
            source=_source(handle.location),
            handle=handle,
            regions=regions,
            behind=behind,
            token=token,
            reads=tuple(dict.fromkeys(_reads(waits, regions))) if regions else waits,
        )

    def _python(self, attribute: Any) -> Any:
        """An attribute as a Python value; many ops share theirs."""
        known = self._values.get(attribute, self)
        if known is self:
            known = self._values[attribute] = to_python(attribute)
        return known

    def _given(self, op: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What an op computes with, and what else it waits for."""
        known = self._known(op)
        if not known or known[-1] not in self._tokens:
            return tuple(known), ()
        behind = dict.fromkeys(value for each in known for value in self._tokens.get(each, ()))
        return tuple(each for each in known if each not in self._tokens), tuple(behind)

    def _known(self, op: Any) -> list[int]:
        """The numbers of what an op takes."""
        numbers = self._numbers
        return [numbers[value] for value in op.operands]

    def _add(self, values: Iterable[Any]) -> tuple[list[int], list[str]]:
        """Number new values; their numbers and Python types."""
        numbers, types = [], []
        for value in values:
            kind = value.type
            if kind not in self._types:
                self._types[kind] = python_type(kind)
            numbers.append(self._numbers.setdefault(value, len(self._numbers)))
            types.append(self._types[kind])
        return numbers, types


def _region_names(kind: str, attrs: Mapping[str, Any], count: int) -> Sequence[str]:
    """What the regions of an op are called, in journals too."""
    if kind == "switch":
        return _different([*map(_case, attrs["cases"]), OTHERWISE][:count])
    if kind == "attempt":
        handlers = len(attrs["catches"])
        return _different([TRY, *[EXCEPT] * handlers, FINALLY][:count])
    return _REGION_NAMES.get(kind, ("body",))


def _case(texts: Sequence[str]) -> str:
    """A name for a case of a switch, of letters, digits and what is no sign in a path."""
    said = []
    for text in texts:
        case = json.loads(text)
        if isinstance(case, dict):
            case = case.get("value", case["type"])
        said.append(re.sub(r"[^\w-]+", "_", str(case)))
    return "|".join(said)[:LONGEST_CASE] or "_"


def _different(names: Sequence[str]) -> Sequence[str]:
    """The names, with a number behind one that was there before."""
    found: list[str] = []
    for name in names:
        number, made = 1, name
        while made in found:
            number += 1
            made = f"{name}_{number}"
        found.append(made)
    return found


def _reads(operands: Iterable[int], regions: Iterable[Region]) -> Iterator[int]:
    yield from operands
    for region in regions:
        for node in region.nodes:
            yield from node.reads
        yield from region.yields


def _source(location: Any) -> str:
    """``file:line`` of a possibly named location."""
    inner = getattr(location, "child_loc", location)
    return f"{inner.filename}:{inner.start_line}" if hasattr(inner, "filename") else ""
