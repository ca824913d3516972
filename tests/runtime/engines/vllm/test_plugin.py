"""The plugin in vLLM's processes: methods of the engine, pins that end while it is idle, reports for the metrics."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("vllm")

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler as StockScheduler
from vllm.v1.engine import EngineCoreRequestType, core

import orchestrator.kv
from orchestrator.runtime.engines.vllm import plugin, report_socket
from orchestrator.runtime.engines.vllm.scheduler import Scheduler
from orchestrator.runtime.kv.hints import SESSION_ARGUMENT, KvHint
from tests.runtime.engines.vllm.engine_loop import EngineLoop
from tests.runtime.engines.vllm.schedulers import FOREVER, Shape, ours, request_of, stock, vllm_config

SHAPE = Shape()
WAKEUP = (EngineCoreRequestType.WAKEUP, None)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(report_socket.KEY_VARIABLE, f"{os.getpid()}-test")
    plugin.register()


class Idle(core.EngineCoreProc):  # type: ignore[misc]
    """An engine process without model and clients, which runs no loop by itself."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.engine_index = 3
        self.input_queue: queue.Queue[Any] = queue.Queue()
        self._idle_state_callbacks: list[Any] = []


def one_turn(scheduler: Any, session: str = "s1", **hint: Any) -> EngineLoop:
    loop = EngineLoop(scheduler, SHAPE)
    args = {**KvHint(turns_left=2.0, pause_s=(5.0,), **hint).to_args(), SESSION_ARGUMENT: session}
    loop.submit(request_of(SHAPE, f"turn of {session}", list(range(10, 110)), 20, args=args))
    loop.drain()
    return loop


def test_the_short_name_is_the_scheduler() -> None:
    assert orchestrator.kv.Scheduler is Scheduler
    assert dir(orchestrator.kv) == ["Scheduler"]
    with pytest.raises(AttributeError, match="nothing_else"):
        orchestrator.kv.nothing_else  # noqa: B018


def test_naming_the_module_imports_no_vllm() -> None:
    code = "import sys, orchestrator.kv; sys.exit('vllm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_registering_again_changes_nothing() -> None:
    before = core.EngineCoreProc._notify_idle_state_callbacks, core.EngineCore.orchestrator_kv_report
    plugin.register()
    assert before == (core.EngineCoreProc._notify_idle_state_callbacks, core.EngineCore.orchestrator_kv_report)


def test_a_failure_stays_out_of_vllm(monkeypatch: pytest.MonkeyPatch, caplog_vllm: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "vllm.v1.engine.core", SimpleNamespace())  # type: ignore[arg-type]
    plugin.register()
    assert "cannot be released or measured" in caplog_vllm.text


@pytest.mark.parametrize("overlapped", [False, True])
def test_stock_where_our_scheduler_cannot_be_imported(monkeypatch: pytest.MonkeyPatch, overlapped: bool) -> None:
    monkeypatch.setitem(sys.modules, "orchestrator.runtime.engines.vllm.scheduler", None)
    made: list[Any] = []
    for kind in (StockScheduler, AsyncScheduler):
        monkeypatch.setattr(kind, "__init__", lambda self, **kwargs: made.append(type(self)))
    orchestrator.kv.Scheduler(vllm_config=vllm_config(Shape(overlapped=overlapped)))  # type: ignore[operator]
    assert made == [AsyncScheduler if overlapped else StockScheduler]


def test_methods_of_the_engine() -> None:
    engine = Idle(ours(SHAPE, **FOREVER))
    one_turn(engine.scheduler)
    report = engine.orchestrator_kv_report()
    assert report["pinned_blocks"] == 119 // SHAPE.block_tokens
    assert report["pinned_bytes"] == report["pinned_tokens"] * 2 * 4  # a key and a value of one float32
    assert report["kv_used_fraction"] == 0.0
    assert report["kv_capacity_tokens"] == SHAPE.blocks * SHAPE.block_tokens
    assert engine.orchestrator_kv_extend("s1", 3.0) is True
    assert engine.orchestrator_kv_extend("nobody", 3.0) is False
    assert engine.orchestrator_kv_release("s1") is True
    after = engine.orchestrator_kv_report()
    assert (after["pinned_blocks"], after["outcomes"]["released"]) == (0, 1)


def test_they_are_harmless_with_a_stock_scheduler() -> None:
    engine = Idle(stock(SHAPE))
    assert engine.orchestrator_kv_release("s1") is False
    assert engine.orchestrator_kv_extend("s1", 3.0) is False
    assert engine.orchestrator_kv_report()["requests_waiting"] == 0
    engine._notify_idle_state_callbacks()
    assert not hasattr(engine, "_orchestrator_alarm")


def test_an_idle_engine_ends_pins_and_is_woken_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    alarms: list[float] = []
    monkeypatch.setattr(plugin.Alarm, "set", lambda self, at_s: alarms.append(at_s))
    monkeypatch.setattr(report_socket, "serve", lambda engine, report: None)
    engine = Idle(ours(SHAPE, ttl_s=10.0))
    loop = one_turn(engine.scheduler)
    pinned_s = loop.clock.now_s
    engine._notify_idle_state_callbacks()
    assert len(engine.scheduler.retention.table) == 1
    assert alarms == [pytest.approx(pinned_s + 10.0, abs=0.1)]
    loop.clock.now_s = alarms[0] + 0.001
    engine._notify_idle_state_callbacks()
    assert len(engine.scheduler.retention.table) == 0
    assert engine.scheduler.kv_cache_manager.block_pool.get_num_free_blocks() == SHAPE.blocks
    assert alarms[1] == inf


def test_waking_posts_what_vllm_ignores() -> None:
    engine = Idle(ours(SHAPE))
    plugin._wake(engine)
    assert engine.input_queue.get_nowait() == WAKEUP
    engine._handle_client_request(*WAKEUP)  # does nothing, and raises nothing


def test_an_alarm_rings_once_at_the_earliest_time() -> None:
    rung = threading.Semaphore(0)
    now_s = [0.0]
    alarm = plugin.Alarm(rung.release, lambda: now_s[0])
    alarm.set(inf)
    assert alarm._thread is None  # nothing to wait for
    alarm.set(1e6)
    now_s[0] = 2.0
    alarm.set(1.0)
    assert rung.acquire(timeout=30)
    alarm.set(1.5)
    assert rung.acquire(timeout=30)
    assert not rung.acquire(blocking=False)


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, dict[str, Any]]]:
    """Engines that answer, with what they say."""
    monkeypatch.setenv(report_socket.KEY_VARIABLE, f"{os.getpid()}-{os.urandom(4).hex()}")
    said: dict[str, dict[str, Any]] = {"0": {"pins": 1}, "1": {"pins": 2}}
    report_socket.serve("0", lambda: said["0"])
    report_socket.serve("1", lambda: said["1"])
    return said


def test_reports_are_read_across_processes_at_each_scrape(answering: dict[str, dict[str, Any]]) -> None:
    assert report_socket.read() == {"0": {"pins": 1}, "1": {"pins": 2}}
    answering["1"]["pins"] = 5
    code = "from orchestrator.runtime.engines.vllm import report_socket; print(report_socket.read()['1']['pins'])"
    read = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert read.stdout.strip() == b"5"


def test_an_engine_that_fails_to_answer_leaves_the_others(answering: dict[str, dict[str, Any]]) -> None:
    def broken() -> dict[str, Any]:
        raise RuntimeError("dictionary changed size during iteration")

    report_socket.serve("2", broken)
    assert set(report_socket.read()) == {"0", "1"}
    assert set(report_socket.read()) == {"0", "1"}


def test_only_children_of_a_reader_report_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(report_socket.KEY_VARIABLE, "1-inherited")
    monkeypatch.setattr(report_socket, "parent_process", object)
    assert not report_socket.claim()
    assert os.environ[report_socket.KEY_VARIABLE] == "1-inherited"
    monkeypatch.setattr(report_socket, "parent_process", lambda: None)
    assert report_socket.claim()
    own = os.environ[report_socket.KEY_VARIABLE]
    assert own.startswith(f"{os.getpid()}-")
    assert report_socket.claim()
    assert os.environ[report_socket.KEY_VARIABLE] == own
