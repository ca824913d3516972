"""A real vLLM that can be killed: its own server with the bundled model, and what tells of the calls to it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.arms.effects import Effects
from benchmarks.durability.programs import NAME, model_op, named
from benchmarks.harness.process import ROOT
from orchestrator.runtime.engines.base import Chunk, Engine, GenerateRequest
from tests.ports import lasting_port

MODEL: Final = ROOT / "examples" / "text2sql" / "model"
NAME_OF_MODEL: Final = "tiny"
START_S: Final = 900.0
_OPTIONS: Final = ("--enforce-eager", "--block-size", "32")
_SETTINGS: Final = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}


class Vllm:
    """The server; use it as a context manager, which returns when it answers."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "vllm.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = lasting_port()

    def start(self) -> int:
        """Start it unless it runs; its process id, which is its group's. It answers a minute later."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5)  # one that was killed is gone when the last of its threads is
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1"]
            command += ["--port", str(self.port), "--model", str(MODEL), "--served-model-name", NAME_OF_MODEL]
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [*command, *_OPTIONS],
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **_SETTINGS},
                    start_new_session=True,
                )
        return self._process.pid

    def __enter__(self) -> Self:
        """Raises ``TimeoutError`` where it does not answer in time."""
        self.start()
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2).close()
                return self
            time.sleep(0.5)
        self.close()
        raise TimeoutError(f"vLLM did not answer within {START_S:.0f} s")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill it, and what it has started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Told:
    """An engine whose calls are told, and answered by a name that is made of what it says.

    They are told by whoever calls, since vLLM does not know of effects; a call that finds nobody at the port is none.
    """

    def __init__(self, engine: Engine, effects: Effects, port: int) -> None:
        self._engine, self._effects, self._port = engine, effects, port

    def __getattr__(self, name: str) -> Any:
        """Everything else is the engine's own."""
        return getattr(self._engine, name)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """The engine's reply, whole."""
        prompt = "|".join(str(message.content) for message in request.messages)
        name, said = named(model_op(prompt), prompt), []
        if await _is_there(self._port):
            self._effects.record(name, "model", seen=NAME.findall(prompt))
        last: Chunk | None = None
        async with aclosing(self._engine.generate(request)) as chunks:
            async for last in chunks:
                said.append(last.text)
        self._effects.record(name, "model", ended=True)
        assert last is not None
        yield last._replace(text=f"{name} {named('said', ''.join(said))}")


async def _is_there(port: int) -> bool:
    """Whether somebody listens."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
