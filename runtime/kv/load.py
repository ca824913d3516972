"""How busy an engine is and how fast it prefills, measured from the times of its own steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WEIGHT: Final = 0.05
"""A new observation has this weight in a running mean: the last twenty or so count."""
LEAST_PREFILL_TOKENS: Final = 48
"""Steps with fewer prompt tokens say little about the speed of prefill."""
LONGEST_STEP_S: Final = 10.0
"""A longer gap between two steps is a pause of the engine, not a step."""


@dataclass(frozen=True, slots=True)
class Load:
    """The engine's state when a decision is made."""

    waiting: int = 0
    """Requests that wait for memory, those held back included."""
    idle: bool = False
    """Nothing runs, and nothing but what is held back waits."""
    prefill_s_per_token: float = 0.0


class StepClock:
    """Seconds per prompt token, from steps that prefill compared with steps that only decode."""

    def __init__(self) -> None:
        self.decode_step_s = 0.0
        self.prefill_s_per_token = 0.0
        self._begun_s: float | None = None
        self._prompt_tokens = 0

    def alone_s(self, prompt_tokens: float, output_tokens: float, cached_tokens: float = 0.0) -> float:
        """Seconds of a call with as much beside it as there has been, as far as they are known."""
        return (prompt_tokens - cached_tokens) * self.prefill_s_per_token + output_tokens * self.decode_step_s

    def step(self, now_s: float, prompt_tokens: int, *, busy: bool) -> None:
        """A step of ``prompt_tokens`` new prompt tokens begins now; ``busy``: the one before ends with it."""
        if busy and self._begun_s is not None and now_s - self._begun_s < LONGEST_STEP_S:
            self._ended(now_s - self._begun_s)
        self._begun_s, self._prompt_tokens = now_s, prompt_tokens

    def idle(self) -> None:
        """The engine has nothing to do, so the time until the next step is not a step's."""
        self._begun_s = None

    def _ended(self, seconds: float) -> None:
        if not self._prompt_tokens:
            self.decode_step_s = mean(self.decode_step_s, seconds)
        elif self._prompt_tokens >= LEAST_PREFILL_TOKENS:
            per_token_s = max(seconds - self.decode_step_s, 0.0) / self._prompt_tokens
            self.prefill_s_per_token = mean(self.prefill_s_per_token, per_token_s)


def mean(known: float, found: float) -> float:
    """The running mean after one more observation."""
    return found if known == 0.0 else known + WEIGHT * (found - known)
