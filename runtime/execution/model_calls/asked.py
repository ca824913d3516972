"""What a model call is given when it runs: its prompt, what that continues, and the options that are values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.dsl.declared.policy import is_number
from orchestrator.dsl.models.messages import Message
from orchestrator.runtime.engines.base import DEFAULT_MODEL, Sampling
from orchestrator.runtime.failures import wrong_option
from orchestrator.runtime.program.specs import Generate
from orchestrator.runtime.values.at_run_time import Conversation
from orchestrator.runtime.values.content import instructed, turns_of


@dataclass(frozen=True, slots=True)
class Asked:
    """The arguments of a call."""

    spec: Generate
    prompt: tuple[Message, ...]
    conversation: Conversation
    late: Mapping[str, Any]
    """Options that are values."""
    features: Sequence[Any]
    """These are the features of the pause behind the call."""

    @classmethod
    def of(cls, spec: Generate, args: Sequence[Any]) -> Asked:
        """Raises ORCH-R080 where the prompt is none, and ORCH-R082 for an option that cannot be."""
        own = len(args) - (len(spec.pause.features) if spec.pause is not None else 0)
        late = dict(zip(spec.late, args[2:own], strict=True)) if spec.late else {}
        if "temperature" in late and not (is_number(late["temperature"]) and late["temperature"] >= 0):
            raise wrong_option("temperature", late["temperature"], "a number of 0 or more")
        return cls(spec, turns_of(args[0]), args[1] if own > 1 else Conversation(), late, args[own:])

    @property
    def model(self) -> str:
        """The model of the call, else the conversation's."""
        own = str(self.late.get("model", self.spec.model))
        return own if own != DEFAULT_MODEL else self.conversation.model or DEFAULT_MODEL

    @property
    def begun(self) -> tuple[Message, ...]:
        """What stands before the prompt."""
        return instructed(self.conversation.messages, self.late.get("system"))

    @property
    def is_as_before(self) -> bool:
        """Whether what stands before the prompt is what the engine has seen of the conversation."""
        return not self.conversation.shared and "system" not in self.late

    def sampling(self, max_tokens: int | None, samples: int) -> Sampling:
        """How to decode the reply, of so many samples."""
        known = self.spec.sampling
        temperature = self.late.get("temperature", known.temperature)
        return replace(known, temperature=temperature, max_tokens=max_tokens, samples=samples)
