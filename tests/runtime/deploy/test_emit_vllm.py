"""What is written for vLLM starts: its own server reads the file, and a workflow's engine gets an answer from it."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from orchestrator.dsl.models.messages import Message
from orchestrator.planner.cluster import EngineSpec
from orchestrator.planner.plan import Site
from orchestrator.runtime.deploy import emit
from orchestrator.runtime.deploy.layout import layout_of
from orchestrator.runtime.engines.base import GenerateRequest, Sampling, complete
from orchestrator.runtime.engines.registry import create
from orchestrator.runtime.engines.vllm import version
from tests.conftest import MODEL, wait_until_healthy
from tests.planner.clusters import cpu
from tests.runtime.deploy.plans import plan, vllm

pytestmark = pytest.mark.vllm


@pytest.mark.skipif(version.installed() is None, reason="vLLM is not installed")
@pytest.mark.skipif(not version.on_cpu(), reason="the engine of this plan is one for a CPU")
def test_an_emitted_engine_starts_on_the_cpu_and_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(emit, "FIRST_PORT", port)
    site = Site(engine="main", device="cpu", tensor_parallel=1, replicas=1, batch=4)
    spec = vllm(device="cpu", model=str(MODEL), options={"max_model_len": 512, "dtype": "float32"})
    layout = layout_of(plan([spec], devices=[cpu()], sites=[site]))
    files = emit.vllm_files(layout)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (command,) = emit.commands(layout)
    words = shlex.split(command)
    at = words.index("python")
    settings = dict(each.split("=", 1) for each in words[:at])
    program = [sys.executable, *words[at + 1 :]]
    log = tmp_path / "server.log"
    environment = os.environ | settings | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("w") as out:
        server = subprocess.Popen(program, stdout=out, stderr=out, cwd=tmp_path, env=environment)
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/health", server, log)
        (table,) = tomllib.loads(files["engines.toml"])["engine"]
        assert asyncio.run(answer(EngineSpec(**table)))
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)


async def answer(spec: EngineSpec) -> int:
    """Tokens that the engine has written."""
    engine = create(spec)
    await engine.start()
    try:
        request = GenerateRequest("one", spec.model, (Message("user", "SELECT"),), Sampling(max_tokens=4))
        usage = (await complete(engine, request)).usage
        return 0 if usage is None else usage.output_tokens
    finally:
        await engine.close()
