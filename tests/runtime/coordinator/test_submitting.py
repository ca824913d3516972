"""Runs that are added to a store by whoever does not execute them."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from orchestrator import tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.coordinator.submitting import submit
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.runner import Runner


@tool(effects="idempotent")
def doubled(number: int) -> int:
    return 2 * number


@workflow
def doubling(number: int) -> int:
    return doubled(number)


@tool(effects="reads")
def length(key: SecretStr) -> int:
    return len(key.get_secret_value())


@workflow
def measured(key: SecretStr) -> int:
    return length(key)


async def test_a_run_that_was_added_is_ready_and_anybody_may_go_on_with_it() -> None:
    store, compiled = MemoryStore(), compile_workflow(doubling)
    run_id = await submit(store, compiled, {"number": 21}, budget="400k tokens", tenant="acme")
    (head,) = await store.heads()
    assert (head.run_id, head.status, head.owner, head.tenant) == (run_id, "ready", None, "acme")
    assert await store.program(compiled.program.fingerprint) is not None
    async with Runner(store=store) as runtime:
        assert (await runtime.resume(compiled, run_id)).value == 42


async def test_a_second_run_with_a_key_is_the_first_one() -> None:
    store, compiled = MemoryStore(), compile_workflow(doubling)
    first = await submit(store, compiled, {"number": 1}, key="k")
    assert await submit(store, compiled, {"number": 2}, key="k") == first
    assert len(await store.heads()) == 1


async def test_the_id_of_another_run_and_wrong_inputs_are_refused() -> None:
    store, compiled = MemoryStore(), compile_workflow(doubling)
    await submit(store, compiled, {"number": 1}, run_id="r")
    with pytest.raises(RunError) as exists:
        await submit(store, compiled, {"number": 1}, run_id="r")
    assert exists.value.code == "ORCH-R029"
    with pytest.raises(RunError) as wrong:
        await submit(store, compiled, {"number": "no"})
    assert wrong.value.code == "ORCH-R007"
    assert len(await store.heads()) == 1


async def test_a_secret_is_the_executing_processs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    store, compiled = MemoryStore(), compile_workflow(measured)
    run_id = await submit(store, compiled, {"key": SecretStr("of-the-sender")})
    loaded = await store.load(run_id)
    assert loaded is not None
    assert b"of-the-sender" not in b"".join(row.data for row in loaded.rows)
    monkeypatch.setenv("ORCH_SECRET_KEY", "four")
    async with Runner(store=store) as runtime:
        assert (await runtime.resume(compiled, run_id)).value == 4
