"""A run with secrets goes on in another process with those that it is given there, and with no others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from orchestrator import tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.events import Event, RunStarted
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.journal.stored import decode, encode, loads
from orchestrator.runtime.run import Runtime

HUSH = "hush-123"
used: list[str] = []
fails = [True]


class Account(BaseModel):
    user: str
    key: SecretStr


class Elsewhere(MemoryJournal):
    """Gives the inputs of a run as another process reads them."""

    written = ""

    async def load(self, run_id: str) -> Sequence[Event]:
        return [self._read(each) if isinstance(each, RunStarted) else each for each in await super().load(run_id)]

    def _read(self, event: RunStarted) -> RunStarted:
        texts = [encode(Any, each, None) for each in event.inputs]
        self.written = "".join(texts)
        return event._replace(inputs=tuple(decode(Any, loads(text), None) for text in texts))


@tool(effects="idempotent")
async def first(account: Account) -> str:
    used.append(f"first {account.key.get_secret_value()}")
    return account.user


@tool(effects="idempotent")
async def on_loop(account: Account, user: str) -> str:
    if fails[0]:
        raise OSError("the power is gone")
    used.append(f"loop {account.key.get_secret_value()}")
    return user


@tool(effects="idempotent")
def in_thread(account: Account, user: str) -> str:
    used.append(f"thread {account.key.get_secret_value()}")
    return user


@tool(effects="idempotent", isolation="process")
def in_process(account: Account, user: str) -> str:
    return f"{user} {len(account.key.get_secret_value())}"


@workflow
def flow(account: Account) -> str:
    return in_process(account, in_thread(account, on_loop(account, first(account))))


async def interrupted(journal: MemoryJournal) -> None:
    """A run of the workflow that has come to its second tool."""
    used.clear()
    fails[0] = True
    async with Runtime(journal=journal) as runtime:
        with pytest.raises(RunError):
            await runtime.run(compile_workflow(flow), {"account": {"user": "me", "key": HUSH}}, run_id="r")
    assert used == [f"first {HUSH}"]
    used.clear()
    fails[0] = False


async def test_whoever_resumes_gives_it() -> None:
    journal = Elsewhere()
    await interrupted(journal)
    async with Runtime(journal=journal) as runtime:
        result = await runtime.resume(compile_workflow(flow), "r", secrets={"account.key": "rotated since"})
    assert (result.value, used) == ("me 13", ["loop rotated since", "thread rotated since"])
    assert journal.written
    assert HUSH not in journal.written


async def test_or_the_environment_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Elsewhere()
    await interrupted(journal)
    monkeypatch.setenv("ORCH_SECRET_ACCOUNT_KEY", HUSH)
    async with Runtime(journal=journal) as runtime:
        result = await runtime.resume(compile_workflow(flow), "r")
    assert (result.value, used) == ("me 8", [f"loop {HUSH}", f"thread {HUSH}"])


async def test_where_nobody_has_it_the_run_says_which_is_missing_and_can_be_resumed_again() -> None:
    journal = Elsewhere()
    await interrupted(journal)
    async with Runtime(journal=journal) as runtime:
        with pytest.raises(RunError, match=r"the secret `account\.key` is not to be had") as caught:
            await runtime.resume(compile_workflow(flow), "r")
        assert caught.value.code == "ORCH-R092"
        assert "set ORCH_SECRET_ACCOUNT_KEY" in str(caught.value)
        assert used == []
        result = await runtime.resume(compile_workflow(flow), "r", secrets={"account.key": SecretStr(HUSH)})
    assert result.value == "me 8"
