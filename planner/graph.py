"""A level-2 module as plain Python, read once: what the estimator needs of each op, in program order.

The records mirror the module and are thrown away after planning; the IR stays the source of truth. Values are numbers,
unique in the graph. Reading is linear: MLIR's Python bindings take time proportional to the position for each step
through a block, so the ops are collected with one ``walk`` instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.errors import PlanError, SourceLoc
from orchestrator.ir.walk import operations, python_type, to_python

_REGION_NAMES: Final = {"loop": ("cond", "body"), "branch": ("then", "otherwise"), "race": ("arms",)}
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
    reads: Collection[int] = ()
    """Values that it or anything inside it uses."""

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
    size: int
    """Ops in it, nested ones included."""


class _Numbers(dict[Any, int]):
    """Numbers of MLIR values, in order of appearance."""

    def __init__(self) -> None:
        super().__init__()
        self._types: dict[Any, str] = {}

    def add(self, values: Iterable[Any]) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """Number new values; their numbers and Python types."""
        numbers, types = [], []
        for value in values:
            kind = value.type
            if kind not in self._types:
                self._types[kind] = python_type(kind)
            numbers.append(self.setdefault(value, len(self)))
            types.append(self._types[kind])
        return tuple(numbers), tuple(types)


@dataclass(slots=True)
class _Frame:
    """A region op whose inside is being read."""

    node: Node
    reads: set[int]
    region: int = 0


def read(module: Any) -> Graph:
    """Read the workflow of a level-2 module. Raises :class:`PlanError` ORCH-P014 when the module holds none."""
    handles = operations(module)
    numbers = _Numbers()
    workflow: Node | None = None
    stack: list[_Frame] = []
    for handle in handles:
        parent = handle.parent
        while stack and stack[-1].node.handle != parent:
            _leave(stack)
        frame = stack[-1] if stack else None
        if frame is not None and handle.name == "agent.yield":
            region = frame.node.regions[frame.region]
            region.yields = [numbers[value] for value in handle.operands]
            frame.reads.update(region.yields)
            frame.region += 1
            continue
        node = _node(handle, numbers)
        if frame is not None:
            frame.node.regions[frame.region].nodes.append(node)
        elif node.kind == "workflow":
            workflow = node
        if node.regions:
            stack.append(_Frame(node, set(node.operands)))
        elif frame is not None:
            frame.reads.update(node.reads)
    while stack:
        _leave(stack)
    if workflow is None:
        raise PlanError("ORCH-P014", "there is nothing to plan: the module holds no agent.workflow")
    return Graph(workflow.id, workflow.regions[0], workflow.opts, len(handles) - 1)


def _leave(stack: list[_Frame]) -> None:
    done = stack.pop()
    done.node.reads = done.reads
    if stack:
        stack[-1].reads |= done.reads


def _node(handle: Any, numbers: _Numbers) -> Node:
    attrs = {name: to_python(attribute) for name, attribute in handle.attributes.items() if name not in _IGNORED}
    opts = attrs.pop("opts", {})
    operands = tuple([numbers[value] for value in handle.operands])
    results, types = numbers.add(handle.results)
    kind = handle.name.partition(".")[2]
    regions: tuple[Region, ...] = ()
    if len(handle.regions):
        names = _REGION_NAMES.get(kind, ("body",))
        regions = tuple(_region(region, name, numbers) for region, name in zip(handle.regions, names, strict=False))
    return Node(
        id=attrs.get("id") or attrs.get("sym_name") or kind,
        kind=kind,
        attrs=attrs,
        opts=opts,
        operands=operands,
        results=results,
        result_types=types,
        source=_source(handle.location),
        handle=handle,
        regions=regions,
        reads=operands,
    )


def _region(region: Any, name: str, numbers: _Numbers) -> Region:
    args, types = numbers.add(region.blocks[0].arguments)
    return Region(name, args, types)


def _source(location: Any) -> str:
    """``file:line`` of a possibly named location."""
    inner = getattr(location, "child_loc", location)
    return f"{inner.filename}:{inner.start_line}" if hasattr(inner, "filename") else ""
