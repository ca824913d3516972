"""How likely a reply was to the model that wrote it: ``llm(..., logprobs=5)``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")
MOST_ALTERNATIVES: Final = 20
"""So many alternatives may be asked for with each token; no API gives more."""
LEAST: Final = -9999.0
"""What stands for a probability of 0, as in OpenAI's API."""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token of a reply."""

    token: str
    logprob: float
    """The natural logarithm of its probability."""
    alternatives: dict[str, float]
    """What else might have stood there, the likeliest first, as many as were asked for."""


@dataclass(frozen=True, slots=True)
class Logprobs:
    """The tokens of a reply, and how likely each was. What a reasoning model thinks is not among them."""

    tokens: list[TokenLogprob]
    total: float
    """It is the logarithm of how likely the whole reply was: the sum over its tokens."""

    @classmethod
    def of(cls, tokens: Iterable[TokenLogprob]) -> Logprobs:
        """Those of these tokens."""
        known = list(tokens)
        return cls(known, sum(each.logprob for each in known))


class Scored(NamedTuple, Generic[T]):
    """What ``llm(logprobs=n)`` returns."""

    reply: T
    logprobs: Logprobs
