"""A graph that only records ops, so that the front end is tested without MLIR."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from orchestrator.dsl.trace import Traced, trace
from orchestrator.dsl.workflow import Workflow
from orchestrator.errors import SourceLoc


@dataclass(eq=False)
class Ssa:
    type: str
    producer: Op | None = None


@dataclass(eq=False)
class Op:
    kind: str
    id: str
    operands: list[Ssa]
    results: list[Ssa]
    attrs: Mapping[str, Any]
    opts: Mapping[str, Any]
    where: SourceLoc
    regions: list[Block]
    behind: list[Ssa]
    """The tokens that it waits for."""


@dataclass(eq=False)
class Block:
    arguments: list[Ssa]
    ops: list[Op] = field(default_factory=list)
    yields: list[Ssa] = field(default_factory=list)


class Recording:
    """Implements ``orchestrator.dsl.tracing.graph.Graph``; ``body`` is the workflow's region."""

    context = None

    def __init__(self) -> None:
        self.opts: Mapping[str, Any] = {}
        self.declared: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._open: list[Block] = []

    @contextmanager
    def workflow(
        self, name: str, params: Sequence[str], *, opts: Mapping[str, object], where: SourceLoc
    ) -> Iterator[list[Ssa]]:
        self.opts = opts
        with self.region(params) as self.body:
            yield self.body.arguments

    @contextmanager
    def region(self, arguments: Sequence[str]) -> Iterator[Block]:
        self._open.append(Block([Ssa(tp) for tp in arguments]))
        try:
            yield self._open[-1]
        finally:
            self._open.pop()

    @contextmanager
    def reopened(self, region: Block) -> Iterator[None]:
        self._open.append(region)
        try:
            yield
        finally:
            self._open.pop()

    def op(
        self, kind: str, operands: Sequence[Ssa], results: Sequence[str], attrs: Mapping[str, object], *, id: str,  # noqa: A002

        opts: Mapping[str, object], where: SourceLoc, regions: Sequence[Block] = (), behind: Sequence[Ssa] = (),
        ordered: bool = False,
    ) -> list[Ssa]:  # fmt: skip
        assert all(isinstance(operand, Ssa) for operand in (*operands, *behind))
        made = [Ssa(tp) for tp in results]
        op = Op(kind, id, list(operands), made, attrs, opts, where, list(regions), list(behind))
        given = [*made, Ssa("!agent.token")] if ordered else made
        for result in given:
            result.producer = op
        self._open[-1].ops.append(op)
        return given

    def declare(self, kind: str, name: str, attrs: Mapping[str, object]) -> None:
        self.declared[kind, name] = attrs

    def yield_(self, values: Sequence[Ssa]) -> None:
        assert all(isinstance(value, Ssa) for value in values)
        self._open[-1].yields = list(values)

    def finish(self) -> Recording:
        return self

    @property
    def ops(self) -> list[Op]:
        return list(_walk(self.body))

    def __getitem__(self, op_id: str) -> Op:
        return next(op for op in self.ops if op.id == op_id)


def _walk(block: Block) -> Iterator[Op]:
    for op in block.ops:
        yield op
        for region in op.regions:
            yield from _walk(region)


def record(workflow: Workflow[..., Any]) -> Recording:
    """Trace and give the recorded graph."""
    return traced(workflow).module


def traced(workflow: Workflow[..., Any]) -> Traced:
    return trace(workflow, Recording())
