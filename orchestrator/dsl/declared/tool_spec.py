"""What is declared of a tool: its function, what that does to the world, and its policies."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, ParamSpec, TypeVar

from orchestrator.cached import cached_property
from orchestrator.dsl.code_hash import Covered, covered
from orchestrator.dsl.declared.boundary import Boundary, boundary_of
from orchestrator.dsl.declared.policy import BudgetLike, RetryLike, TimeoutLike
from orchestrator.dsl.source.generators import is_kind_of, streams, streams_async

P = ParamSpec("P")
R = TypeVar("R")

Effects = Literal["pure", "reads", "idempotent", "once"]
Kind = Literal["tool", "retrieve"]
Isolation = Literal["thread", "process"]


@dataclass(frozen=True, eq=False)
class ToolSpec(Generic[P, R]):
    """A function and what is declared of it; :class:`~orchestrator.dsl.tool.Tool` is one that can be called."""

    fn: Callable[P, R]
    name: str
    effects: Effects = "once"
    kind: Kind = "tool"
    timeout: TimeoutLike = None
    retry: RetryLike = None
    budget: BudgetLike = None
    typical_s: float | None = None
    pause_features: Sequence[str] = ()
    max_items: int | None = None
    key: str | Sequence[str] | None = None
    check: Callable[..., Any] | None = None
    cheap: bool = False
    isolation: Isolation | None = None
    memory: str | int | None = None
    is_undeclared: bool = False
    """Whether nobody has said what its effects are, so that they are the default."""
    op_name: str | None = None
    after: Any = None
    """These are values of the workflow that one call waits for and does not take."""
    local_names: Mapping[str, object] = field(default_factory=dict, repr=False)

    @cached_property
    def is_async(self) -> bool:
        """Whether ``fn`` returns a coroutine, which without ``isolation`` runs on the coordinator's event loop."""
        return is_kind_of(inspect.iscoroutinefunction, self.fn) or streams_async(self.fn)

    @cached_property
    def is_streaming(self) -> bool:
        """Whether ``fn`` is a generator, sync or async; the result of a call in a workflow is a list."""
        return streams(self.fn)

    @cached_property
    def boundary(self) -> Boundary:
        """Parameters and result by their annotations."""
        return boundary_of(self.fn, "tool", self.local_names)

    @property
    def covered(self) -> Covered:
        """The hash of what the tool does as it is now, and what it reads that is not part of it."""
        return covered(self.fn, self.effects)

    @property
    def code(self) -> str:
        """The hash of what the tool does; see :mod:`orchestrator.dsl.code_hash`."""
        return self.covered.hash
