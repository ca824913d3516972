"""Fixtures that are dear to make: one Ray and one vLLM engine per test session."""

from __future__ import annotations

import compileall
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from hypothesis import settings

from orchestrator.runtime.engines.vllm import version
from tests.postgresql import Server, running_server

if TYPE_CHECKING:
    from orchestrator.runtime.engines.base import Engine
    from orchestrator.runtime.ray.session import RaySession

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a script, as nobody's Ctrl-C; the tests press it themselves, and on their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

MODEL = Path(__file__).parent.parent / "examples" / "text2sql" / "model"
SHARED = (
    "tests/cli/test_deploy",
    "tests/cli/test_run_vllm",
    "tests/running/test_on_vllm",
    "tests/runtime/engines/test_contract",
    "tests/runtime/engines/test_vllm_",
    "tests/runtime/deploy/test_keeper",
    "tests/runtime/deploy/test_vllm",
    "tests/runtime/ray/",
)
"""Files whose tests use the Ray and the engines of the session."""


def pytest_configure(config: pytest.Config) -> None:
    """Compile the package once where Python is told to write no bytecode, and not in each process of a test."""
    if sys.dont_write_bytecode and not hasattr(config, "workerinput"):
        package = Path(__file__).parent.parent / "orchestrator"
        for folder in (package, *(each for each in package.iterdir() if each.is_symlink())):
            compileall.compile_dir(folder, quiet=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every process must have the same tests under the same names, which an address in memory is no part of."""
    addressed = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if addressed:
        raise pytest.UsageError(f"give these tests other ids: {addressed}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several processes, the tests of a file run in one of them, and all that share an engine run where it is."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "engines" if file.startswith(SHARED) else file

    return ByFile(config, log)


@pytest.fixture(scope="session")
def ray_session() -> Iterator[RaySession]:
    from orchestrator.runtime.ray.session import connect

    with connect(num_cpus=2) as session:
        yield session


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def vllm_engine(ray_session: RaySession) -> AsyncIterator[Engine]:
    if version.installed() is None:
        pytest.skip("vLLM is not installed")
    if not (MODEL / "config.json").is_file():
        pytest.skip("the bundled model is not there")
    from orchestrator.runtime.engines.vllm.actor import RayVllm

    engine = RayVllm("vllm", str(MODEL))
    await engine.start()
    yield engine
    await engine.close()


@pytest.fixture(scope="session")
def openai_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """vLLM's own server on a free port of the loopback interface."""
    structure = ["--structured-outputs-config.backend", "xgrammar"]
    structure += ["--structured-outputs-config.disable_any_whitespace", "true"]
    with vllm_server(tmp_path_factory.mktemp("server"), structure) as url:
        yield url


@contextmanager
def vllm_server(folder: Path, arguments: Sequence[str]) -> Iterator[str]:
    """A server of the bundled model, with further arguments; its address. It writes its log into ``folder``."""
    if version.installed() is None or not (MODEL / "config.json").is_file():
        pytest.skip("vLLM or the bundled model is not there")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "server.log"
    common = f"--host 127.0.0.1 --port {port} --model {MODEL} --served-model-name tiny --enforce-eager"
    common += " --block-size 32 --enable-prompt-tokens-details"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *common.split(), *arguments]
    settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with log.open("w") as out:
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=os.environ | settings)
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(30)


def wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"vLLM's server did not start: {log.read_text()[-2000:]}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def openai_engine(openai_url: str) -> AsyncIterator[Engine]:
    from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions

    engine = OpenAIEngine("openai", "tiny", OpenAIOptions(base_url=openai_url))
    await engine.start()
    yield engine
    await engine.close()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL that is started for the tests."""
    try:
        with running_server(syncs=False) as server:
            yield server
    except FileNotFoundError as error:
        pytest.skip(str(error))
