"""What vLLM loads from the entry point group ``vllm.general_plugins``, in each of its processes.

In an engine's process it gives ``EngineCore`` methods that a client calls with ``call_utility_async(name, …)``, lets
pins end on time while the engine has nothing to do, and answers for the metrics; in the server's process it adds these
to the server's ``/metrics``. None of it does anything with a scheduler that is not ours.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import cache
from math import inf
from typing import Any, Final

from vllm.logger import init_logger

from orchestrator.runtime.engines.vllm import hooks, report_socket
from orchestrator.runtime.engines.vllm.options import EXTEND, RELEASE, REPORT
from orchestrator.runtime.kv.load import Load

logger = init_logger("vllm.orchestrator")

_ENGINE: Final = "vllm.v1.engine.core"
_ALARM: Final = "_orchestrator_alarm"


def register() -> None:
    """Called by vLLM, possibly more than once in a process."""
    try:
        if _ENGINE in sys.modules:
            _extend_engine(sys.modules[_ENGINE])
        if report_socket.claim():
            _collect()
    except Exception:  # whatever it is, it must not keep an engine from starting
        logger.exception("Sessions' KV caches cannot be released or measured")


def scheduler() -> Any:
    """What ``orchestrator.kv.Scheduler`` is; vLLM's own where ours cannot even be imported."""
    register()
    try:
        from orchestrator.runtime.engines.vllm.scheduler import Scheduler
    except ImportError as error:
        logger.warning("KV caches are not kept between turns, and the engine runs stock vLLM: %s", error)
        return _stock
    return Scheduler


def report(scheduler: Any) -> dict[str, Any]:
    """Load and KV cache of an engine, and with our scheduler what became of hints; plain JSON."""
    running, waiting = scheduler.get_request_counts()
    blocks = scheduler.cache_config.num_gpu_blocks - 1  # one is vLLM's null block
    found: dict[str, Any] = scheduler.kv_report() if hasattr(scheduler, "kv_report") else {}
    pinned = found.get("pinned_blocks", 0)
    used = scheduler.kv_cache_manager.usage - pinned / max(blocks, 1)
    return found | {
        "pinned_bytes": pinned * _block_bytes(scheduler.kv_cache_config.kv_cache_groups),
        "requests_running": running,
        "requests_waiting": waiting,
        "kv_used_fraction": max(used, 0.0),  # without pins, which any request may take the place of
        "kv_capacity_tokens": blocks * scheduler.block_size,
    }


def _block_bytes(groups: Iterable[Any]) -> int:
    """Of a block of all layers of a group, in each worker."""
    sizes = []
    for group in groups:
        spec = group.kv_cache_spec
        layers = 1 if hasattr(spec, "kv_cache_specs") else len(group.layer_names)
        sizes.append(layers * spec.page_size_bytes)
    return max(sizes, default=0)


class Alarm:
    """Calls ``ring`` at the earliest time it was set to; one thread, which sleeps until then."""

    def __init__(self, ring: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._ring = ring
        self._clock = clock
        self._at_s = inf
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def set(self, at_s: float) -> None:
        """Ring at ``at_s``, or at an earlier time that was asked for before; ``inf`` asks for nothing."""
        if at_s >= self._at_s:
            return
        with self._changed:
            self._at_s = at_s
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="orchestrator-kv-alarm", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                while (wait_s := self._at_s - self._clock()) > 0:
                    self._changed.wait(min(wait_s, threading.TIMEOUT_MAX))
                self._at_s = inf
            self._ring()


def _stock(*args: Any, **kwargs: Any) -> Any:
    return hooks.stock(kwargs["vllm_config"])(*args, **kwargs)


@cache
def _collect() -> None:
    """Show what the engines of this process report on its ``/metrics``."""
    from prometheus_client import REGISTRY

    from orchestrator.runtime.telemetry.prometheus import KvCollector

    REGISTRY.register(KvCollector(report_socket.read))


def _extend_engine(module: Any) -> None:
    core, process = module.EngineCore, module.EngineCoreProc
    if hasattr(core, REPORT):
        return
    setattr(core, REPORT, lambda self: report(self.scheduler))
    setattr(core, RELEASE, _release)
    setattr(core, EXTEND, _extend)
    notify = process._notify_idle_state_callbacks

    def notify_and_expire(self: Any) -> None:
        notify(self)
        _when_idle(self)

    process._notify_idle_state_callbacks = notify_and_expire


def _release(core: Any, session: str) -> bool:
    if not hasattr(core.scheduler, "release_session"):
        return False
    core.scheduler.release_session(session)
    return True


def _extend(core: Any, session: str, ttl_s: float) -> bool:
    return hasattr(core.scheduler, "extend_session") and bool(core.scheduler.extend_session(session, ttl_s))


def _when_idle(core: Any) -> None:
    """Called in the engine's loop whenever it has nothing to do: before it waits, and after each message."""
    if not hasattr(core.scheduler, "retention"):
        return
    alarm: Alarm | None = getattr(core, _ALARM, None)
    if alarm is None:
        alarm = Alarm(lambda: _wake(core), core.scheduler.clock)
        setattr(core, _ALARM, alarm)
        _answer_scrapes(core)
    alarm.set(_expire(core.scheduler))


def _answer_scrapes(core: Any) -> None:
    try:
        report_socket.serve(str(core.engine_index), lambda: report(core.scheduler))
    except OSError as error:
        logger.warning("The server's /metrics will not show what becomes of KV caches: %s", error)


def _expire(scheduler: Any) -> float:
    """End the pins whose time is over, while nothing waits; the time before which no other pin's is."""
    scheduler._free_pins(scheduler.retention.due(Load(), scheduler.clock()))
    return float(scheduler.retention.table.next_expiry_s)


def _wake(core: Any) -> None:
    from vllm.v1.engine import EngineCoreRequestType

    core.input_queue.put_nowait((EngineCoreRequestType.WAKEUP, None))
