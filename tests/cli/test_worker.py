"""Workers in processes of their own: whatever becomes of one of them, the runs end, and nothing happens twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import time

import pytest

from orchestrator.cli.importing import import_file
from orchestrator.cli.worker import require_shareable
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import UsageError
from orchestrator.planner.machine import detect
from orchestrator.runtime.coordinator import notices
from orchestrator.runtime.coordinator.owner import Owner
from orchestrator.runtime.journal.events import RunStarted
from orchestrator.runtime.journal.stores.base import Change, Head, Store
from orchestrator.runtime.journal.stores.opened import open_store
from tests.runtime.journal.stores.keeping import durable

RUNS = 20
PATIENCE_S = 60.0
FLOWS = """
import os
import time
from pathlib import Path

from orchestrator import ask, tool, workflow

LOG = Path(__file__).with_name("happened.txt")


def note(what: str) -> None:
    with LOG.open("a") as file:
        file.write(f"{os.getpid()} {what}\\n")


@tool(effects="once")
def pay(n: int) -> int:
    note(f"pay {n}")
    return n + 1


@tool(effects="idempotent")
def wait(n: int) -> int:
    note(f"wait {n}")
    time.sleep(0.05)
    return n


@workflow
def paying(n: int) -> int:
    return wait(pay(wait(pay(wait(n)))))


@workflow
def approving(n: int) -> str:
    verdict = ask(f"May it be {n}?", choices=["yes", "no"], name="verdict")
    return verdict
"""


class Workers:
    """Processes that share the runs of one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.flows = folder / "flows.py"
        self.flows.write_text(FLOWS)
        self.store = str(folder / "runs.db")
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *options: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "orchestrator.cli.main", "worker", str(self.flows), "--store", self.store]
        process = subprocess.Popen([*words, *options], stderr=subprocess.PIPE, text=True, env={**os.environ})
        self._started.append(process)
        assert process.stderr is not None
        while "ready" not in (line := process.stderr.readline()):
            assert line, "the worker has ended"
        return process

    def end(self) -> None:
        for each in self._started:
            if each.poll() is None:
                each.send_signal(signal.SIGCONT)
                each.kill()
            each.wait()
            assert each.stderr is not None
            each.stderr.close()

    def happened(self) -> list[str]:
        """What the tools have done, without who did it."""
        found = self.folder / "happened.txt"
        lines = found.read_text().splitlines() if found.exists() else []
        return [line.partition(" ")[2] for line in lines]

    def by(self, process: subprocess.Popen[str]) -> int:
        """How much a process has done."""
        found = self.folder / "happened.txt"
        return found.read_text().count(f"{process.pid} ") if found.exists() else 0


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    made = Workers(tmp_path)
    yield made
    made.end()


def compiled_of(workers: Workers, name: str) -> Compiled:
    module = import_file(workers.flows)
    return compile_workflow(getattr(module, name), detect().model_copy(update={"ray": True}))


async def begun(store: Store, compiled: Compiled, run_id: str, n: int) -> None:
    owner, program = Owner(store), compiled.program
    log = await owner.begin(program, RunStarted(run_id, program.name, program.fingerprint, (n,), time()), None)
    assert not isinstance(log, Head)
    assert log.claim is not None
    store.append(log.claim, b"", change=Change("ready"))
    await durable(store, run_id)
    await owner.close()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await asyncio.sleep(0.01)


async def statuses(store: Store) -> dict[str, str]:
    return {head.run_id: head.status for head in await store.heads(limit=RUNS + 1)}


async def all_over(store: Store) -> dict[str, str]:
    async with asyncio.timeout(PATIENCE_S):
        while not {"done", "suspended"} >= set((found := await statuses(store)).values()):
            await asyncio.sleep(0.05)
    return found


async def twenty_runs(workers: Workers) -> Store:
    store, compiled = await open_store(workers.store), compiled_of(workers, "paying")
    for number in range(RUNS):
        await begun(store, compiled, f"r{number}", 10 * number)
    return store


async def settle_all(store: Store, workers: Workers) -> None:
    """Of a tool that was killed while it ran nobody knows; the file says it."""
    for head in await store.heads(status=("suspended",), limit=RUNS):
        assert (head.why or "").startswith("ORCH-R020"), head.why
        n = 10 * int(head.run_id[1:])
        for op, given in (("pay_1", n), ("pay_2", n + 1)):
            if f"`{op}`" in (head.why or ""):
                if f"pay {given}" in workers.happened():
                    await notices.settle(store, head.run_id, op, result=given + 1)
                else:
                    await notices.settle(store, head.run_id, op, did_not_happen=True)


def assert_each_was_paid_once(workers: Workers) -> None:
    paid = sorted(int(line.split()[1]) for line in workers.happened() if line.startswith("pay"))
    assert paid == sorted([n for number in range(RUNS) for n in (10 * number, 10 * number + 1)])


async def test_a_worker_that_is_killed_loses_no_run_and_repeats_no_payment(workers: Workers) -> None:
    store = await twenty_runs(workers)
    killed, other = workers.start("--concurrency", "4"), workers.start("--concurrency", "4")
    await until(lambda: workers.by(killed) >= 6)
    killed.kill()
    killed.wait()
    await all_over(store)
    await settle_all(store, workers)
    assert set((await all_over(store)).values()) == {"done"}
    assert other.poll() is None
    assert_each_was_paid_once(workers)
    await store.close()


async def test_a_worker_that_was_stopped_over_its_lease_writes_nothing_and_goes_on_with_others(
    workers: Workers,
) -> None:
    store = await twenty_runs(workers)
    lease = ("--concurrency", "4", "--lease", "0.5")
    stopped, other = workers.start(*lease), workers.start(*lease)
    await until(lambda: workers.by(stopped) >= 6)
    stopped.send_signal(signal.SIGSTOP)
    await all_over(store)
    before = len(workers.happened())
    stopped.send_signal(signal.SIGCONT)
    await asyncio.sleep(1.0)
    await settle_all(store, workers)
    assert set((await all_over(store)).values()) == {"done"}
    assert before > 0
    assert stopped.poll() is None
    assert other.poll() is None
    assert_each_was_paid_once(workers)
    await store.close()


async def test_a_worker_that_is_told_to_end_hands_over(workers: Workers) -> None:
    store = await twenty_runs(workers)
    ending, _ = workers.start("--concurrency", "4"), workers.start("--concurrency", "4")
    await until(lambda: workers.by(ending) >= 6)
    ending.terminate()
    assert await asyncio.to_thread(ending.wait, PATIENCE_S) == 0
    assert set((await all_over(store)).values()) == {"done"}
    assert_each_was_paid_once(workers)
    await store.close()


async def test_an_answer_reaches_a_run_that_no_process_has(workers: Workers) -> None:
    store = await open_store(workers.store)
    await begun(store, compiled_of(workers, "approving"), "r", 3)
    first = workers.start()
    async with asyncio.timeout(PATIENCE_S):
        while (await statuses(store))["r"] != "waiting":
            await asyncio.sleep(0.02)
    first.kill()
    first.wait()
    assert json.dumps([each.text for each in await notices.questions(store, "r")]) == '["May it be 3?"]'
    await notices.answer(store, "r", "verdict", "yes")
    workers.start()
    assert (await all_over(store))["r"] == "done"
    await store.close()


@pytest.mark.parametrize("store", ["runs.db", "sqlite:///runs.db", "memory:"])
def test_workers_of_a_cluster_are_refused_a_store_of_one_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cannot share") as refused:
        require_shareable(store, ["flows.py"], None)
    assert refused.value.code == "ORCH-U023"
    assert "postgresql://" in (refused.value.diagnostics[0].fix or "")


def test_workers_of_a_cluster_are_refused_code_that_is_not_sent_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "flows.py").write_text(FLOWS)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UsageError, match=r"`\.\./flows\.py:paying` is not in it") as refused:
        require_shareable("postgresql://db/runs", ["../flows.py:paying"], "10.0.0.1:6379")
    assert refused.value.code == "ORCH-U023"
    require_shareable("postgresql://db/runs", ["../flows.py:paying"], None)
