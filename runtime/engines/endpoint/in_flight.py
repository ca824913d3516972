"""The HTTP requests that one call consists of: the call waits for its turn for as long as none of them is in flight."""

from __future__ import annotations

from orchestrator.runtime.engines.base import held, sent


class InFlight:
    """Counts the requests of a call that the endpoint works on."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        self._count = 0

    def sent(self) -> None:
        """One has left the queue."""
        self._count += 1
        if self._count == 1:
            sent()

    def over(self) -> None:
        """One was answered to its end, or is to be sent again; one that fails ends the call, and need not be told."""
        self._count -= 1
        if not self._count:
            held()
