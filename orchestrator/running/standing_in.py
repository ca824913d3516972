"""What stands in for a session's engines: inside a ``fake`` block, whatever the session was made for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.holding import Holding

if TYPE_CHECKING:
    from orchestrator.compiler import Compiled
    from orchestrator.dsl.workflow import Workflow
    from orchestrator.runtime.runner import Runner


class Prepared(NamedTuple):
    """A workflow compiled for what it will run on."""

    compiled: Compiled
    runtime: Runner | None
    """None where that has yet to be started."""


Prepare = Callable[["Workflow[..., Any]"], Prepared]
_standing_in: ContextVar[Prepare | None] = ContextVar("orchestrator_standing_in", default=None)


def standing_in() -> Prepare | None:
    """What prepares the runs in this context instead of a session; None where nothing does."""
    return _standing_in.get()


def prepared_by(prepare: Prepare) -> AbstractContextManager[None]:
    """Have ``prepare`` do it for the workflows that sessions run in this context."""
    return Holding(_standing_in, prepare)
