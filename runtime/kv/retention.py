"""What to keep between turns, and whose turn is next: every decision about the KV memory of one engine.

**Keeping.** When a turn ends, keeping its blocks for a time t is worth ``P(pause <= t) * benefit`` and costs ``rent *
E[min(pause, t)]`` (:mod:`orchestrator.runtime.kv.ttl`). With ``W`` requests waiting for memory:

- a hit spares the engine the prefill of the prefix, ``R`` seconds, for which everyone who waits and the session itself
  would have waited, and the session its wait for memory, ``T``: ``benefit = R (1 + W) + T``;
- a share ``s`` of the memory withheld for a second withholds that share of a second from each who waits:
  ``rent = s W``.

Nobody waits, nothing is lost by keeping: ``rent = 0``. Since that may change while a session pauses, pins are
*reviewed* while requests wait for memory: one whose remaining pause, given that it already lasts so long, is no longer
worth its memory is given up.

**Taking on.** A turn whose session holds no memory is held back until it fits (:mod:`orchestrator.runtime.kv.intake`).

**Giving up.** Pins yield at once to a running request that grows and to requests without hints; to a turn that waits,
once nothing runs or it has waited for ``patience_s``. Pins of the program that arrived last go first. A session whose
blocks are pinned goes before those held back: it needs little memory, and returns what the pin holds.

>>> retention = Retention[str](100)
>>> turn, _ = retention.arrived("s1", KvHint(turns_left=1.0, pause_s=(0.5,)), blocks=10, now_s=0.0)
>>> retention.intake.admits(turn, Load(), now_s=0.0)
True
>>> decision = retention.ended(turn, tokens=320, blocks=10, load=Load(prefill_s_per_token=1e-4), now_s=1.0)
>>> decision.blocks, decision.ttl_s > 0.5
(10, True)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from math import inf, isnan
from typing import Final, Generic

from orchestrator.planner.policies.view import SpeedView
from orchestrator.runtime.kv.durations import DurationModel
from orchestrator.runtime.kv.forecast import Forecast
from orchestrator.runtime.kv.guard import LruGuard
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.intake import Intake
from orchestrator.runtime.kv.load import Load
from orchestrator.runtime.kv.pins import Held, Outcome, Pin, PinTable
from orchestrator.runtime.kv.prefixes import Prefix
from orchestrator.runtime.kv.retention_options import RetentionOptions
from orchestrator.runtime.kv.ttl import Ttl, best_ttl
from orchestrator.runtime.kv.turns import LastTurns, Turn

MARGIN: Final = 1.1
"""Pins outlast what was predicted by this factor: a turn that arrives just too late has cost both."""
REVIEW_SHARE: Final = 0.25
"""A pin is reviewed again when its age has grown by this share, "..."""
LEAST_REVIEW_S: Final = 0.02
"""and no sooner than after this."""
REVIEWS_A_STEP: Final = 8


@dataclass(frozen=True, slots=True)
class Decision:
    """Keep the first ``blocks`` of a session's blocks for ``ttl_s``; none: ``blocks == 0``."""

    blocks: int = 0
    ttl_s: float = 0.0
    worth_s: float = 0.0
    forecast: Forecast | None = None
    clipped: bool = False
    prefix: Prefix | None = None
    """The first of the blocks, where others hold them too."""
    longest_s: float = inf
    """The longest TTL that a review may find."""


class Retention(Generic[Held]):
    """Decides, and keeps the table of pins. Pins that a method returns have ended: their blocks are to be freed."""

    def __init__(
        self,
        total_blocks: int,
        options: RetentionOptions | None = None,
        durations: DurationModel | None = None,
        *,
        speed: SpeedView | None = None,
    ) -> None:
        """``speed`` is the engine's, for the order in which turns go on."""
        self.options = options or RetentionOptions()
        self.total_blocks = max(total_blocks, 1)
        self.table: PinTable[Held] = PinTable(int(self.options.budget * total_blocks))
        self.durations = durations or DurationModel()
        self.intake = Intake(self.total_blocks, self.options, speed)
        self.guard = LruGuard(self.total_blocks) if self.options.guard and self.options.ttl_s is None else None
        self.tokens: Counter[str] = Counter()
        """``prompt``, ``hit`` and ``recomputed``: those that the session once had."""
        self._last = LastTurns()

    @property
    def is_used(self) -> bool:
        """Whether any request has had a hint so far."""
        return self.intake.is_used

    # -- a turn arrives -----------------------------------------------------------------------------------------------

    def arrived(
        self,
        session: str,
        hint: KvHint,
        *,
        blocks: int,
        now_s: float,
        age_s: float = 0.0,
        prefix: Prefix | None = None,
        tokens: tuple[int, float] = (0, 0.0),
    ) -> tuple[Turn, list[Pin[Held]]]:
        """A turn that will leave at most ``blocks`` blocks is here, of a program that claims to be ``age_s`` old.

        ``tokens``: those of its prompt, and those that are expected of its reply.
        Its session's pin lasts while it waits, whatever its TTL: what it was kept for is here.
        """
        self.durations.ended(session, now_s)
        ended: list[Pin[Held]] = []
        for other in hint.supersedes:
            if other != session:
                ended += self.over(other, now_s, Outcome.SUPERSEDED)
        pinned, returns = session in self.table, session in self._last
        turn = self.intake.arrived(
            session,
            hint,
            blocks=blocks,
            pinned=pinned,
            returns=returns,
            now_s=now_s,
            age_s=age_s,
            prefix=prefix,
            tokens=tokens,
        )
        if pinned:
            self.table.extend(session, inf)
        return turn, ended

    def is_known(self, prefix: Prefix) -> bool:
        """Whether sessions that hold the prefix are known to share it."""
        return self.intake.footprint.knows(prefix)

    def shares(self, session: str, prefix: Prefix, *, pinned: bool) -> None:
        """What a turn of the session, or its pin, begins with, others hold too from now on."""
        self.intake.footprint.shares(session, prefix)
        if pinned:
            self.table.shares(session, prefix)

    # -- a turn runs --------------------------------------------------------------------------------------------------

    def begun(
        self, turn: Turn, *, prompt_tokens: int, hit_tokens: int, now_s: float, hashes: Sequence[Hashable] | None = None
    ) -> list[Pin[Held]]:
        """The turn runs, and holds references of its own to what it found: its session's pin is over.

        ``hashes`` are those of its prompt's prefixes, block by block; without them it is taken to continue its session.
        """
        if turn.begun:
            return []
        self.intake.begun(turn, now_s)
        known = self._last.repeated(turn.session, prompt_tokens, hashes)
        turn.prompt_tokens, turn.repeated_tokens = prompt_tokens, known
        self.tokens.update(prompt=prompt_tokens, hit=hit_tokens, recomputed=max(known - hit_tokens, 0))
        if self.guard is not None:
            size = self._last.block_tokens
            repeated = max(known // size - 1, 0)  # the last block of a hit may have to be computed again in any case
            self.guard.arrived(turn.session, prompt_tokens // size, hit_tokens // size, now_s, repeated=repeated)
        return self.table.end(turn.session, Outcome.CONSUMED)

    def passed(self, name: str, tokens: int, now_s: float) -> None:
        """A request without a hint runs, ``tokens`` of whose prompt were not cached."""
        if self.guard is not None:
            self.guard.passed(name, tokens // self._last.block_tokens, now_s)

    def may_take(
        self, turn: Turn | None, *, running: bool, load: Load, now_s: float, others_wait: bool = False
    ) -> bool:
        """Whether pins are given up for a request that finds no memory; ``turn`` is None for one without hints.

        ``others_wait``: one without hints is behind it, and is not to wait for what is pinned.
        """
        if turn is not None:
            turn.refused = turn.refused or not running
        if not self.table:
            return False
        impatient = turn is None or now_s - turn.queued_s > self.options.patience_s
        return impatient or running or load.idle or others_wait

    def gives_up(self, turn: Turn | None) -> Pin[Held] | None:
        """The pin that ends for such a request; the session's own comes last."""
        pin = self.table.victim(spared=None if turn is None else turn.session)
        if pin is not None:
            self.table.end(pin.session, Outcome.EVICTED)
            self._leaves(pin.session)
        return pin

    # -- a turn ends --------------------------------------------------------------------------------------------------

    def ended(
        self,
        turn: Turn,
        *,
        tokens: int,
        blocks: int,
        load: Load,
        now_s: float,
        prefix: Prefix | None = None,
        hashes: Sequence[Hashable] | None = None,
    ) -> Decision:
        """The turn has ended well and leaves ``tokens`` tokens in ``blocks`` full blocks: what of them to keep.

        ``prefix``: the first of them, where others hold them too; ``hashes`` as in :meth:`begun`, of the whole text.
        """
        self.gone(turn)
        self._last.ended(turn, tokens, blocks, hashes)
        if blocks and turn.repeated_tokens:
            self.intake.footprint.grew((tokens - turn.repeated_tokens) / self._last.block_tokens)
        if turn.hint.ends or turn.is_over:
            return Decision()
        if not turn.hint.prefetch and not self.intake.running(turn.session):
            self.durations.began(turn.session, turn.hint.key, now_s)
        decision = self._decide(turn.hint, blocks, load)
        if self.guard is not None:
            self.guard.ended(turn.session, blocks, decision.ttl_s, now_s)
            if not self.guard.trusted:
                decision = Decision(forecast=decision.forecast)
        if decision.ttl_s <= 0.0:
            self.table.outcomes[Outcome.DECLINED] += 1
            return Decision(0, 0.0, decision.worth_s, decision.forecast)
        kept = self.table.clipped(turn.session, blocks, prefix)
        if kept <= 0:
            self.table.outcomes[Outcome.REJECTED] += 1
        if prefix is not None and kept < prefix.blocks:
            prefix = None
        return replace(decision, blocks=kept, prefix=prefix, clipped=kept < blocks)

    def keep(self, turn: Turn, decision: Decision, held: Held, *, now_s: float) -> list[Pin[Held]]:
        """``held`` are the blocks that ``decision`` keeps; returns the session's earlier pin, if it had one."""
        pin = Pin(
            turn.session, turn.hint.program or turn.session, turn.arrival_s, decision.blocks, held, now_s,
            now_s + decision.ttl_s, now_s + decision.ttl_s, now_s + decision.longest_s, decision.prefix,
            decision.blocks * self._last.block_tokens, decision.forecast,
        )  # fmt: skip
        replaced = self.table.pin(pin, clipped=decision.clipped)
        if pin.forecast is not None:
            self.table.review_at(pin, now_s)
        self.intake.footprint.begins(turn.session, decision.blocks, turn.hint.turns_left or 0.0, decision.prefix)
        return replaced

    def gone(self, turn: Turn) -> None:
        """The turn holds no memory any more, however it ended."""
        self.intake.gone(turn)
        if turn.begun and self.guard is not None:
            self.guard.given_up(turn.session)
        self._leaves(turn.session)

    def _leaves(self, session: str) -> None:
        """The session holds no memory any more, unless it has another turn at the same time, or a pin."""
        pin = self.table.get(session)
        if pin is None:
            self.intake.leaves(session)
        elif not self.intake.running(session):
            self.intake.footprint.holds(session, pin.blocks, pin.prefix)
            self.table.extend(session, pin.ends_s)

    def over(self, session: str, now_s: float, outcome: Outcome = Outcome.RELEASED) -> list[Pin[Held]]:
        """No turn of the session will follow."""
        self.durations.dropped(session, now_s)
        self._last.over(session)
        for turn in self.intake.running(session):
            turn.is_over = True
        if self.guard is not None:
            self.guard.given_up(session)
        return self._out(self.table.end(session, outcome))

    # -- time passes --------------------------------------------------------------------------------------------------

    def due(self, load: Load, now_s: float) -> list[Pin[Held]]:
        """Pins whose time is over, or that are no longer worth their memory; asked before each step."""
        if self.guard is not None and not self.guard.trusted and self.table:
            return self._out(self.table.end_all(Outcome.EVICTED))
        ended = self.table.expire(now_s) if self.table.next_expiry_s <= now_s else []
        if load.waiting and self.options.ttl_s is None and self.table:
            ended += self._review(load, now_s)
        return self._out(ended)

    def extend(self, session: str, ttl_s: float, now_s: float) -> bool:
        """The session is still needed: let its pin last until ``ttl_s`` from now; False if it has none (any more)."""
        pin = self.table.get(session)
        if pin is None or isnan(ttl_s):
            return False
        expires_s = now_s + min(max(ttl_s, 0.0), self.options.longest_ttl_s)
        pin.latest_s = max(pin.latest_s, expires_s)
        self._ends(pin, expires_s)
        return True

    def _ends(self, pin: Pin[Held], ends_s: float) -> None:
        """The pin ends at ``ends_s``, or when the turns of its session that wait now are over."""
        pin.ends_s = ends_s
        if pin.expires_s < inf:
            self.table.extend(pin.session, ends_s)

    def reset(self) -> list[Pin[Held]]:
        """The cache is emptied, and nothing of it is anybody's loss."""
        self._last.reset()
        if self.guard is not None:
            self.guard.reset()
        return self._out(self.table.end_all(Outcome.RESET))

    def _review(self, load: Load, now_s: float) -> list[Pin[Held]]:
        ended: list[Pin[Held]] = []
        for _ in range(REVIEWS_A_STEP):
            pin = self.table.to_review(now_s)
            if pin is None:
                break
            assert pin.forecast is not None
            age_s = now_s - pin.pinned_s
            if pin.expires_s < inf:  # no turn of its session waits
                worth = self._worth(pin.forecast, pin.tokens, pin.blocks, load, elapsed_s=age_s)
                if worth.ttl_s <= 0.0:
                    ended += self.table.end(pin.session, Outcome.EXPIRED)
                    continue
                self._ends(pin, min(now_s + MARGIN * worth.ttl_s, pin.latest_s))
            self.table.review_at(pin, now_s + max(LEAST_REVIEW_S, REVIEW_SHARE * age_s))
        return ended

    def _out(self, pins: list[Pin[Held]]) -> list[Pin[Held]]:
        for pin in pins:
            self._leaves(pin.session)
        return pins

    # -- what a pause is worth ----------------------------------------------------------------------------------------

    def _decide(self, hint: KvHint, blocks: int, load: Load) -> Decision:
        longest_s = self.options.longest_ttl_s
        if hint.pin_ttl_s is not None:
            longest_s = min(longest_s, hint.pin_ttl_s)
        if self.options.ttl_s is not None:
            return Decision(blocks, min(self.options.ttl_s, longest_s))
        forecast = Forecast.decoded(hint.pause_s) if hint.pause_s else self.durations.forecast(hint.key)
        worth = self._worth(forecast, blocks * self._last.block_tokens, blocks, load, longest_s)
        ttl_s = min(MARGIN * worth.ttl_s, longest_s)
        return Decision(blocks, ttl_s, worth.worth_s, forecast, longest_s=longest_s)

    def _worth(
        self, forecast: Forecast, tokens: int, blocks: int, load: Load, most_s: float = inf, *, elapsed_s: float = 0.0
    ) -> Ttl:
        queue_s = self.intake.miss_queue_s if load.waiting else 0.0
        return best_ttl(
            forecast,
            benefit_s=tokens * load.prefill_s_per_token * (1 + load.waiting) + queue_s,
            rent=load.waiting * blocks / self.total_blocks,
            longest_s=min(most_s, self.options.longest_ttl_s),
            elapsed_s=elapsed_s,
        )
