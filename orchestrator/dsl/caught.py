"""What stands for the result of a call that failed, where the failure is caught rather than the end of the run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure that somebody is told about; in a prompt it reads ``{"error": "KeyError: 'x'"}``."""

    error: str
