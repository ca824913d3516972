"""The compiler from end to end: trace, passes, plan, program.

>>> compiled = compile(answer)                                                          # doctest: +SKIP
>>> print(compiled.level2)                                                              # doctest: +SKIP

A workflow is compiled once for each cluster and objective; compiling an unchanged one again is a lookup. What counts as
unchanged is in :mod:`orchestrator.definitions`: running a notebook's cell again has its effect, and so has editing a
file that the workflow reads.
"""

from __future__ import annotations

import gc
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from threading import RLock
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from orchestrator.cached import cached_property
from orchestrator.definitions import definitions_of
from orchestrator.dsl.source.files_read import FileRead, noting_files
from orchestrator.dsl.source.location import user_location
from orchestrator.dsl.tool import substitutes
from orchestrator.dsl.workflow import Workflow
from orchestrator.errors import TraceError
from orchestrator.redaction import WITH_CREDENTIALS

if TYPE_CHECKING:
    from orchestrator.dsl.trace import Bindings
    from orchestrator.dsl.types.typing import TypeForm
    from orchestrator.planner.cluster import Cluster
    from orchestrator.planner.plan import Objective, Plan
    from orchestrator.planner.planning import Asked
    from orchestrator.runtime.program.program import Program

VARIANTS_KEPT: Final = 32
"""Compiled forms kept for each workflow: clusters, objectives, edits in a notebook."""

Key = tuple[object, ...]


@dataclass(frozen=True)
class Compiled:
    """A workflow, ready to run."""

    name: str
    hash: str
    """What the workflow means: equal in every process, and whatever its policies are (:mod:`orchestrator.ir.hash`)."""
    params: dict[str, TypeForm]
    defaults: dict[str, object]
    """Of the parameters that may be left out."""
    returns: TypeForm
    bindings: Bindings
    plan: Plan
    program: Program
    files: tuple[FileRead, ...]
    """What tracing read."""
    _level1: Any = field(repr=False)
    _level2: Any = field(repr=False)

    @cached_property
    def level1(self) -> str:
        """What the user said: the ``agent`` dialect, as MLIR text."""
        return str(self._level1)

    @cached_property
    def level2(self) -> str:
        """What runs: the operator graph with places, resources and moves between pools, as MLIR text."""
        from orchestrator.planner.tools.moves import with_moves

        return str(with_moves(self._level2, self.plan.moves))


class _Variants(OrderedDict[Key, Compiled]):
    """The compiled forms of one workflow, the last used one last. Each workflow has a lock of its own: tracing runs the
    user's code, which may wait for a thread that compiles another one."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = RLock()


_compiled: WeakKeyDictionary[Workflow[..., Any], _Variants] = WeakKeyDictionary()
_pauses: set[object] = set()
"""Who has paused the garbage collector."""


def compile(  # noqa: A001 - what it does
    workflow: Workflow[..., Any],
    cluster: Cluster | None = None,
    objective: Objective = "latency",
    *,
    in_order: bool = False,
) -> Compiled:
    """Compile ``workflow`` for ``cluster``, or for this machine without engines; see :func:`compile_as`."""
    from orchestrator.planner.planning import Asked

    asked = Asked(cluster if cluster is not None else this_machine(), objective)
    return compile_as(workflow, asked, in_order=in_order)


def compile_as(workflow: Workflow[..., Any], asked: Asked, *, in_order: bool = False) -> Compiled:
    """Compile ``workflow`` by the plan that is asked for.

    ``in_order`` makes model calls one after the other, in the order in which they stand in the workflow.

    Raises :class:`TraceError`, :class:`IRError`, :class:`CompileError` or :class:`PlanError`, each with everything that
    is wrong at its stage.
    """
    if not isinstance(workflow, Workflow):
        fix = "decorate the function with @workflow, and pass that"
        raise TraceError("ORCH-D002", f"compile gets {workflow!r}, and no workflow", where=user_location(), fix=fix)
    workflow = workflow.given()
    replaced = [f"{name} {id(fn)}" for name, fn in sorted(substitutes().items())]
    key = (*_asked(asked), in_order, *definitions_of(workflow), *replaced)
    variants = _compiled.setdefault(workflow.unbound, _Variants())
    with variants.lock:
        known = variants.get(key)
        if known is None or not all(file.is_unchanged for file in known.files):
            known = variants[key] = _compile(workflow, asked, in_order)
            if len(variants) > VARIANTS_KEPT:
                variants.popitem(last=False)
        variants.move_to_end(key)
        return known


def _asked(asked: Asked) -> Key:
    """What tells two plans that are asked for apart."""
    cluster = asked.cluster.model_dump_json(context=WITH_CREDENTIALS)
    bounds = (asked.objective, asked.rate_per_s, asked.sla_s)
    plans = [None if each is None else each.to_json() for each in (asked.sited, asked.kept)]
    return (cluster, *bounds, frozenset(asked.corrections.items()), *plans, asked.strict)


def _compile(workflow: Workflow[..., Any], asked: Asked, in_order: bool) -> Compiled:
    from orchestrator.passes.pipeline import run_pipeline
    from orchestrator.planner.graph import graph_of
    from orchestrator.planner.planning import Planning
    from orchestrator.runtime.program.lowering import lower

    with _uncollected():
        with noting_files() as files:
            traced = workflow.trace()
        ir_hash = traced.hash
        level2, root = run_pipeline(traced.module, is_traced=True)
        graph = graph_of(root)
        planned = Planning(level2, ir_hash, graph).plan(replace(asked, told=False))
        returns, bindings = traced.returns, traced.bindings
        program = lower(graph, bindings, returns=returns, program_hash=ir_hash, plan=planned, in_order=in_order)
    return Compiled(
        traced.name,
        ir_hash,
        traced.params,
        workflow.defaults,
        traced.returns,
        traced.bindings,
        planned,
        program,
        tuple(files),
        traced.module,
        level2,
    )


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the cyclic garbage collector: nearly all that compiling allocates lives on, and scanning it again and
    again is a tenth of the time. For the same reason it counts as old afterwards, and waits for the next full scan."""
    if not gc.isenabled():
        yield
        return
    pause = object()
    _pauses.add(pause)
    gc.disable()
    try:
        yield
    finally:
        _pauses.discard(pause)
        if not gc.get_freeze_count():  # else it would thaw what the user has frozen
            gc.freeze()
            gc.unfreeze()
        gc.enable()


def _in_child() -> None:
    """A lock that a thread of the parent process holds, or its pause of the collector, would last for ever here."""
    for variants in list(_compiled.values()):
        variants.lock = RLock()
    if _pauses:
        _pauses.clear()
        gc.enable()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


@cache
def this_machine() -> Cluster:
    """The hardware here, looked at once."""
    from orchestrator.planner.machine import detect

    return detect()
