"""One worker process, as seen by the process that has started it: :mod:`.worker` is what runs inside.

Its lifeline is a pipe that nobody writes to: it closes with this process, however that ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from orchestrator.runtime.tools import errors
from orchestrator.runtime.tools.worker import HEAD, WORKER_VARIABLE, Answer, Call

START_S: Final = 60.0
"""How long a worker may take to be ready, and to import the module of a call."""
LOOK_S: Final = 0.25
"""How often somebody looks whether a worker that is waited for still lives."""
_START: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from orchestrator.runtime.tools.worker import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)


class WorkerProcess:
    """See the module's docstring. For one event loop at a time."""

    def __init__(self) -> None:
        """Start it; raises ``OSError``."""
        self._channel, theirs = socket.socketpair()
        held, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, json.dumps(_search_path()), str(theirs.fileno()), str(held)],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), held),
                start_new_session=True,
                env={**os.environ, WORKER_VARIABLE: "1"},
            )
        except BaseException:
            self._channel.close()
            os.close(self._lifeline)
            raise
        finally:
            theirs.close()
            os.close(held)
        self._channel.setblocking(False)
        self._is_ready = self._is_killed = self._is_awaited = False
        self._parent = os.getpid()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_code(self) -> int:
        code = self._process.returncode
        return -signal.SIGKILL if code is None else code

    def wait(self, timeout_s: float) -> None:
        """Wait until it is gone; raises ``subprocess.TimeoutExpired``."""
        self._process.wait(timeout_s)

    async def ready(self) -> bool:
        """Wait until it takes calls; False if it never will."""
        if not self._is_ready:
            with self._awaited():
                self._is_ready = await self._receive() is not None
        return self._is_ready

    async def answer(self, op: str, call: Call, begins: Callable[[], None]) -> Answer | None:
        """Have a call made; None when the worker ended without an answer."""
        with self._awaited():
            return await self._answer(op, call, begins)

    async def _answer(self, op: str, call: Call, begins: Callable[[], None]) -> Answer | None:
        loop = asyncio.get_running_loop()
        data = pickle.dumps(call)
        try:
            await loop.sock_sendall(self._channel, HEAD.pack(len(data)) + data)
        except (BrokenPipeError, ConnectionResetError):
            return None
        try:
            async with asyncio.timeout(START_S) as loading:
                received = await self._receive()
                if received == b"":
                    loading.reschedule(None)
                    begins()
                    received = await self._receive()
        except asyncio.CancelledError:
            if self._ended_begun():
                begins()
            raise
        except TimeoutError:
            if not loading.expired():
                raise
            raise errors.no_process(op, f"its module was not imported within {START_S:g} s") from None
        if received is None:
            return None
        answer: Answer = pickle.loads(received)
        return answer

    async def _receive(self) -> bytes | None:
        head = await self._exactly(HEAD.size)
        return None if head is None else await self._exactly(HEAD.unpack(head)[0])

    async def _exactly(self, count: int) -> bytes | None:
        data = bytearray()
        while len(data) < count:
            part = await self._part(min(count - len(data), 1 << 20))
            if not part:
                return None
            data += part
        return bytes(data)

    async def _part(self, most: int) -> bytes:
        """What has arrived; nothing at the end. It is taken by whoever goes on, so that a cancellation loses none."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return self._channel.recv(most)
            except BlockingIOError:
                arrived = loop.create_future()
                loop.add_reader(self._channel, _wake, arrived)
                try:
                    await arrived
                finally:
                    loop.remove_reader(self._channel)
            except ConnectionResetError:
                return b""

    def _ended_begun(self) -> bool:
        """Kill it, and say whether the call had begun by then: it says so before it does, and nothing afterwards."""
        self.kill()
        try:
            return self._channel.recv(HEAD.size) == HEAD.pack(0)
        except OSError:  # it has said nothing
            return False

    def kill(self) -> None:
        """Kill it and what its tools have started, before its number can be another's."""
        if self._is_killed or os.getpid() != self._parent:
            return
        self._is_killed = True
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        os.close(self._lifeline)
        self._hang_up()
        if not self._is_awaited:  # an event loop forgets a closed socket, and whoever waits for it
            self._channel.close()

    @contextmanager
    def _awaited(self) -> Iterator[None]:
        """In here the channel ends as soon as the process does, even where something that it forked holds it open."""
        self._is_awaited = True
        self._look()
        try:
            yield
        finally:
            self._next_look.cancel()
            self._is_awaited = False
            if self._is_killed:
                self._channel.close()

    def _look(self) -> None:
        self._next_look = asyncio.get_running_loop().call_later(LOOK_S, self._look)
        if self._has_died():
            self._hang_up()

    def _has_died(self) -> bool:
        """Whether it has; its number stays its own, so that what it has started can be killed."""
        if self._process.returncode is not None:
            return True
        try:
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def _hang_up(self) -> None:
        """End the channel; what has arrived can still be read."""
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)


def _search_path() -> list[str]:
    """Where this process imports from; Python itself passes over what is no string, such as a ``Path``."""
    return [each for each in sys.path if isinstance(each, str)]


def _wake(arrived: asyncio.Future[None]) -> None:
    if not arrived.done():
        arrived.set_result(None)
