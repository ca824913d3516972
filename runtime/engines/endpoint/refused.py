"""A request that is sent again later, at no cost of an attempt."""

from __future__ import annotations

from orchestrator.errors import EngineError


class RefusedError(Exception):
    """The endpoint takes no more requests now, or this process (``is_ours``) cannot send any."""

    def __init__(self, error: EngineError, retry_after_s: float | None, what: str, *, is_ours: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after_s = retry_after_s
        self.what = what
        """For the user, where the call was sent later."""
        self.is_ours = is_ours
