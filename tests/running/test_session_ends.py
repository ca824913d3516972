"""How runs and sessions end: cancelled, interrupted, closed, forgotten, forked, left open."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator import Session, run, tool, workflow
from orchestrator.errors import RunError
from orchestrator.runtime.engines.scripted import ScriptedEngine
from tests.running.answering import Counted, answer, echo, hanging


def test_engines_of_its_own_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Counted(echo)
    monkeypatch.setattr("orchestrator.runtime.engines.registry.create", lambda spec, ray=None: engine)
    with Session(engine="sim") as session:
        session.run(answer, "x")
        session.run(answer, "y")
        assert engine.closes == 0
    assert (engine.starts, engine.closes) == (1, 1)
    run(answer, "x", engine="sim")
    assert (engine.starts, engine.closes) == (2, 2)


def test_one_that_is_forgotten_closes_its_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = threading.Event()

    class Closing(Counted):
        async def close(self) -> None:
            closed.set()

    monkeypatch.setattr("orchestrator.runtime.engines.registry.create", lambda spec, ray=None: Closing(echo))
    session = Session(engine="sim")
    session.run(answer, "x")
    del session
    gc.collect()
    assert closed.wait(30)


def test_after_it_is_closed_it_says_so() -> None:
    session = Session(engine=ScriptedEngine(echo))
    session.run(answer, "x")
    session.close()
    session.close()
    for use in (lambda: session.run(answer, "x"), session.__enter__, lambda: session.stream(answer, "x")):
        with pytest.raises(RunError) as caught:
            use()
        assert caught.value.code == "ORCH-R070"
        assert caught.value.diagnostics[0].where.file == __file__  # type: ignore[union-attr]


def test_closing_cancels_what_is_under_way() -> None:
    engine = hanging()
    session = Session(engine=engine)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(session.run, answer, "x")
        assert engine.began.wait(30)
        session.close()
        with pytest.raises(RunError) as caught:
            running.result(30)
    assert caught.value.code == "ORCH-R035"
    assert engine.ended.is_set()


async def test_cancelling_the_waiting_cancels_the_run_and_waits_for_that() -> None:
    engine = hanging()
    async with Session(engine=engine) as session:
        task = asyncio.create_task(session.arun(answer, "x"))
        await asyncio.to_thread(engine.began.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert engine.ended.is_set()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.arun(answer, "x"), 0.05)


@pytest.mark.parametrize("inside_a_loop", [False, True])
def test_ctrl_c_cancels_the_run(inside_a_loop: bool) -> None:
    engine = hanging()

    def press() -> None:
        engine.began.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    async def inside() -> None:
        run(answer, "x", engine=engine)

    finger = threading.Thread(target=press)
    finger.start()
    with pytest.raises(KeyboardInterrupt):
        if inside_a_loop:
            asyncio.run(inside())
        else:
            run(answer, "x", engine=engine)
    finger.join()
    assert engine.ended.is_set()


def test_a_fork_says_what_it_lacks() -> None:
    with Session(engine=ScriptedEngine(echo)) as session:
        session.run(answer, "x")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            code = b"none"
            try:
                session.run(answer, "x")
            except RunError as error:
                code = error.code.encode()
            session.close()  # leaves the parent's engines alone
            os.write(writing, code + b" " + run(answer, "y", engine=ScriptedEngine(["new"])).value.encode())
            os._exit(0)
        os.close(writing)
        assert os.waitpid(child, 0)[1] == 0
        assert os.read(reading, 100) == b"ORCH-R071 new"
        os.close(reading)
        assert session.run(answer, "x").value == "kind x"


LEFT_OPEN = """
import asyncio
from orchestrator import Session, llm, workflow
from orchestrator.runtime.engines import registry
from orchestrator.runtime.engines.scripted import ScriptedEngine

class Engine(ScriptedEngine):
    async def close(self):
        await asyncio.sleep(0.01)
        print("closed")

registry.create = lambda spec, ray=None: Engine(["hi"])

@workflow
def answer(q: str) -> str:
    return llm(q)

session = Session(engine="sim")
print(session.run(answer, "x").value)
"""


def test_one_that_is_left_open_is_closed_by_the_interpreter(tmp_path: Path) -> None:
    script = tmp_path / "left_open.py"
    script.write_text(LEFT_OPEN)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["hi", "closed"], "")


def test_a_session_that_calls_itself_for_ever_is_stopped() -> None:
    with Session() as session:

        @tool(effects="idempotent")
        async def again(n: int) -> int:
            return (await session.arun(endless, n + 1)).value

        @workflow
        def endless(n: int) -> int:
            return again(n)

        with pytest.raises(RunError) as caught:
            session.run(endless, 0)
        assert caught.value.code == "ORCH-R045"
