"""Building level-1 IR: ops of the ``agent`` dialect appended to a live MLIR module.

Regions are built before the op that owns them, because the result types of a branch or loop follow from what its
regions yield. Until then a placeholder op *in the module* owns them. Nothing is ever outside the module: MLIR frees a
module with all the uses inside it, but what would outlive it would still be linked into the freed uses of its values.
``orchestrator.dsl.tracing.graph.Graph`` is the protocol this implements::

    builder = Builder()
    with builder.workflow("answer", ["str"], opts={}, where=here) as (question,):
        (reply, chat) = builder.op("generate", [question], ["str", "Chat"], {...}, id="llm_1", opts={}, where=here)
        builder.yield_([reply])
    module = builder.finish()
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from orchestrator.errors import SourceLoc
from orchestrator.ir._mlir import ir
from orchestrator.ir.attributes import to_attribute
from orchestrator.ir.dialect import context
from orchestrator.ir.tokens import TOKEN


class OpenRegion:
    """A region under construction: one block, in a placeholder op until :meth:`move_to` gives it to its owner."""

    __slots__ = ("arguments", "block")

    def __init__(self, holder: Any, types: Sequence[Any], location: Any) -> None:
        self.block = ir.Block.create_at_start(holder.regions[0], types, [location] * len(types))
        self.arguments = list(self.block.arguments)

    def move_to(self, region: Any) -> None:
        """Make the block the body of ``region``."""
        self.block.append_to(region)


class Builder:
    """One module with one ``agent.workflow``; ops go into the innermost open region."""

    def __init__(self) -> None:
        self.context = context()
        self._unknown = ir.Location.unknown(self.context)
        self.module = ir.Module.create(self._unknown)
        self._types: dict[str, Any] = {}
        self._token = ir.Type.parse(TOKEN, self.context)
        self._insertion: list[Any] = []
        self._holders: list[Any] = []
        self._workflow: Any = None

    @contextmanager
    def workflow(
        self, name: str, params: Sequence[str], *, opts: Mapping[str, object], where: SourceLoc
    ) -> Iterator[Sequence[Any]]:
        """Open the workflow; gives the values of its parameters."""
        with self.context, self._unknown:
            workflow = self._workflow = ir.Operation.create(
                "agent.workflow",
                attributes={"sym_name": to_attribute(name), "opts": to_attribute(opts)},
                regions=1,
                loc=self._location(name, where),
                ip=ir.InsertionPoint(self.module.body),
            )
            types = [self._type(param) for param in params]
            block = ir.Block.create_at_start(workflow.regions[0], types, [self._unknown] * len(types))
            self._insertion.append(ir.InsertionPoint(block))
            try:
                yield list(block.arguments)
            finally:
                self._insertion.pop()

    @contextmanager
    def region(self, arguments: Sequence[str]) -> Iterator[OpenRegion]:
        """Open a region with arguments of these types; one that no op takes over is dropped by :meth:`finish`."""
        point = ir.InsertionPoint(self.module.body)
        holder = ir.Operation.create("agent.open", regions=1, loc=self._unknown, ip=point)
        self._holders.append(holder)
        opened = OpenRegion(holder, [self._type(argument) for argument in arguments], self._unknown)
        self._insertion.append(ir.InsertionPoint(opened.block))
        try:
            yield opened
        finally:
            self._insertion.pop()

    @contextmanager
    def reopened(self, region: OpenRegion) -> Iterator[None]:
        """Go on at the end of a region that has not ended."""
        self._insertion.append(ir.InsertionPoint(region.block))
        try:
            yield
        finally:
            self._insertion.pop()

    def op(
        self,
        kind: str,
        operands: Sequence[Any],
        results: Sequence[str],
        attrs: Mapping[str, object],
        *,
        id: str,  # noqa: A002 - the attribute's name in the IR
        opts: Mapping[str, object],
        where: SourceLoc,
        regions: Sequence[OpenRegion] = (),
        behind: Sequence[Any] = (),
        ordered: bool = False,
    ) -> list[Any]:
        """Append ``agent.<kind>`` and give its results; the regions become its own, in order.

        It waits for the tokens ``behind``; where it is ``ordered``, its last result is a token.
        """
        attributes = {name: to_attribute(value) for name, value in attrs.items()}
        attributes["id"] = to_attribute(id)
        attributes["opts"] = to_attribute(opts)
        created = ir.Operation.create(
            f"agent.{kind}",
            results=[*map(self._type, results), self._token] if ordered else list(map(self._type, results)),
            operands=[*operands, *behind],
            attributes=attributes,
            regions=len(regions),
            loc=self._location(id, where),
            ip=self._insertion[-1],
        )
        for position, region in enumerate(regions):
            region.move_to(created.regions[position])
        return list(created.results)

    def declare(self, kind: str, name: str, attrs: Mapping[str, object]) -> None:
        """Say what a name means: ``agent.<kind>`` in front of the workflow, behind what has been declared before."""
        with self.context:
            attributes = {each: to_attribute(value) for each, value in {"name": name, **attrs}.items()}
            point = ir.InsertionPoint(self._workflow)
            ir.Operation.create(f"agent.{kind}", attributes=attributes, loc=self._unknown, ip=point)

    def yield_(self, values: Sequence[Any]) -> None:
        """End the innermost open region."""
        ir.Operation.create("agent.yield", operands=list(values), loc=self._unknown, ip=self._insertion[-1])

    def finish(self) -> Any:
        """The module."""
        while self._holders:  # the last first: a region uses values only of those opened before it
            self._holders.pop().erase()
        return self.module

    def _type(self, name: str) -> Any:
        if name not in self._types:
            quoted = ir.StringAttr.get(name, self.context)
            self._types[name] = ir.Type.parse(f"!agent.value<{quoted}>", self.context)
        return self._types[name]

    def _location(self, op_id: str, where: SourceLoc) -> Any:
        try:
            file = ir.Location.file(where.file, where.line, 0, self.context)
        except TypeError:  # a path need be no text
            path = where.file.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            file = ir.Location.file(path, where.line, 0, self.context)
        return ir.Location.name(op_id, file, self.context)
