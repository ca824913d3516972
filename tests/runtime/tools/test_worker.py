"""Isolated tools: whatever they do ends in their process, and what they say comes back."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Retry, workflow
from orchestrator.errors import RunError
from orchestrator.runtime.runner import Runner
from orchestrator.runtime.tools.processes import ToolProcesses
from orchestrator.runtime.tools.raised import raised_at
from tests.runtime.tools import isolated
from tests.runtime.tools.calling import outcome
from tests.runtime.tools.isolated import Row, fill, misbehave, rows


@workflow
def named(names: list[str]) -> list[Row]:
    return rows(names)


@workflow
def misbehaves(how: str) -> Any:
    return misbehave(how)


@workflow
def refuses(how: str) -> Any:
    return misbehave.options(retry=Retry(2, backoff_s=0, on=[isolated.Refused]))(how)


@workflow
def fills(mib: int) -> int:
    return fill(mib)


async def test_async_tools_and_models_work() -> None:
    async with Runner() as runtime:
        assert await outcome(runtime, named, ["a", "b"]) == [Row(name="a", n=0), Row(name="b", n=1)]


async def test_an_exception_keeps_its_type_its_text_and_its_line() -> None:
    async with Runner() as runtime:
        with pytest.raises(RunError) as caught:
            await outcome(runtime, refuses, "refuse")
    problem, cause = caught.value.diagnostics[0], caught.value.__cause__
    assert (problem.code, problem.message) == ("ORCH-R001", "`misbehave_1` failed: Refused: 404: gone")
    assert type(cause) is isolated.Refused
    assert cause.status == 404
    assert "isolated.py" in (problem.why or "")
    assert "raise Refused(404" in cause.__notes__[0]


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("loaded", "ORCH-R001", "Loaded: ('holds a lock', <unlocked _thread.lock"),
        ("exit", "ORCH-R001", "SystemExit: bad row"),
        ("stop", "ORCH-R001", "StopIteration"),
        ("die", "ORCH-R041", "ended with exit code 7"),
        ("crash", "ORCH-R041", "killed by SIGSEGV"),
        ("lock", "ORCH-R043", "cannot pickle '_thread.lock' object"),
    ],
)
async def test_whatever_it_does_is_its_own_failure(how: str, code: str, said: str) -> None:
    async with Runner() as runtime:
        with pytest.raises(RunError) as caught:
            await outcome(runtime, misbehaves, how)
        assert caught.value.code == code
        assert said in str(caught.value)
        assert "test_worker.py" in str(caught.value.diagnostics[0].where)
        assert await outcome(runtime, misbehaves, "nothing") is None


async def test_what_a_call_leaves_behind_is_put_back() -> None:
    async with Runner() as runtime:
        here = await outcome(runtime, misbehaves, "where")
        for how in ("move", "print", "fork"):
            assert await outcome(runtime, misbehaves, how) is None
        assert await outcome(runtime, misbehaves, "where") == here == (str(Path.cwd()), None)


async def test_memory_is_bounded() -> None:
    async with Runner() as runtime:
        assert await outcome(runtime, fills, 20) == 20 << 20
        with pytest.raises(RunError, match="more than its 200 MiB") as caught:
            await outcome(runtime, fills, 400)
        assert caught.value.code == "ORCH-R042"
        assert await outcome(runtime, fills, 20) == 20 << 20


async def test_nested_functions_travel_and_what_they_hold_must() -> None:
    processes, more, lock = ToolProcesses(), 2, threading.Lock()
    try:
        assert await processes.call("f", lambda x: x + more, (3,)) == 5
        with pytest.raises(RunError, match="the function of `f`") as caught:
            await processes.call("f", lambda: lock)
        with pytest.raises(RunError, match="an argument of `f`"):
            await processes.call("f", id, (lock,))
        with pytest.raises(ZeroDivisionError) as raised:
            await processes.call("f", lambda x: x / 0, (1,))
    finally:
        await processes.close()
    assert caught.value.code == "ORCH-R043"
    assert f'File "{__file__}"' in raised.value.__notes__[0]
    where = raised_at(raised.value)
    assert where is not None
    assert (where.file, where.function) == (__file__, "<lambda>")
