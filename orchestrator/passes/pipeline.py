"""The passes in order, each checked before and after.

>>> run_pipeline(traced.module, observe=lambda name, module: print(name, module))      # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from orchestrator.errors import CompileError, IRError
from orchestrator.ir.verify import verify
from orchestrator.passes.canonicalise import Canonicalise
from orchestrator.passes.decompose import Decompose
from orchestrator.passes.fold_prompts import FoldPrompts
from orchestrator.passes.hoist_prefixes import HoistPrefixes
from orchestrator.passes.inline_cheap import InlineCheap
from orchestrator.passes.kv_lifetime import KvLifetime


class Pass(Protocol):
    """One rewrite of a module."""

    @property
    def name(self) -> str:
        """What ``--print-after`` calls it."""
        ...

    def run(self, module: Any) -> None:
        """Rewrite ``module`` in place."""
        ...


PIPELINE: Final[tuple[Pass, ...]] = (
    Canonicalise(),
    FoldPrompts(),
    HoistPrefixes(),
    KvLifetime(),
    Decompose(),
    InlineCheap(),
)
"""From level 1 to level 2, ready for the planner."""


def run_pipeline(
    module: Any, observe: Callable[[str, Any], None] | None = None, passes: Sequence[Pass] = PIPELINE
) -> None:
    """Run the passes on ``module`` in place; ``observe(name, module)`` sees it after each.

    Raises :class:`IRError` when the module is invalid to begin with, and :class:`CompileError` ORCH-C001, naming the
    pass, when one breaks it.
    """
    verify(module)
    for each in passes:
        each.run(module)
        try:
            verify(module)
        except IRError as error:
            raise CompileError(
                "ORCH-C001",
                f"the pass `{each.name}` broke the IR: {error.message}",
                where=error.diagnostics[0].where,
                why="a pass must leave a valid module behind; this is a bug in the compiler",
                fix=f"report it with the output of `--print-after {each.name}`",
            ) from error
        if observe is not None:
            observe(each.name, module)
