"""What a service charges by the token."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol


class Counted(Protocol):
    """Tokens of calls; ``cached_tokens`` is the part of the input that was found in a cache, None where unknown."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int | None: ...
    @property
    def output_tokens(self) -> int: ...


class TokenPrice(NamedTuple):
    """USD per token. Cached input costs no more than other input, so a prompt of which nothing is cached costs most.

    >>> TokenPrice(3e-6, 15e-6, 0.3e-6).usd(1_000_000, 900_000, 0)
    0.57
    """

    input_usd: float
    output_usd: float
    cached_usd: float

    def usd(self, input_tokens: float, cached_tokens: float | None, output_tokens: float) -> float:
        """The cost; what is not known to be cached costs the full price."""
        cached = min(cached_tokens or 0, input_tokens)
        return (input_tokens - cached) * self.input_usd + cached * self.cached_usd + output_tokens * self.output_usd

    def of(self, usage: Counted) -> float:
        """The cost of what was used."""
        return self.usd(usage.input_tokens, usage.cached_tokens, usage.output_tokens)


FREE: Final = TokenPrice(0.0, 0.0, 0.0)
