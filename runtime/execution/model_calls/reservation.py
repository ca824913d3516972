"""What a model call may use at most: taken out of its budgets, and journaled, before the call starts.

What is reserved counts until the call settles what it used. So it does when the process ends meanwhile: the run that is
resumed finds the reservation in the journal, and nothing that was settled.
"""

from __future__ import annotations

from time import time
from typing import Final

from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.frame import Frame
from orchestrator.runtime.execution.model_calls.budget import Ledger, Need
from orchestrator.runtime.journal.events import Reserved, Spent
from orchestrator.runtime.program.program import Op
from orchestrator.runtime.program.specs import Generate

DEFAULT_OUTPUT_TOKENS: Final = 1024
"""Reserved, and under a budget asked for, where neither ``max_tokens`` nor the plan says anything."""


class Reservation:
    """The worst case of a model call, reserved; raises ORCH-R010 where it does not fit.

    ``asked`` is the name that the engine's price goes by, the length of the prompt, at most, and how many samples there
    are.
    """

    def __init__(self, execution: Execution, frame: Frame, op: Op, asked: tuple[str, int, int], ledger: Ledger) -> None:
        spec = op.spec
        assert isinstance(spec, Generate)
        engine, prompt_tokens, self._samples = asked
        self._execution, self._frame, self._op = execution, frame, op
        self.prompt_tokens = prompt_tokens
        self._ledger = ledger
        self._reserved = Need(0, 0.0)
        self._is_settled = False
        self._price = execution.program.prices.get(engine)
        self.max_tokens = spec.sampling.max_tokens
        """What the reply is to be cut at."""
        wanted = spec.sampling.max_tokens or spec.expected_output_tokens or DEFAULT_OUTPUT_TOKENS
        if spec.sampling.max_tokens is None and ledger.bounds_calls:
            wanted = self.max_tokens = self._affordable(wanted)
        self.most = Usage(prompt_tokens, None, wanted * self._samples, estimated=True)
        """What the call uses at most, with the output of all samples."""
        self._reserve()

    def settle(self, usage: Usage) -> float | None:
        """Replace the reservation by what was used, once; its cost, or None where the price is unknown."""
        if self._is_settled:
            return self._usd(usage)
        self._is_settled = True
        return self._replace(usage)

    def renew(self) -> None:
        """The call is sent again, and who had it first may have worked on: what that took at most is spent, and as
        much reserved again. Raises ORCH-R010 where that does not fit."""
        cost_usd = self._replace(self.most)
        self._execution.emit(Spent(self._frame.path, self._op.id, self.most, cost_usd, time()))
        self._reserve()

    def _replace(self, usage: Usage) -> float | None:
        cost_usd = self._usd(usage)
        self._ledger.settle(self._reserved, Need(usage.input_tokens + usage.output_tokens, cost_usd or 0.0))
        self._reserved = Need(0, 0.0)
        return cost_usd

    def _reserve(self) -> None:
        cost_usd = self._usd(self.most)
        need = Need(self.most.input_tokens + self.most.output_tokens, cost_usd or 0.0)
        self._ledger.reserve(self._op.id, need, self._op.where)
        self._reserved = need
        self._execution.emit(Reserved(self._frame.path, self._op.id, self.most, cost_usd, time()))

    def _affordable(self, wanted: int) -> int:
        """A bound for a reply that has none of its own: what is wanted, or as much of it as the budgets leave."""
        tokens, usd = self._ledger.tokens_left(), self._ledger.usd_left()
        if tokens is not None:
            wanted = min(wanted, (tokens - self.prompt_tokens) // self._samples)
        if usd is not None and self._price is not None and self._price.output_usd > 0:
            left_usd = usd - self.prompt_tokens * self._price.input_usd
            wanted = min(wanted, int(left_usd / self._price.output_usd) // self._samples)
        return max(1, wanted)

    def _usd(self, usage: Usage) -> float | None:
        return None if self._price is None else self._price.of(usage)
