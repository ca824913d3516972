"""Which processes are alive: each holds a lock on a file of its own, which the system lets go when the process ends.

What a lock cannot tell is that a process is silent: stopped, or stuck. For that there is the lease, which is until a
time by the monotonic clock: nobody sets it, and it stands still while the machine sleeps, as its processes do. It means
something until the next boot, and boots have an id.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_HELD: weakref.WeakSet[Process] = weakref.WeakSet()


class Process:
    """This process, as the others on this machine see it, until it leaves. One per store, and there may be several.

    ``folder`` is made where it is missing. Raises ``OSError``.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self.boot = _boot_id()
        self.name = uuid4().hex
        self._lock: int | None = _locked(folder / self.name)
        _HELD.add(self)

    def is_gone(self, name: str) -> bool:
        """Whether the process of this name has ended; what it left is removed."""
        if name == self.name:
            return False
        file = self._folder / name
        try:
            handle = os.open(file, os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.unlink(missing_ok=True)
        except BlockingIOError:
            return False
        else:
            return True
        finally:
            os.close(handle)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Inside of it no other process is."""
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def sweep(self) -> None:
        """Remove what processes have left that ended without a word."""
        for file in self._folder.iterdir():
            self.is_gone(file.name)

    def leave(self) -> None:
        """Be gone for the others."""
        (self._folder / self.name).unlink(missing_ok=True)
        self.let_go()

    def let_go(self) -> None:
        """Let the lock go, as the system does when a process ends."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def _locked(file: Path) -> int:
    """A handle of the file, locked. Who sweeps may have removed it before it was."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.fstat(handle), file.stat()):
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:  # where there is none, locks alone tell
        return ""


def _let_go_in_a_child() -> None:
    """A fork has the same lock, which would be held for as long as it lives."""
    for process in list(_HELD):
        process.let_go()


os.register_at_fork(after_in_child=_let_go_in_a_child)
