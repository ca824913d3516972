"""Adding a run to a store for whoever executes runs there: what adds it needs neither engines nor to stay.

>>> store = await open_store("postgresql://db/runs")                                   # doctest: +SKIP
>>> await submit(store, compile(answer), {"question": "How many?"}, key="question 7")   # doctest: +SKIP
'0c4f…'
"""

from __future__ import annotations

from collections.abc import Mapping
from time import time
from typing import TYPE_CHECKING
from uuid import uuid4

from orchestrator.dsl.declared.policy import Budget
from orchestrator.runtime.coordinator.owner import Owner
from orchestrator.runtime.execution.model_calls.pricing import limits_of
from orchestrator.runtime.failures import run_over
from orchestrator.runtime.inputs import inputs_apart
from orchestrator.runtime.journal.artifacts.base import Artifacts
from orchestrator.runtime.journal.events import RunStarted
from orchestrator.runtime.journal.reading.described import described
from orchestrator.runtime.journal.stores.base import Store
from orchestrator.runtime.program.kept import require_kept
from orchestrator.runtime.program.specs import Limits
from orchestrator.runtime.tools.threads import ToolThreads

if TYPE_CHECKING:
    from orchestrator.compiler import Compiled


async def submit(
    store: Store,
    compiled: Compiled,
    inputs: Mapping[str, object],
    *,
    run_id: str | None = None,
    budget: Limits | Budget | str | None = None,
    tenant: str | None = None,
    key: str | None = None,
    artifacts: Artifacts | None = None,
) -> str:
    """Add a run that is ready for anybody who has the workflow; its id, or that of the run that has this ``key``, which
    is ready again if it had failed.

    It is durable when this returns, also what of its inputs is large, in ``artifacts``. The parameters are those of
    ``Runner.run``. A secret among the inputs is none of
    what is kept: whoever executes the run has it in the environment. Raises ``RunError`` ORCH-R007 for wrong inputs,
    ORCH-R029 for the id of a run that there is already, ORCH-R033 for a key whose run somebody has cancelled, ORCH-R101
    for an input that cannot be written down, and ``CompileError`` ORCH-C092 for other values that could not be.
    """
    program = compiled.program
    require_kept(program)
    checks = ToolThreads()
    try:
        values = await inputs_apart(checks, compiled, inputs, tenant=tenant)
    finally:
        checks.close()
    await store.put_program(program.fingerprint, described(program, compiled.plan))
    started = RunStarted(
        run_id or uuid4().hex, program.name, program.fingerprint, values, time(), limits_of(budget), tenant
    )
    head = await Owner(store, artifacts=artifacts).add(program, started, key)
    if head.status == "cancelled":
        raise run_over(head)
    if head.status == "failed":
        await store.set_status(head.run_id, "ready", of=(head.status,))
    return head.run_id
