"""Workers on a Ray cluster: whatever becomes of one of them, or of a node, the runs end, and nothing happens twice."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic

import psycopg
import pytest
import pytest_asyncio

from orchestrator.cli.importing import import_file
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.planner.machine import detect
from orchestrator.runtime.coordinator import notices
from orchestrator.runtime.coordinator.coordinator import Coordinator
from orchestrator.runtime.coordinator.submitting import submit
from orchestrator.runtime.journal.stores.base import Store
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.runner import Runner
from tests.awaiting import is_running
from tests.postgresql import Server

pytestmark = pytest.mark.ray

RUNS = 20
PATIENCE_S = 240.0
RATES = """
def raised(n: int) -> int:
    return n + 1
"""
FLOWS = """
import os
import time
from pathlib import Path

import rates
from orchestrator import map_, tool, workflow


def note(folder: str, what: str) -> None:
    with Path(folder, "happened.txt").open("a") as file:
        file.write(f"{os.getpid()} {what}\\n")


@tool(effects="once")
def pay(n: int, folder: str) -> int:
    note(folder, f"pay {n}")
    return rates.raised(n)


@tool(effects="idempotent")
def wait(n: int, folder: str) -> int:
    note(folder, f"wait {n}")
    time.sleep(0.05)
    return n


@tool(effects="pure", typical_s=0.5)
def elsewhere(n: int) -> list[int]:
    return [rates.raised(n), os.getpid()]


@tool(effects="idempotent")
def here(found: list[int], folder: str) -> int:
    note(folder, f"sent {found[0]} {found[1]}")
    return found[0]


@workflow
def paying(n: int, folder: str) -> int:
    return wait(pay(wait(pay(wait(n, folder), folder), folder), folder), folder)


@workflow
def sending(n: int, folder: str) -> int:
    return here(map_(elsewhere, [n, n, n, n])[0], folder)  # worth more than one core
"""


class Command:
    """``orch worker … --workers N`` in a process of its own, and what it says."""

    def __init__(self, folder: Path, store: str, *options: str) -> None:
        words = [sys.executable, "-m", "orchestrator.cli.main", "worker", "flows.py", "--store", store, *options]
        env = {**os.environ, "ORCH_LEARNED": "off", "ORCH_CALIBRATION": "off"}
        self.process = subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, text=True, env=env)
        self.said: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.said.extend(iter(self.process.stderr.readline, ""))

    @property
    def text(self) -> str:
        return "".join(self.said)

    def pids(self) -> list[int]:
        """The processes of its workers, also of those that are gone, in the order in which they became ready."""
        return [int(found) for found in re.findall(r"worker \d+ \(process (\d+) on ", self.text)]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reading.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


class Place:
    """A folder with the flows, a store, and the commands that execute its runs."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        (folder / "flows.py").write_text(FLOWS)
        (folder / "rates.py").write_text(RATES)
        self.commands: list[Command] = []
        self.store: Store

    def start(self, *options: str) -> Command:
        command = Command(self.folder, self.url, *options)
        self.commands.append(command)
        return command

    def compiled(self, name: str) -> Compiled:
        module = import_file(self.folder / "flows.py")
        return compile_workflow(getattr(module, name), detect().model_copy(update={"ray": True}))

    async def submit(self, name: str, numbers: Sequence[int]) -> None:
        compiled = self.compiled(name)
        for n in numbers:
            await submit(self.store, compiled, {"n": n, "folder": str(self.folder)}, run_id=f"{name}-{n}")

    def happened(self) -> list[tuple[int, str]]:
        """What the tools have done: by which process, and what."""
        found = self.folder / "happened.txt"
        lines = found.read_text().splitlines() if found.exists() else []
        return [(int(pid), what) for pid, _, what in (line.partition(" ") for line in lines)]

    def by(self, pid: int) -> int:
        return sum(each == pid for each, _ in self.happened())

    async def all_done(self) -> None:
        """Return when every run has given its result; of payments that nobody knows of the file says what happened."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                heads = await self.store.heads(limit=RUNS + 1)
                for head in heads:
                    if head.status == "suspended":
                        await self._settle(head.run_id, head.why or "")
                if {head.status for head in heads} == {"done"}:
                    return
                await asyncio.sleep(0.1)

    async def _settle(self, run_id: str, why: str) -> None:
        assert why.startswith("ORCH-R020"), why
        n = int(run_id.partition("-")[2])
        for op, given in (("pay_1", n), ("pay_2", n + 1)):
            if f"`{op}`" in why:
                if f"pay {given}" in [what for _, what in self.happened()]:
                    await notices.settle(self.store, run_id, op, result=given + 1)
                else:
                    await notices.settle(self.store, run_id, op, did_not_happen=True)

    def paid(self) -> list[int]:
        return sorted(int(what.split()[1]) for _, what in self.happened() if what.startswith("pay"))


ONCE_EACH = sorted(n for number in range(RUNS) for n in (10 * number, 10 * number + 1))


@pytest_asyncio.fixture
async def place(postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    monkeypatch.syspath_prepend(str(tmp_path))
    schema = f"s{secrets.token_hex(8)}"
    made = Place(tmp_path, f"{postgresql.url}?schema={schema}")
    made.store = await open_store(made.url)
    yield made
    for each in made.commands:
        each.end()
    await made.store.close()
    for name in ("flows", "rates"):
        sys.modules.pop(name, None)
    with psycopg.connect(postgresql.url) as connection:
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


async def until(is_so: Callable[[], bool], command: Command) -> None:
    began = monotonic()
    while not is_so():
        assert command.process.poll() is None, command.text
        assert monotonic() < began + PATIENCE_S, command.text
        await asyncio.sleep(0.02)


async def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost_or_paid_twice(place: Place) -> None:
    await place.submit("paying", [10 * number for number in range(RUNS)])
    command = place.start("--workers", "2", "--concurrency", "3")
    await until(lambda: any(place.by(pid) >= 6 for pid in command.pids()), command)
    killed = max(command.pids(), key=place.by)
    os.kill(killed, signal.SIGKILL)
    await place.all_done()
    await until(lambda: len(command.pids()) == 3, command)
    assert re.search(r"worker \d is gone \(.+\); another one takes its place", command.text)
    assert place.paid() == ONCE_EACH
    await place.submit("sending", [7])
    await place.all_done()
    ((worker, sent),) = [each for each in place.happened() if each[1].startswith("sent")]
    assert sent.split()[1] == "8"
    assert worker in command.pids()
    assert int(sent.split()[2]) not in command.pids()
    command.process.terminate()
    assert await asyncio.to_thread(command.process.wait, PATIENCE_S) == 0
    assert "handed over; runs executed: " in command.text
    assert not any(is_running(pid) for pid in command.pids())


async def test_workers_that_are_told_to_end_hand_over(place: Place) -> None:
    await place.submit("paying", [10 * number for number in range(RUNS)])
    command = place.start("--workers", "2", "--concurrency", "3")
    await until(lambda: len(place.happened()) >= 10, command)
    command.process.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(command.process.wait, PATIENCE_S) == 0
    statuses = {head.status for head in await place.store.heads(limit=RUNS)}
    assert statuses <= {"ready", "done"}
    async with Runner(store=place.store) as runner:
        here = Coordinator(runner, [place.compiled("paying")])
        going_on = asyncio.create_task(here.run())
        await place.all_done()
        here.stop()
        await going_on
    assert place.paid() == ONCE_EACH


@pytest.fixture
def cluster() -> Iterator[object]:
    """A head, where no worker has a place, and two nodes."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [made.add_node(num_cpus=2), made.add_node(num_cpus=2)]
    yield made, nodes
    made.shutdown()


async def test_a_node_that_is_gone_takes_no_run_along(place: Place, cluster: tuple[object, list[object]]) -> None:
    ray_cluster, (node, _) = cluster
    command = place.start("--ray-address", ray_cluster.address, "--workers", "4", "--concurrency", "2")
    await until(lambda: len(command.pids()) == 4, command)  # else the first one may have done all of it
    before = command.pids()
    await place.submit("paying", [10 * number for number in range(RUNS)])
    await until(lambda: len(place.happened()) >= 10, command)
    await asyncio.to_thread(ray_cluster.remove_node, node, allow_graceful=False)
    await until(lambda: not all(map(is_running, before)), command)
    await place.all_done()
    assert place.paid() == ONCE_EACH
    await until(lambda: len(command.pids()) == 4 + sum(not is_running(pid) for pid in before), command)
    await place.submit("sending", [7])
    await place.all_done()
    assert [what.split()[1] for _, what in place.happened() if what.startswith("sent")] == ["8"]
    command.process.terminate()
    assert await asyncio.to_thread(command.process.wait, PATIENCE_S) == 0
