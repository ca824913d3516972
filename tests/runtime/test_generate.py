"""Model calls: what they take out of their budgets."""

from __future__ import annotations

import pytest

from orchestrator.errors import RunError
from orchestrator.runtime.builder import RegionBuilder
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.executor import Execution
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.program import Generate, Limits, Policy, Program
from orchestrator.runtime.services import Engines, Services


async def test_a_call_that_is_cancelled_before_it_begins_takes_nothing() -> None:
    body = RegionBuilder("", 1)
    (reply,) = body.suspend("op", Generate("default", None), body.args, types=[str], policy=Policy(timeout_s=0))
    program = Program("test", "hash", ("x",), body.finish([reply]), str, Limits(tokens=500))
    engines = Engines({"main": ScriptedEngine(["reply"])})
    await engines.started("main")
    execution = Execution(program, Services(engines), MemoryJournal(), "run")
    with pytest.raises(RunError, match="ORCH-R004"):
        await execution.run(("ask",))
    assert execution.ledger.tokens == 0
