"""Ctrl-C where it must wait: while modules are imported.

An exception in the middle of an import may be dropped, where the import system calls back, and MLIR's extension takes
the process down with it. So it is kept, and raised when the import is done.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType


class KeptCtrlC:
    """From here to :meth:`release` the first Ctrl-C waits, in the main thread and where it would raise."""

    def __init__(self) -> None:
        self.came = False
        """Whether there was one."""
        self.raises = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self.raises:
            signal.signal(signal.SIGINT, self._keep)

    def _keep(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def release(self) -> None:
        """Raise ``KeyboardInterrupt`` if Ctrl-C came; from now on it raises at once."""
        if self.raises:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.came:
            self.came = False
            raise KeyboardInterrupt
