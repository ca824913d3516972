"""An endpoint in a few lines of real HTTP, which answers what a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Raw = tuple[int, Mapping[str, str], bytes]
Answer = Raw | list[Any]
"""Status, headers and body; or the events of a stream, bytes as they are."""
COUNTS = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
JSON = {"content-type": "application/json"}


def chunk(text: Any = None, reason: Any = None, index: Any = 0, **delta: Any) -> dict[str, Any]:
    """One event of a stream."""
    choice = {"index": index, "delta": {"content": text, **delta}, "finish_reason": reason}
    return {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}


def usage(counts: Any = COUNTS) -> dict[str, Any]:
    """The event that ends a stream."""
    return {**chunk(), "choices": [], "usage": counts}


def completion(text: str) -> bytes:
    """A reply that is not streamed."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"object": "chat.completion", "choices": [choice], "usage": COUNTS}).encode()


def said(message: str, **more: Any) -> bytes:
    """The body of an error."""
    return json.dumps({"error": {"message": message, **more}}).encode()


@dataclass
class Endpoint:
    """What the server was asked, and where it is."""

    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    pages: dict[str, str] = field(default_factory=dict)
    """What it shows to GET, by path."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


@contextmanager
def serving(answer: Callable[[dict[str, Any]], Answer] | Answer) -> Iterator[Endpoint]:
    """A server that gives ``answer``, or what it makes of each request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = endpoint.pages.get(self.path)
            self.send_response(404 if page is None else 200)
            self.send_header("content-type", "application/json" if self.path.endswith("/models") else "text/plain")
            self.end_headers()
            self.wfile.write((page or "").encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            endpoint.asked.append(body)
            endpoint.paths.append(self.path)
            endpoint.headers.append({name.lower(): value for name, value in self.headers.items()})
            given = answer(body) if callable(answer) else answer
            if isinstance(given, tuple):
                status, headers, payload = given
            else:
                status, headers = 200, {"content-type": "text/event-stream"}
                payload = b"".join(
                    b"data: " + (event if isinstance(event, bytes) else json.dumps(event).encode()) + b"\n\n"
                    for event in [*given, b"[DONE]"]
                )
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *args: object) -> None:
            """Nothing on the terminal."""

    server = _Server(("127.0.0.1", 0), Handler)
    endpoint = Endpoint(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
