"""Ports of the loopback interface for servers that are killed and started again at the same one."""

from __future__ import annotations

import random
import socket
from typing import Final

_BELOW_EPHEMERAL: Final = range(15_000, 30_000)
"""While nobody listens at a port of the kernel's own range, a connection may be given it as its near end: then the
server cannot have it again. A client that tries to reach such a port may even reach itself."""


def lasting_port() -> int:
    """One that nobody listens at, and that no connection is given by itself."""
    for _ in range(1000):
        with socket.socket() as free:
            try:
                free.bind(("127.0.0.1", random.choice(_BELOW_EPHEMERAL)))
            except OSError:
                continue
            return int(free.getsockname()[1])
    raise OSError("no port is free")
