"""What the requests of a replica hold of its KV, what they find cached, and what is kept for sessions that pause.

Requests hold leading prefix units, which others may share, and private blocks. A session that a
:class:`~orchestrator.planner.simulate.retention.Retention` keeps holds its units as a request would, so nothing evicts
them; giving a pin up lets go of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from math import inf

from orchestrator.errors import PlanError
from orchestrator.planner.simulate.blocks import BlockPool
from orchestrator.planner.simulate.request import Request
from orchestrator.planner.simulate.retention import EngineLoad, Held, Retention
from orchestrator.planner.simulate.speed import ReplicaSpec


class Memory:
    """The KV of one replica."""

    __slots__ = ("_block_tokens", "_cached", "_ever", "_retention", "hit_tokens", "pool", "recomputed_tokens")

    def __init__(self, spec: ReplicaSpec, retention: Retention | None, count_recomputed: bool) -> None:
        self.pool = BlockPool(spec.kv_blocks)
        self.hit_tokens = 0
        self.recomputed_tokens: int | None = 0 if count_recomputed else None
        """Tokens prefilled whose KV was here once; ``None``: not counted."""
        self._block_tokens = spec.block_tokens
        self._cached = spec.prefix_cache
        self._retention = retention
        self._ever: set[int] = set()

    @property
    def retains(self) -> bool:
        """Whether sessions may be kept."""
        return self._retention is not None

    @property
    def next_due_s(self) -> float:
        """When memory may become free without anything else happening."""
        expiry = self.pool.next_expiry_s
        due_s = inf if self._retention is None else self._retention.next_due_s
        return due_s if expiry is None else min(expiry, due_s)

    def blocks(self, tokens: int) -> int:
        """Blocks that hold so many tokens."""
        return -(-tokens // self._block_tokens)

    def accept(self, request: Request, replica: str) -> None:
        """Take note of how the request's prefix units lie in blocks. Raises :class:`PlanError` ORCH-P062."""
        request.unit_blocks, rest = divmod(request.unit_tokens, self._block_tokens)
        if rest and request.ids:
            raise PlanError(
                "ORCH-P062",
                f"prefix units of {request.unit_tokens} tokens on replica {replica!r}",
                why=f"its KV blocks have {self._block_tokens} tokens, and a unit is a whole number of blocks",
                fix="choose block_tokens so that it divides the trace's unit",
            )

    def match(self, request: Request) -> int:
        """Leading units it would find here; at least one token is left to compute."""
        if not request.ids or not self._cached:
            return 0
        return self.pool.match(request.ids, (request.target - 1) // request.unit_tokens)

    def take(self, request: Request, hits: int, blocks: int) -> None:
        """Hold ``hits`` cached units and ``blocks`` new blocks."""
        self.pool.use(request.ids[:hits])
        self.pool.take(blocks)
        request.units, request.private_blocks = hits, blocks

    def missing(self, request: Request, tokens: int) -> int:
        """Blocks it lacks to hold so many tokens."""
        return max(self.blocks(tokens) - request.units * request.unit_blocks - request.private_blocks, 0)

    def extend(self, request: Request, blocks: int) -> None:
        """Hold more new blocks, which are available."""
        if blocks:
            self.pool.take(blocks)
            request.private_blocks += blocks

    def found(self, request: Request, now: float) -> None:
        """Begin the prefill of an admitted request behind the units it holds."""
        request.computed = request.units * request.unit_tokens
        request.hit_tokens += request.computed
        if request.cached_tokens < 0:
            request.cached_tokens = request.computed
        self.hit_tokens += request.computed
        if self.recomputed_tokens is not None:
            most = (request.target - 1) // request.unit_tokens
            known = sum(1 for _ in takewhile(self._ever.__contains__, request.ids[:most]))
            self.recomputed_tokens += (known - request.units) * request.unit_tokens
        if self._retention is not None:
            self._free(self._retention.admitted(request, request.computed, now))

    def share(self, request: Request, tokens: int) -> None:
        """Cache the units of ``tokens`` tokens; a prompt's when the step that computes them begins, as in vLLM."""
        ids, blocks = request.ids, request.unit_blocks
        if not (ids and self._cached):
            return
        complete = min(tokens // request.unit_tokens, len(ids))
        if self.recomputed_tokens is not None:
            self._ever.update(ids[request.units : complete])
        while request.units < complete:
            self.pool.share(ids[request.units], blocks)
            request.private_blocks -= blocks
            request.units += 1

    def release(self, request: Request) -> None:
        """Let go of all it holds."""
        self.pool.put(request.private_blocks)
        if request.units:
            self.pool.release(request.ids[: request.units])
        request.private_blocks = request.units = 0

    # -- sessions -----------------------------------------------------------------------------------------------------

    def arrived(self, request: Request, now: float) -> bool:
        """A turn is in the queue; whether that freed anything."""
        return self._retention is not None and self._free(self._retention.arrived(request, now))

    def key(self, request: Request, now: float) -> float | None:
        """The place of a turn in the queue; ``None``: it is held back. There must be a retention."""
        assert self._retention is not None
        return self._retention.key(request, now)

    def released(self, load: EngineLoad, now: float) -> Sequence[int]:
        """Sequence numbers of turns not to be held back any longer."""
        return () if self._retention is None else [turn.sequence for turn in self._retention.released(load, now)]

    def pin(self, request: Request, now: float) -> None:
        """Keep the units of a finished request for as long as its stage says."""
        if request.stage.pin_ttl_s > 0 and request.units:
            self.pool.pin(request.ids[: request.units], now + request.stage.pin_ttl_s)

    def end_turn(self, request: Request, load: EngineLoad, now: float) -> None:
        """Keep what the retention wants of a finished request, before it lets go."""
        retention = self._retention
        if retention is None:
            return
        blocks = retention.ended(request, request.computed, request.units * request.unit_blocks, load, now)
        units = min(blocks // request.unit_blocks, request.units)
        if units > 0:
            held = Held(request.ids[:units], units * request.unit_blocks)
            self.pool.use(held.ids)
            self._free(retention.keep(request, held, now))

    def expire(self, load: EngineLoad, now: float) -> bool:
        """Give up the sessions whose time is over; whether there were any."""
        return self._retention is not None and self._free(self._retention.due(load, now))

    def give_up(self, request: Request | None, load: EngineLoad, now: float) -> bool:
        """Give a session up for a request in the queue, or for the running ones; whether there was one to."""
        return self._retention is not None and self._free(self._retention.victim(request, load, now))

    def _free(self, over: Sequence[Held]) -> bool:
        for held in over:
            self.pool.release(held.ids)
        return bool(over)
