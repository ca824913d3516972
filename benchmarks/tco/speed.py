"""The two cost models of the study: bare peaks, as the paper uses them, and the planner's own.

A model answers two questions about a :class:`~orchestrator.planner.serving.Replica`: how long a prefill of ``batch``
prompts of ``prompt_tokens`` each takes, and how long a decode step of ``batch`` sequences of ``context_tokens`` each.
"""

from __future__ import annotations

from typing import Final, Protocol

from orchestrator.planner.cost.call import EFFICIENCY, Efficiency, decode_step_s, prefill_s
from orchestrator.planner.serving import Replica


class Speed(Protocol):
    """Seconds of the two phases."""

    def prefill_s(self, replica: Replica, prompt_tokens: float, batch: int) -> float:
        """Seconds until the first token of each of ``batch`` prompts."""
        ...

    def decode_step_s(self, replica: Replica, context_tokens: float, batch: int) -> float:
        """Seconds between two tokens of each of ``batch`` sequences."""
        ...


class Roofline:
    """The planner's roofline at one :class:`Efficiency`."""

    def __init__(self, efficiency: Efficiency) -> None:
        self._at = efficiency

    def prefill_s(self, replica: Replica, prompt_tokens: float, batch: int) -> float:
        """Prompts of 512 tokens and more are bound by compute, so a batch takes as long as its prompts in turn."""
        single = prefill_s(replica, prompt_tokens, 0.0, self._at) - self._at.launch_s
        return self._at.launch_s + batch * single

    def decode_step_s(self, replica: Replica, context_tokens: float, batch: int) -> float:
        """One step of the batch."""
        return decode_step_s(replica, context_tokens, batch, self._at)


PEAKS: Final = Roofline(Efficiency(compute=1.0, bandwidth=1.0, launch_s=0.0, step_s=0.0))
"""Every device reaches its data sheet and nothing else takes time."""
PLANNER: Final[Speed] = Roofline(EFFICIENCY["gpu"][1])
"""What a plan expects; the one line to change when the planner gets another cost model."""
SPEEDS: Final[dict[str, Speed]] = {"peaks": PEAKS, "planner": PLANNER}
