"""How a vLLM server's front end reads the reports of its engine processes, for the server's own ``/metrics``.

vLLM gives a plugin no channel from an engine's process to the front end. So each engine process answers at a Unix
socket in Linux's abstract namespace (no file, nothing to clean up), named after a key that the front end has put into
the environment its children inherit. A connection is answered with one JSON object by a thread of its own: the engine's
loop does nothing for it. Reports hold counts only.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, Final

KEY_VARIABLE: Final = "ORCHESTRATOR_KV_REPORTS"
TIMEOUT_S: Final = 0.2
RETRY_S: Final = 1.0
_PREFIX: Final = "orchestrator-kv"
_SOCKETS: Final = Path("/proc/net/unix")


def claim() -> bool:
    """Make this process the reader of its children's reports, unless it is such a child; False if it is."""
    if parent_process() is not None and KEY_VARIABLE in os.environ:
        return False
    if not os.environ.get(KEY_VARIABLE, "").startswith(f"{os.getpid()}-"):
        os.environ[KEY_VARIABLE] = f"{os.getpid()}-{secrets.token_hex(8)}"
    return True


def serve(engine: str, report: Callable[[], dict[str, Any]]) -> None:
    """Answer for ``engine`` from now on, in a thread; where nobody reads, or sockets have no names, do nothing."""
    key = os.environ.get(KEY_VARIABLE)
    if key is None or not _SOCKETS.exists():
        return
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"\0{_PREFIX}/{key}/{engine}/{os.getpid()}")
    listener.listen()
    threading.Thread(target=_answer, args=(listener, report), name="orchestrator-kv-report", daemon=True).start()


def read() -> dict[str, dict[str, Any]]:
    """The reports of the engines that answer, by engine."""
    key = os.environ.get(KEY_VARIABLE)
    if key is None or not _SOCKETS.exists():
        return {}
    found: dict[str, dict[str, Any]] = {}
    marker = f"@{_PREFIX}/{key}/"
    names = {line.rpartition(" ")[2] for line in _SOCKETS.read_text().splitlines() if marker in line}
    for name in sorted(names):
        with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.connect(f"\0{name[1:]}")
            with connection.makefile("rb") as answer:
                found[name.split("/")[2]] = json.load(answer)
    return found


def _answer(listener: socket.socket, report: Callable[[], dict[str, Any]]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # no file descriptors left, for example
            time.sleep(RETRY_S)
            continue
        # A client that leaves, or a report that changes while it is copied: the next scrape will do better.
        with connection, suppress(OSError, RuntimeError):
            connection.sendall(json.dumps(report()).encode())
