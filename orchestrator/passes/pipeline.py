"""The passes in order, and checks that they leave a valid module behind.

>>> level2, root = run_pipeline(traced.module)                                          # doctest: +SKIP
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
from orchestrator.passes.kv.lifetime import KvLifetime


class Pass(Protocol):
    """One rewrite of a module."""

    @property
    def name(self) -> str:
        """What ``--print-after`` calls it."""
        ...

    def run(self, root: Node) -> None:
        """Rewrite the workflow in place, in the module and in ``root``, which the next pass gets."""
        ...


PIPELINE: Final[tuple[Pass, ...]] = (
    Canonicalise(),
    FoldPrompts(),
    HoistPrefixes(),
    KvLifetime(),
    Decompose(),
    InlineCheap(),
)
"""These passes lead from level 1 to level 2, ready for the planner."""


def run_pipeline(
    module: Any,
    observe: Callable[[str, Any], None] | None = None,
    passes: Sequence[Pass] = PIPELINE,
    *,
    is_traced: bool = False,
) -> tuple[Any, Node]:
    """What the passes make of a copy of ``module``, and its workflow; ``observe(name, copy)`` sees it after each.

    What comes out is verified, and so is the module, unless it ``is_traced``: what tracing builds has no mistakes but
    the compiler's own, which are still there in the end. If there are any, or a pass cannot go on, the passes run
    again, with a check of the module and after each of them, to tell which one it was. Raises :class:`IRError` when the
    module is invalid to begin with, and :class:`CompileError` ORCH-C001, naming the pass, when one breaks it.
    """
    if not is_traced:
        verify(module)
    made = module.operation.clone()
    root = tree(made)
    try:
        for each in passes:
            each.run(root)
            if observe is not None:
                observe(each.name, made)
        return made, verify(made)
    except Exception:
        _blame(module, passes)
        raise


def _blame(module: Any, passes: Sequence[Pass]) -> None:
    """Raise :class:`IRError` for an invalid module, or :class:`CompileError` for the first pass that makes it so."""
    verify(module)
    made = module.operation.clone()
    root = tree(made)
    for each in passes:
        each.run(root)
        try:
            verify(made)
        except IRError as error:
            raise CompileError(
                "ORCH-C001",
                f"the pass `{each.name}` broke the IR: {error.message}",
                where=error.diagnostics[0].where,
                why="a pass must leave a valid module behind; this is a bug in the compiler",
                fix=f"report it with the output of `--print-after {each.name}`",
            ) from error
