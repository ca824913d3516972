"""Whose turn is taken on next, and when: an engine's memory belongs to programs that can go on to their end.

A turn whose session holds no memory is *held back* until the session is expected to fit beside those
under way until it ends (:mod:`orchestrator.runtime.kv.footprint`): taking on what fits only now means to evict later.
What others hold too costs nothing more (:mod:`orchestrator.runtime.kv.prefixes`), here and when it is kept.
Those held back go on in order of::

    arrival of the program + overtaking * (share of the memory it fills) * (seconds it has still to go)

which is arrival order, but for programs that would occupy the memory for long: memory-seconds are what is scarce, and
serving the smallest demand first makes the mean wait least (Smith 1956). The rule is also the bound: a program is
overtaken only by those that arrive within that time of it.

Those whose program has a deadline go on by least laxity, and all in another order of the planner's policies where the
options say so; then no program is overtaken by one that arrives ``longest_s`` after it
(:mod:`orchestrator.planner.policies.overtaking`).

>>> intake = Intake(total_blocks=100, options=RetentionOptions())
>>> first, second = (
...     intake.arrived(name, KvHint(turns_left=0.0), blocks=60, pinned=False, returns=False, now_s=0.0) for name in "ab"
... )
>>> intake.admits(first, Load(), now_s=0.0), intake.admits(second, Load(), now_s=0.0)
(True, False)
>>> intake.gone(first)
>>> intake.leaves("a")
>>> intake.admits(second, Load(), now_s=1.0)
True
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Sequence
from math import inf
from typing import Final

from orchestrator.planner.policies import ORDERS
from orchestrator.planner.policies.critical_path import least_laxity
from orchestrator.planner.policies.overtaking import kept_in_bounds
from orchestrator.planner.policies.view import SpeedView
from orchestrator.runtime.kv.footprint import Footprint
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.load import Load, StepClock, mean
from orchestrator.runtime.kv.prefixes import Prefix
from orchestrator.runtime.kv.retention_options import RetentionOptions
from orchestrator.runtime.kv.turns import Turn

MOST_PROGRAMS: Final = 65_536
"""Programs that are remembered: clients choose their names."""
OLDEST_ARRIVAL_S: Final = 3600.0
"""A client cannot claim that its program arrived earlier than this before its first request, "..."""
LONGEST_PATH_S: Final = 600.0
"""nor that it still has longer to go than this."""


class Intake:
    """Decides who goes on, and in which order."""

    def __init__(self, total_blocks: int, options: RetentionOptions, speed: SpeedView | None = None) -> None:
        """``speed`` is the engine's, as far as orders ask for it."""
        self.options = options
        self._order = None if options.order is None else ORDERS.get(options.order)
        self._order_of_due = least_laxity if options.order is None else self._order
        """Of turns whose program has a deadline."""
        self._speed = StepClock() if speed is None else speed
        self.total_blocks = total_blocks
        self.footprint = Footprint(total_blocks)
        self.queue_s: defaultdict[str, float] = defaultdict(float)
        """It has the seconds by cause: ``held`` back, refused ``memory``, or waiting for a place in the ``batch``."""
        self.queued: Counter[str] = Counter()
        """Turns by cause."""
        self.miss_queue_s = 0.0
        """How long a turn waits that does not find its session's blocks, on average."""
        self._programs: OrderedDict[str, float] = OrderedDict()
        self._running: dict[str, list[Turn]] = {}
        """It has, by session, turns that are not held back and have not ended."""
        self._unfit: tuple[int, Prefix | None] | None = None
        """The footprint in which the most urgent turn that is held back did not fit, and how it begins."""
        self._patient: Turn | None = None
        """A turn that was admitted because it had waited so long, until it runs."""

    @property
    def is_used(self) -> bool:
        """Whether any request has had a hint so far."""
        return bool(self._programs)

    def running(self, session: str) -> Sequence[Turn]:
        """The session's turns that have been taken on and have not ended."""
        return self._running.get(session, ())

    def arrived(
        self,
        session: str,
        hint: KvHint,
        *,
        blocks: int,
        pinned: bool,
        returns: bool,
        now_s: float,
        age_s: float = 0.0,
        prefix: Prefix | None = None,
        tokens: tuple[int, float] = (0, 0.0),
    ) -> Turn:
        """A turn that will leave at most ``blocks`` blocks is here, of a program that claims to be ``age_s`` old.

        ``tokens``: those of its prompt, and those that are expected of its reply.
        One whose session's blocks are ``pinned`` goes on at once, and so does every turn where none is held back.
        """
        arrival_s = self._arrival_s(hint.program or session, age_s, now_s)
        turn = Turn(session, hint, arrival_s, now_s, blocks, pinned, returns, prefix)
        turn.prompt_tokens, turn.predicted_output_tokens = tokens
        if pinned or not self.options.hold:
            self._admit(turn, now_s)
        else:
            self._unfit = None
        return turn

    def urgency(self, turn: Turn) -> float:
        """The turn's place among others with hints, least first; seconds.

        Neither an early arrival nor a pin is worth more than ``patience_s`` of waiting: sessions that never end
        keep nobody waiting for ever.
        """
        if turn is self._patient:
            return -inf
        options, patience_s = self.options, self.options.patience_s
        key_s = max(turn.arrival_s, turn.queued_s - patience_s)
        order = self._order if turn.deadline_s == inf else self._order_of_due
        if order is not None:
            key_s = kept_in_bounds(order(turn, self._speed, turn.queued_s), key_s, options.longest_s)
        else:
            share_s = turn.blocks / self.total_blocks * min(turn.hint.critical_path_s or 0.0, LONGEST_PATH_S)
            key_s += options.overtaking * share_s
        return key_s - patience_s if turn.pinned else key_s

    def holds(self, turn: Turn) -> bool:
        """Whether the turn is held back until :meth:`admits` says otherwise."""
        return turn.admitted_s is None

    def admits(self, turn: Turn, load: Load, now_s: float) -> bool:
        """Whether the most urgent turn that is held back goes on now."""
        patient = self._is_patience_free(now_s) and now_s - turn.queued_s > self.options.patience_s
        if not (load.idle or patient):
            asked = self.footprint.version, turn.prefix
            if self._unfit == asked:
                return False
            if not self.footprint.fits(turn.blocks, turn.hint.turns_left or 0.0, prefix=turn.prefix):
                self._unfit = asked
                return False
        if patient:
            self._patient = turn
        self._waited("held", now_s - turn.queued_s)
        self._admit(turn, now_s)
        return True

    def _is_patience_free(self, now_s: float) -> bool:
        """Whether no turn that was admitted for its patience is about to run; one that cannot keeps nobody waiting."""
        admitted_s = None if self._patient is None else self._patient.admitted_s
        return admitted_s is None or now_s - admitted_s > self.options.patience_s

    def _admit(self, turn: Turn, now_s: float) -> None:
        turn.admitted_s = now_s
        self._running.setdefault(turn.session, []).append(turn)
        self.footprint.begins(turn.session, turn.blocks, turn.hint.turns_left or 0.0, turn.prefix)

    def _arrival_s(self, program: str, age_s: float, now_s: float) -> float:
        """The first request of a program settles when it arrived."""
        known = self._programs.get(program)
        if known is None:
            known = self._programs[program] = now_s - min(max(age_s, 0.0), OLDEST_ARRIVAL_S)
            if len(self._programs) > MOST_PROGRAMS:
                self._programs.popitem(last=False)
        else:
            self._programs.move_to_end(program)
        return known

    def begun(self, turn: Turn, now_s: float) -> None:
        """The turn runs."""
        turn.begun = True
        if turn is self._patient:
            self._patient = None
        waited_s = now_s - (turn.queued_s if turn.admitted_s is None else turn.admitted_s)
        self._waited("memory" if turn.refused else "batch", waited_s)
        if turn.returns and not turn.pinned:
            self.miss_queue_s = mean(self.miss_queue_s, now_s - turn.queued_s)

    def gone(self, turn: Turn) -> None:
        """The turn is over, however it ended; whether its session still holds memory, :meth:`leaves` says."""
        if turn is self._patient:
            self._patient = None
        if turn.admitted_s is not None:
            running = self._running[turn.session]
            running.remove(turn)
            if not running:
                del self._running[turn.session]
        self._unfit = None

    def leaves(self, session: str) -> None:
        """The session holds no memory any more, unless one of its turns does."""
        if session not in self._running:
            self.footprint.leaves(session)

    def _waited(self, cause: str, seconds: float) -> None:
        self.queue_s[cause] += seconds
        self.queued[cause] += 1
