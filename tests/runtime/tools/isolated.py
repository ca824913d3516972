"""Tools for processes of their own, in a module that workers can import."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from orchestrator import tool

calls = 0
"""Made in this module, in this process."""


class Row(BaseModel):
    name: str
    n: int


class Refused(Exception):
    """Its constructor takes something else than its arguments."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class Loaded(Exception):
    """Holds something that cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("holds a lock", threading.Lock())
        self.lock = threading.Lock()


@tool(effects="idempotent", isolation="process")
def count(by: int) -> tuple[int, int]:
    global calls  # noqa: PLW0603 - what a module holds is made once
    calls += by
    return calls, os.getpid()


@tool(effects="idempotent", isolation="process")
async def rows(names: list[str]) -> list[Row]:
    await asyncio.sleep(0)
    return [Row(name=name, n=n) for n, name in enumerate(names)]


@tool(effects="idempotent", isolation="process")
def misbehave(how: str) -> Any:
    """Do what no tool should do."""
    match how:
        case "refuse":
            raise Refused(404, "gone")
        case "loaded":
            raise Loaded
        case "exit":
            sys.exit("bad row")
        case "stop":
            return next(iter(()))
        case "die":
            os._exit(7)
        case "crash":
            os.kill(os.getpid(), 11)
        case "lock":
            return threading.Lock()
        case "print":
            print("printed by a tool")
            subprocess.run(["echo", "printed by its child"], check=True)
            os.write(1, b"written by a tool\n")
            os.close(1)
        case "move":
            os.chdir("/")
            os.environ["MOVED"] = "yes"
        case "fork":
            return os.fork() and None
        case "where":
            return str(Path.cwd()), os.environ.get("MOVED")
    return None


@tool(effects="idempotent", isolation="process", memory="200 MiB")
def fill(mib: int) -> int:
    return len(bytearray(mib << 20))


@tool(effects="idempotent", isolation="process", timeout=4)
def hang(folder: str) -> int:
    """Leave a note of this process and of one it has started, and never come back."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    note = Path(folder, "pids")
    note.with_suffix(".part").write_text(f"{os.getpid()} {child.pid}")
    note.with_suffix(".part").rename(note)
    time.sleep(600)
    return 0
