"""What runs in a worker process: one call after the other, for as long as the process that started it lives.

Calls come as frames over a socket: eight bytes of length, then a pickle; an empty frame says that the worker is ready,
or that a call begins. This module imports little, because a worker is there as soon as it has imported it. What tools
print goes to stderr, so that nothing mixes with the results that the parent prints; the working directory and the
environment are put back after each call.
"""

from __future__ import annotations

import inspect
import os
import pickle
import resource
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal

from orchestrator.errors import described
from orchestrator.runtime.tools.crossing import Dumps, Raised, packed
from orchestrator.runtime.tools.raised import raised

WORKER_VARIABLE: Final = "ORCH_TOOL_PROCESS"
"""Set in the environment of processes that only call tools."""
MAY_RUN_AGAIN: Final = "may run again"
"""Its value where the tool, or anything around it, has a retry or may have run before its run was resumed, and in Ray's
workers, whose tools are pure."""
HEAD: Final = struct.Struct("!Q")


@dataclass(frozen=True, slots=True)
class Reference:
    """A function by where it is defined; ``name`` may be that of the tool made of it."""

    module: str
    name: str

    def find(self) -> Any:
        """The function."""
        found: Any = import_module(self.module)
        for part in self.name.split("."):
            found = getattr(found, part)
        return found if inspect.isfunction(found) else getattr(found, "fn", found)


@dataclass(frozen=True, slots=True)
class Call:
    """What a worker is to do."""

    work: bytes
    """Pickled function or :class:`Reference`, arguments, and arguments by name."""
    memory_bytes: int | None = None
    file: str | None = None
    """Where a function that comes by value was written."""
    may_run_again: bool = False
    """Whether it, or anything around it, has a retry, or may have run before its run was resumed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of it: a value or an exception, or why there is neither."""

    kind: Literal["value", "raised", "unloadable", "unsendable", "memory"]
    value: bytes = b""
    raised: Raised | None = None
    why: str = ""


def main(channel_fd: int, lifeline_fd: int) -> None:
    """Serve until the parent closes the channel; called in a new process."""
    shown = os.dup(2)
    _show_output(shown)
    sys.stdout = sys.stderr
    _no_core_dumps()
    threading.Thread(target=_die_with_parent, args=(lifeline_fd,), daemon=True).start()
    from orchestrator.runtime.tools.by_value import dumps

    for fd in (channel_fd, lifeline_fd):  # programs that tools start have no part in them
        os.set_inheritable(fd, False)
    channel = socket.socket(fileno=channel_fd)
    home, environment, process = Path.cwd(), dict(os.environ), os.getpid()
    channel.sendall(HEAD.pack(0))  # ready
    while (data := _receive(channel)) is not None:
        call: Call = pickle.loads(data)
        answer = _answer(call, dumps, lambda: channel.sendall(HEAD.pack(0)))
        if os.getpid() != process:  # the tool has forked, and this is the copy
            os._exit(0)
        sent = pickle.dumps(answer)
        channel.sendall(HEAD.pack(len(sent)) + sent)
        _show_output(shown)
        with suppress(OSError):
            os.chdir(home)
        if os.environ != environment:
            os.environ.clear()
            os.environ.update(environment)


def _show_output(shown: int) -> None:
    """Point stdout and stderr at the parent's stderr, whatever a tool has made of them."""
    os.dup2(shown, 1)
    os.dup2(shown, 2)


def _no_core_dumps() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _answer(call: Call, dumps: Dumps, begins: Callable[[], None]) -> Answer:
    before = _limit_memory(call.memory_bytes)
    try:
        return _outcome(call, dumps, begins)
    except MemoryError:
        return Answer("memory")
    finally:
        _restore_memory(before)


def _outcome(call: Call, dumps: Dumps, begins: Callable[[], None]) -> Answer:
    """What became of a call; raises ``MemoryError`` where its memory was not enough.

    ``begins`` tells that the function is here: importing its module, which may take long, is not the call's time.
    """
    try:
        function, args, kwargs = pickle.loads(call.work)
        function = function.find() if isinstance(function, Reference) else function
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - importing the user's modules runs them
        return Answer("unloadable", why=described(error))
    begins()
    os.environ[WORKER_VARIABLE] = MAY_RUN_AGAIN if call.may_run_again else "1"
    try:
        value = function(*args, **kwargs)
        if inspect.iscoroutine(value):
            value = _awaited(value)
    except BaseException as error:
        if isinstance(error, MemoryError) and call.memory_bytes is not None:
            raise
        return Answer("raised", raised=packed(raised(error), dumps, call.file))
    try:
        return Answer("value", dumps(value))
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - pickling runs the user's code
        return Answer("unsendable", why=described(error))


def _awaited(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run(coroutine)


def _receive(channel: socket.socket) -> bytes | None:
    """The next frame; None when there will be none."""
    head = _exactly(channel, HEAD.size)
    return None if head is None else _exactly(channel, HEAD.unpack(head)[0])


def _exactly(channel: socket.socket, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        part = channel.recv(min(count - len(data), 1 << 20))
        if not part:
            return None
        data += part
    return bytes(data)


def _limit_memory(most: int | None) -> tuple[int, int] | None:
    """Bound what this process may allocate; the limits before, or None where nothing was bounded."""
    if most is None:
        return None
    before = resource.getrlimit(resource.RLIMIT_DATA)
    most = most if before[1] == resource.RLIM_INFINITY else min(most, before[1])
    resource.setrlimit(resource.RLIMIT_DATA, (most, before[1]))
    return before


def _restore_memory(before: tuple[int, int] | None) -> None:
    if before is not None:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _die_with_parent(lifeline_fd: int) -> None:
    """End this process, and what its tools have started, as soon as the parent is gone, however it went."""
    while os.read(lifeline_fd, 1):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
