"""What an endpoint can do wrong, and the coded error for each; the endpoint is a few lines of HTTP."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from orchestrator.errors import EngineError
from orchestrator.runtime.engines.base import GenerateRequest, Message, Sampling, complete
from orchestrator.runtime.engines.errors import is_transient
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions


class Endpoint(ThreadingHTTPServer):
    """Answers every request with one status, some headers and a body."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b""
        self.asked: dict[str, object] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        self.server.asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(self.server.status)
        kind = "text/event-stream" if self.server.status == 200 else "application/json"
        for name, value in ({"content-type": kind} | self.server.headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *args: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def event(text: str = "", reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


async def failure(url: str, timeout_s: float = 10.0) -> EngineError:
    engine = OpenAIEngine("remote", "m", OpenAIOptions(base_url=url, key_env="NO_SUCH_KEY", timeout_s=timeout_s))
    await engine.start()
    with pytest.raises(EngineError) as caught:
        await complete(engine, GenerateRequest("1", "default", (Message("user", "hi"),), Sampling()))
    stats = await engine.stats()
    await engine.close()
    assert (stats.running, stats.aborted) == (0, 1)
    return caught.value


@pytest.mark.parametrize(
    ("status", "message", "code", "transient"),
    [
        (400, "bad top_p", "ORCH-E014", False),
        (400, "this model's maximum context length is 8 tokens", "ORCH-E011", False),
        (401, "no such key", "ORCH-E009", False),
        (403, "not your model", "ORCH-E009", False),
        (404, "the model `m` does not exist", "ORCH-E012", False),
        (429, "slow down", "ORCH-E017", True),
        (500, "oops", "ORCH-E017", True),
        (503, "starting", "ORCH-E017", True),
    ],
)
async def test_statuses(endpoint: Endpoint, status: int, message: str, code: str, transient: bool) -> None:
    endpoint.status = status
    endpoint.body = json.dumps({"error": {"message": message}}).encode()
    error = await failure(endpoint.url)
    assert error.code == code
    assert is_transient(error) is transient
    if code == "ORCH-E009":
        assert "NO_SUCH_KEY" in str(error)


async def test_retry_after_is_shown(endpoint: Endpoint) -> None:
    endpoint.status, endpoint.headers = 429, {"retry-after": "7"}
    endpoint.body = b'{"error": {"message": "slow down"}}'
    assert "try again after 7 s" in str(await failure(endpoint.url))


async def test_connection_refused() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = await failure(f"http://127.0.0.1:{port}/v1")
    assert error.code == "ORCH-E008"
    assert is_transient(error)


async def test_no_answer_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = await failure(f"http://127.0.0.1:{silent.getsockname()[1]}/v1", timeout_s=0.2)
    assert error.code == "ORCH-E010"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"data: {not json\n\n", id="no JSON"),
        pytest.param(event("half a re"), id="no end"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_a_broken_stream_is_no_reply(endpoint: Endpoint, body: bytes) -> None:
    endpoint.body = body
    error = await failure(endpoint.url)
    assert error.code == "ORCH-E019"
    assert is_transient(error)


async def test_a_connection_cut_in_the_middle(endpoint: Endpoint) -> None:
    endpoint.headers, endpoint.body = {"content-length": "10000"}, event("half a re")
    assert (await failure(endpoint.url)).code == "ORCH-E019"


async def test_greedy_samples_are_asked_for_once_and_copied(endpoint: Endpoint) -> None:
    endpoint.body = event("yes") + event("", "stop") + b"data: [DONE]\n\n"
    engine = OpenAIEngine("remote", "m", OpenAIOptions(base_url=endpoint.url))
    await engine.start()
    asked = GenerateRequest("1", "default", (Message("user", "hi"),), Sampling(temperature=0.0, samples=3))
    reply = await complete(engine, asked)
    await engine.close()
    assert endpoint.asked["n"] == 1
    assert reply.texts == ("yes", "yes", "yes")
