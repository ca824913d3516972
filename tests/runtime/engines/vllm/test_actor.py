"""What the actor does with requests, on an engine that needs no model."""

from __future__ import annotations

import asyncio
import importlib.machinery
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from orchestrator.dsl.models.messages import Message
from orchestrator.errors import EngineError
from orchestrator.runtime.engines import errors
from orchestrator.runtime.engines.base import Chunk, GenerateRequest

pytest.importorskip("vllm")


class Endless:
    """Writes until it is stopped."""

    def __init__(self) -> None:
        self.running = 0

    async def start(self) -> None:
        """There is nothing to load."""

    async def generate(self, _: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        self.running += 1
        try:
            while True:
                await asyncio.sleep(0)
                yield Chunk(0, "x", 1)
        finally:
            self.running -= 1


async def test_the_end_of_one_request_does_not_lose_another_of_the_same_name() -> None:
    from orchestrator.runtime.engines.vllm.actor import VllmHost
    from orchestrator.runtime.engines.vllm.options import VllmOptions

    host = VllmHost("main", "m", VllmOptions())
    host._engine = engine = Endless()
    request = GenerateRequest("run/op", "m", (Message("user", "hi"),))

    async def read() -> None:
        async for _ in host.generate(request):
            pass

    first = asyncio.create_task(read())
    while not engine.running:
        await asyncio.sleep(0)
    await host.abort("run/op")
    second = asyncio.create_task(read())
    async with asyncio.timeout(10):
        await first
        while engine.running != 1:
            await asyncio.sleep(0)
        await host.abort("run/op")
        await second
    assert engine.running == 0


class Restarted:
    """Loads when somebody asks for it, and dies."""

    def __init__(self) -> None:
        self.is_loaded = False

    async def start(self) -> None:
        self.is_loaded = True

    async def generate(self, _: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        assert self.is_loaded
        raise errors.engine_died("main", "its core is gone", None)
        yield Chunk(0, "x", 1)


async def test_an_actor_that_was_started_again_loads_its_model_and_ends_when_its_engine_dies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from orchestrator.runtime.engines import hosted
    from orchestrator.runtime.engines.vllm import actor
    from orchestrator.runtime.engines.vllm.options import VllmOptions

    left: list[int] = []
    monkeypatch.setattr(hosted, "LEAVE_S", 0.0)
    monkeypatch.setattr(hosted.os, "_exit", left.append)
    host = actor.VllmHost("main", "m", VllmOptions())
    host._engine = Restarted()
    with pytest.raises(EngineError, match="its core is gone"):
        async for _ in host.generate(GenerateRequest("run/op", "m", (Message("user", "hi"),))):
            pass
    await asyncio.sleep(0.01)
    assert left == [1]


def test_the_users_folder_comes_after_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.runtime.engines.vllm.actor import VllmHost
    from orchestrator.runtime.engines.vllm.options import VllmOptions

    (tmp_path / "torch.py").write_text("raise RuntimeError('mine')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), "", "/else", *sys.path])
    VllmHost("main", "m", VllmOptions())
    spec = importlib.machinery.PathFinder.find_spec("torch", sys.path)
    assert spec is not None
    assert spec.origin != str(tmp_path / "torch.py")
    assert set(sys.path[-2:]) == {str(tmp_path), ""}  # what only the user has is still found


def test_what_is_raised_in_the_actor_is_no_death() -> None:
    """A request that vLLM stumbles over would do so at each attempt, and every replica."""
    from ray.exceptions import RayTaskError

    from orchestrator.runtime.engines.errors import is_transient
    from orchestrator.runtime.engines.vllm.actor import RayVllm

    engine = RayVllm("main", "m")
    engine._actor = actor = object()
    error = engine._coded(RayTaskError("generate", "Traceback\nValueError: token 7 is none", ValueError("7")), actor)
    assert (error.code, is_transient(error), engine._actor) == ("ORCH-E014", False, actor)
    assert "token 7 is none" in str(error)


async def test_an_actor_that_was_closed_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    from orchestrator.runtime.engines.vllm.actor import RayVllm

    monkeypatch.delattr(ray, "remote")
    engine = RayVllm("main", "m")
    await engine.close()
    with pytest.raises(EngineError, match="ORCH-E015"):
        await engine.start()


async def test_a_request_that_waits_for_an_actor_in_vain_was_with_nobody() -> None:
    from orchestrator.runtime.engines import errors
    from orchestrator.runtime.engines.vllm.actor import RayVllm

    class Gone(RayVllm):
        """Has died, and does not come back."""

        async def start(self) -> None:
            raise errors.timed_out("the engine `main`", 600.0, option="start_timeout_s")

    engine = Gone("main", "m")
    engine._has_died = True
    with pytest.raises(EngineError) as caught:
        await anext(engine.generate(GenerateRequest("run/op", "m", (Message("user", "hi"),))))
    assert caught.value.code not in errors.SILENT
    assert errors.is_transient(caught.value)
    assert "`start_timeout_s`" in str(caught.value)
    assert "600 s" in str(caught.value)
