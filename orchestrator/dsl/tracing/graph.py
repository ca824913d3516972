"""What tracing needs from the IR: a graph under construction.

``orchestrator.ir.build.Builder`` implements it on MLIR. Regions are built first and handed to the op that owns them,
because the types of an op with regions are only known once its regions have been traced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from orchestrator.errors import SourceLoc


class Region(Protocol):
    """A finished or open region: the values that its code receives."""

    @property
    def arguments(self) -> Sequence[Any]:
        """SSA values, one per argument type."""
        ...


class Graph(Protocol):
    """A module with one ``agent.workflow``."""

    def workflow(
        self, name: str, params: Sequence[str], *, opts: Mapping[str, object], where: SourceLoc
    ) -> AbstractContextManager[Sequence[Any]]:
        """Open the workflow; gives the SSA values of its parameters, whose type strings are ``params``."""
        ...

    def region(self, arguments: Sequence[str]) -> AbstractContextManager[Region]:
        """Open a region of no op yet, with arguments of these types; ops go into it until the context ends."""
        ...

    def reopened(self, region: Any) -> AbstractContextManager[None]:
        """Go on at the end of a region that has not ended; no op need own it yet."""
        ...

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
        regions: Sequence[Any] = (),
        behind: Sequence[Any] = (),
        ordered: bool = False,
    ) -> Sequence[Any]:
        """Append ``agent.<kind>`` and give its results; ``regions`` become its regions, in order.

        It waits for the tokens ``behind`` (:mod:`orchestrator.dsl.tracing.order`); where it is ``ordered``, the last of
        what this gives is a token.
        """
        ...

    def declare(self, kind: str, name: str, attrs: Mapping[str, object]) -> None:
        """Say what the name of a type (``type``) or tool (``declare_tool``) means."""
        ...

    def yield_(self, values: Sequence[Any]) -> None:
        """End the open region or workflow."""
        ...

    @property
    def context(self) -> Any:
        """What keeps the module alive."""
        ...

    def finish(self) -> Any:
        """The module; nothing is added after it."""
        ...
