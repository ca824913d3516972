"""A model of an engine's prefix cache, for the simulator: which leading blocks of a prompt are already there.

Blocks are chained hashes (a block is identified by itself and everything before it, as in vLLM's automatic prefix
caching) in least-recently-used order under a capacity.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence


class PrefixCache:
    """LRU set of chained block hashes; ``capacity_tokens`` bounds what is kept."""

    def __init__(self, capacity_tokens: int, block_tokens: int = 32) -> None:
        self.block_tokens = block_tokens
        self.capacity_blocks = max(1, capacity_tokens // block_tokens)
        self._blocks: OrderedDict[int, None] = OrderedDict()

    @property
    def used_fraction(self) -> float:
        """Share of the capacity that holds blocks."""
        return len(self._blocks) / self.capacity_blocks

    def lookup(self, tokens: Sequence[str]) -> int:
        """Number of leading tokens already cached; like vLLM, never the whole prompt (its last token is computed)."""
        hit = 0
        for block in self._chain(tokens[:-1]):
            if block not in self._blocks:
                break
            self._blocks.move_to_end(block)
            hit += self.block_tokens
        return hit

    def insert(self, tokens: Sequence[str]) -> None:
        """Cache the full blocks of ``tokens``, dropping the least recently used ones over capacity.

        Tails count as older than the heads they hang on: a block without its predecessors can never be hit.
        """
        for block in reversed(self._chain(tokens)):
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self.capacity_blocks:
            self._blocks.popitem(last=False)

    def _chain(self, tokens: Sequence[str]) -> list[int]:
        chain: list[int] = []
        parent = 0
        for start in range(0, len(tokens) - self.block_tokens + 1, self.block_tokens):
            parent = hash((parent, tuple(tokens[start : start + self.block_tokens])))
            chain.append(parent)
        return chain
