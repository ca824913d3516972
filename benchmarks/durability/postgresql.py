"""A PostgreSQL server of the benchmark's own: a fresh cluster in a temporary folder, with the server's defaults.

`fsync` and `synchronous_commit` are on by default. The server does not run as root: where the benchmark does, another
user owns the cluster.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_S = 60.0


class NoServerError(RuntimeError):
    """There is no PostgreSQL to start; the message is the reason to print."""


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        found = str(places[-1]) if places else None
    if found is None:
        raise NoServerError(f"no {name} on this machine")
    return found


def _user() -> str | None:
    """Whom to run as; None for whoever we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise NoServerError("the server does not run as root, and there is no other user")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def server() -> Iterator[str]:
    """The URL of a running server's database. Raises NoServerError."""
    initdb, postgres, user, port = _program("initdb"), _program("postgres"), _user(), _free_port()
    folder = Path(tempfile.mkdtemp(prefix="orchestrator-bench-pg-"))
    try:
        folder.chmod(0o755)
        cluster = folder / "cluster"
        if user is not None:
            shutil.chown(folder, user)
        made = subprocess.run(
            [initdb, "-D", str(cluster), "-U", "bench", "--auth=trust", "--encoding=UTF8", "--no-locale"],
            capture_output=True, text=True, check=False, user=user, cwd=folder,
        )  # fmt: skip
        if made.returncode:
            raise NoServerError(f"initdb: {made.stderr.strip().splitlines()[-1:]}")
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [postgres, "-D", str(cluster), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)],
                stdout=log, stderr=log, user=user, cwd=folder,
            )  # fmt: skip
        try:
            _wait(process, port, folder / "log")
            yield f"postgresql://bench@127.0.0.1:{port}/postgres"
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < until:
        if "ready to accept connections" in log.read_text(encoding="utf-8", errors="replace"):
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                return
        time.sleep(0.05)
    raise NoServerError(f"the server did not start: {log.read_text(encoding='utf-8', errors='replace')[-300:]}")
