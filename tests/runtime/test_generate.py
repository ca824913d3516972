"""Model calls: what they take out of their budgets, and what their attempts are called."""

from __future__ import annotations

import pytest

from orchestrator.errors import RunError
from orchestrator.runtime.builder import RegionBuilder
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.events import Token
from orchestrator.runtime.executor import Execution
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.observe import Subscription
from orchestrator.runtime.program import Generate, Limits, Policy, Program
from orchestrator.runtime.services import Engines, Services


async def test_a_call_that_is_cancelled_before_it_begins_takes_nothing() -> None:
    body = RegionBuilder("", 1)
    (reply,) = body.suspend(
        "op", Generate("default", None), body.args, types=[str], policy=Policy(budget=Limits(seconds=0))
    )
    program = Program("test", "hash", ("x",), body.finish([reply]), str, Limits(tokens=500))
    engines = Engines({"main": ScriptedEngine(["reply"])})
    await engines.started("main")
    execution = Execution(program, Services(engines), MemoryJournal(), "run")
    with pytest.raises(RunError, match="ORCH-R010"):
        await execution.run(("ask",))
    assert execution.ledger.tokens == 0


async def test_each_attempt_is_a_request_of_its_own() -> None:
    """An abort of one attempt names it, and a reader can tell the tokens of one from the other's."""
    said = iter(["not a number", "7"])
    engine = ScriptedEngine(lambda _: next(said))
    body = RegionBuilder("", 1)
    spec = Generate("default", None, returns=int, schema={"type": "integer"})
    (reply,) = body.suspend("count", spec, body.args, types=[int], policy=Policy(attempts=2, backoff_s=0.0))
    program = Program("test", "hash", ("x",), body.finish([reply]), int)
    feed = Subscription()
    engines = Engines({"main": engine})
    execution = Execution(program, Services(engines), MemoryJournal(), "run", listeners=[feed.push])
    assert await execution.run(("how many?",)) == 7
    assert [request.request_id for request in engine.requests] == ["run/count#1", "run/count#2"]
    assert {request.session for request in engine.requests} == {"run/count"}
    tokens = [each for each in feed.drain() if isinstance(each, Token)]
    texts = {n: "".join(each.text for each in tokens if each.attempt == n) for n in (1, 2)}
    assert texts == {1: "not a number", 2: "7"}
