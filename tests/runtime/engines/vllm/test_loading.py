"""A model is loaded beside the event loop, once, and nothing of it is left where nobody wants it any more."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.errors import EngineError
from orchestrator.runtime.engines.vllm.local import LocalVllm

pytest.importorskip("vllm")


@pytest.fixture(autouse=True)
def _environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.runtime.engines.vllm.local.environment", lambda *_, **__: {})


class Slow(LocalVllm):
    """Its model takes as long to load as the test wants."""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__("main", "org/model")
        self.goes_on = threading.Event()
        self.is_shut_down = threading.Event()
        self.loads = 0
        self.error = error

    def _load(self, on_cpu: bool) -> Any:
        self.loads += 1
        if not self.goes_on.wait(60):
            raise TimeoutError("the event loop stood still")
        if self.error is not None:
            raise self.error
        return SimpleNamespace(renderer=SimpleNamespace(tokenizer=None), shutdown=self.is_shut_down.set)


async def under_way(engine: Slow, count: int = 1) -> list[asyncio.Task[None]]:
    starts = [asyncio.create_task(engine.start()) for _ in range(count)]
    while not engine.loads:
        await asyncio.sleep(0.001)
    return starts


async def test_the_event_loop_goes_on_while_a_model_loads_and_all_wait_for_one_load() -> None:
    engine = Slow()
    starts = await under_way(engine, 3)
    engine.goes_on.set()  # by the event loop: it was not blocked
    await asyncio.gather(*starts)
    await engine.start()
    assert engine.loads == 1
    assert not engine.is_shut_down.is_set()
    await engine.close()
    assert engine.is_shut_down.is_set()


async def test_a_model_that_nobody_waits_for_any_more_is_shut_down_when_it_is_there() -> None:
    engine = Slow()
    (start,) = await under_way(engine)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not engine.is_shut_down.is_set()
    engine.goes_on.set()
    assert await asyncio.to_thread(engine.is_shut_down.wait, 60)
    with pytest.raises(EngineError, match="ORCH-E015"):
        await anext(engine.generate(SimpleNamespace(model="default")))  # type: ignore[arg-type]
    await engine.start()  # which it may still be
    assert engine.loads == 2


async def test_an_engine_that_is_closed_while_it_loads_does_not_start() -> None:
    engine = Slow()
    (start,) = await under_way(engine)
    await engine.close()
    engine.goes_on.set()
    with pytest.raises(EngineError, match="ORCH-E015"):
        await start
    assert engine.is_shut_down.is_set()


async def test_an_engine_that_was_closed_loads_nothing() -> None:
    engine = Slow()
    engine.goes_on.set()
    await engine.close()
    with pytest.raises(EngineError, match="ORCH-E015"):
        await engine.start()
    assert engine.loads == 0


@pytest.mark.parametrize(
    ("error", "code"), [(ValueError("no such layer"), "ORCH-E004"), (RuntimeError("it died"), "ORCH-E005")]
)
async def test_a_model_that_cannot_be_loaded(error: Exception, code: str) -> None:
    engine = Slow(error)
    engine.goes_on.set()
    for _ in range(2):
        with pytest.raises(EngineError, match=code):
            await engine.start()
    assert engine.loads == 2


async def test_sys_exit_of_what_comes_with_a_model_ends_no_event_loop() -> None:
    engine = Slow(SystemExit(3))
    engine.goes_on.set()
    with pytest.raises(EngineError, match="ORCH-E005"):
        await engine.start()
