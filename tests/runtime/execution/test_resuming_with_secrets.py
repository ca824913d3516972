"""A run with secrets goes on in another process with those that it is given there; nothing that is written has them."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from orchestrator import map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.observe import Subscription
from orchestrator.runtime.runner import Runner

HUSH = "hush-123"
used: list[str] = []
fails = [True]


class Account(BaseModel):
    user: str
    key: SecretStr


@tool(effects="idempotent")
async def first(account: Account) -> str:
    used.append(f"first {account.key.get_secret_value()}")
    return account.user


@tool(effects="idempotent")
async def on_loop(account: Account, user: str) -> str:
    if fails[0]:
        raise OSError(f"the power is gone, and with it {account.key.get_secret_value()}")
    used.append(f"loop {account.key.get_secret_value()}")
    return user


@tool(effects="idempotent")
def in_thread(key: SecretStr, user: str) -> str:
    used.append(f"thread {key.get_secret_value()}")
    return user


@tool(effects="idempotent", isolation="process")
def in_process(key: SecretStr, user: str) -> str:
    return f"{user} {len(key.get_secret_value())}"


@workflow
def flow(account: Account) -> str:
    return in_process(account.key, in_thread(account.key, on_loop(account, first(account))))


async def written(store: Any, run_id: str = "r") -> str:
    """Everything that the store has of a run."""
    return b"".join([row.data async for row in store.history(run_id)]).decode() + repr(await store.heads())


async def interrupted(store: Any, compiled: Any, **inputs: object) -> None:
    """A run that has come to a tool which fails."""
    used.clear()
    fails[0] = True
    async with Runner(store=store) as runtime:
        with pytest.raises(RunError, match="the power is gone"):
            await runtime.run(compiled, inputs, run_id="r")
    fails[0] = False
    assert "hush" not in await written(store)


async def test_whoever_resumes_gives_it() -> None:
    store = MemoryStore()
    await interrupted(store, compile_workflow(flow), account={"user": "me", "key": HUSH})
    assert used == [f"first {HUSH}"]
    async with Runner(store=store) as runtime:
        result = await runtime.resume(compile_workflow(flow), "r", secrets={"account.key": "rotated since"})
    assert (result.value, used[1:]) == ("me 13", ["loop rotated since", "thread rotated since"])
    assert "rotated" not in await written(store)


async def test_or_the_environment_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    await interrupted(store, compile_workflow(flow), account={"user": "me", "key": HUSH})
    monkeypatch.setenv("ORCH_SECRET_ACCOUNT_KEY", HUSH)
    async with Runner(store=store) as runtime:
        result = await runtime.resume(compile_workflow(flow), "r")
    assert (result.value, used[1:]) == ("me 8", [f"loop {HUSH}", f"thread {HUSH}"])


async def test_where_nobody_has_it_the_run_says_which_is_missing_and_can_be_resumed_again() -> None:
    store = MemoryStore()
    await interrupted(store, compile_workflow(flow), account={"user": "me", "key": HUSH})
    async with Runner(store=store) as runtime:
        with pytest.raises(RunError, match=r"the secret `account\.key` is not to be had") as caught:
            await runtime.resume(compile_workflow(flow), "r")
        assert caught.value.code == "ORCH-R092"
        assert "set ORCH_SECRET_ACCOUNT_KEY" in str(caught.value)
        assert len(used) == 1
        result = await runtime.resume(compile_workflow(flow), "r", secrets={"account.key": SecretStr(HUSH)})
    assert result.value == "me 8"


logins: list[str] = []


class Session(BaseModel):
    token: SecretStr
    parts: list[SecretBytes | Secret[int]] = []


@tool(effects="reads")
async def login(user: str) -> Session:
    logins.append(user)
    return Session(token=SecretStr(f"{HUSH}-token-{len(logins)}"), parts=[SecretBytes(b"hush"), Secret[int](4)])


@tool(effects="once")
async def pay(session: Session, cents: int) -> int:
    used.append(f"pay {cents} {session.token.get_secret_value()}")
    return cents


@tool(effects="idempotent")
async def confirm(session: Session, cents: int) -> str:
    if fails[0]:
        raise OSError("the power is gone")
    used.append(f"confirm {session.token.get_secret_value()}")
    return "ok"


@workflow
def paying(user: str) -> tuple[str, Session]:
    session = login(user)
    total = 0
    for cents in [1, 2]:
        total += pay(session, cents)
    return confirm(session, total), session


@workflow
def in_a_loop(users: list[str]) -> list[str]:
    said: list[str] = []
    session = login("root")
    for user in users:
        said = [*said, confirm(session, 1)]
        session = login(user)
    return said


async def test_a_tool_that_returns_a_secret_is_called_again_and_what_was_done_with_it_is_not() -> None:
    logins.clear()
    store, compiled = MemoryStore(), compile_workflow(paying)
    await interrupted(store, compiled, user="me")
    assert (len(logins), len(used)) == (1, 2)
    async with Runner(store=store) as runtime:
        result = await runtime.resume(compiled, "r")
        assert result.value == ("ok", Session(token=f"{HUSH}-token-2", parts=[SecretBytes(b"hush"), Secret[int](4)]))
        assert used[2:] == [f"confirm {HUSH}-token-2"]
        assert "hush" not in await written(store)
        again = await runtime.resume(compiled, "r")
    assert again.value[0] == "ok"
    assert len(used) == 3


async def test_a_loop_that_hands_one_on_goes_on_where_it_was() -> None:
    logins.clear()
    store, compiled = MemoryStore(), compile_workflow(in_a_loop)
    await interrupted(store, compiled, users=["a", "b", "c"])
    async with Runner(store=store) as runtime:
        result = await runtime.resume(compiled, "r")
    assert result.value == ["ok", "ok", "ok"]
    assert "hush" not in await written(store)


@workflow
def every_way(key: SecretStr, account: Account, keys: list[SecretStr], number: Secret[int]) -> list[str]:
    texts = map_(lambda each: in_thread(each, "a"), keys, limit=5)
    try:
        texts = [*texts, on_loop(account, "b")]
    except OSError as error:
        texts = [*texts, f"{error}"]
    return [*texts, in_process(key, "c")]


async def test_nothing_that_is_written_shown_or_told_has_a_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("ORCH_TELEMETRY_CONTENT", "1")
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: provider)
    fails[0] = True
    store = await open_store(f"sqlite:///{tmp_path / 'runs.db'}")
    subscription = Subscription()
    given = {"key": HUSH, "account": {"user": "u", "key": HUSH}, "keys": [HUSH, HUSH], "number": 4711_4711}
    async with Runner(store=store, observers=[subscription]) as runtime:
        result = await runtime.run(compile_workflow(every_way), given, run_id="r")
    await store.close()
    assert result.value == ["a", "a", "the power is gone, and with it ***", "c 8"]
    files = b"".join(each.read_bytes() for each in tmp_path.rglob("*") if each.is_file())
    assert b"account.key" in files
    spans = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert "the power is gone" in files.decode("utf-8", "replace")
    for told in (files.decode("utf-8", "replace"), spans, caplog.text, repr(result), repr(subscription.drain())):
        assert told is caplog.text or len(told) > 100
        assert "hush" not in told
        assert "47114711" not in told


RESUMES = """
import asyncio, sys
from orchestrator.compiler import compile
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.runner import Runner
from tests.runtime.execution import test_resuming_with_secrets as flows

async def main():
    flows.fails[0] = False
    store = await open_store(sys.argv[1])
    async with Runner(store=store) as runtime:
        print((await runtime.resume(compile(flows.flow), "r")).value, flows.used)
    await store.close()

asyncio.run(main())
"""


def test_another_process_has_its_own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'runs.db'}"

    async def begin() -> None:
        store = await open_store(url)
        await interrupted(store, compile_workflow(flow), account={"user": "me", "key": HUSH})
        await store.close()

    asyncio.run(begin())
    monkeypatch.setenv("ORCH_SECRET_ACCOUNT_KEY", "rotated")
    ended = subprocess.run([sys.executable, "-c", RESUMES, url], capture_output=True, text=True, check=False)
    assert ended.stdout == "me 7 ['loop rotated', 'thread rotated']\n", ended.stderr
