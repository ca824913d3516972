"""The passes in order, and checks that they leave a valid module behind.

>>> run_pipeline(traced.module, observe=lambda name, module: print(name, module))      # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from orchestrator.errors import CompileError, IRError
from orchestrator.ir.verify import verify
from orchestrator.ir.walk import Node, tree
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

    def run(self, root: Node) -> None:
        """Rewrite the workflow in place; ``root`` need not follow, as nobody uses it afterwards."""
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
    module: Any,
    observe: Callable[[str, Any], None] | None = None,
    passes: Sequence[Pass] = PIPELINE,
    *,
    is_verified: bool = False,
) -> None:
    """Run the passes on ``module`` in place; ``observe(name, module)`` sees it after each.

    It is verified before the first pass, unless it ``is_verified`` as it comes from tracing, before the level changes,
    and after the last pass. If it is broken then, or a pass cannot go on, the passes run again on a copy of what they
    were given, each verified, to tell which one it was. Raises :class:`IRError` when the module is invalid to begin
    with, and :class:`CompileError` ORCH-C001, naming the pass, when one breaks it.
    """
    if not is_verified:
        verify(module)
    given = module.operation.clone()
    try:
        for each in passes:
            each.run(verify(module) if isinstance(each, Decompose) else tree(module))
            if observe is not None:
                observe(each.name, module)
        verify(module)
    except Exception:
        _blame(given, passes)
        raise


def _blame(module: Any, passes: Sequence[Pass]) -> None:
    """Raise :class:`CompileError` for the first pass that leaves an invalid module behind, if one does."""
    for each in passes:
        each.run(tree(module))
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
