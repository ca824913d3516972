"""``runtime/kv`` retention, as the simulator of the planner asks for one: what the scheduler plugin does, in step.

It is asked before each step, as the plugin is, where the simulator runs with ``longest_run=1``; then the speed of
prefill comes from the simulated steps as it comes from real ones. Requests without hints are queued before all turns;
the plugin lets them keep their place among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestrator.planner.simulate.retention import PINNED_FIRST_S, EngineLoad, Held, TurnView
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.load import Load, StepClock
from orchestrator.runtime.kv.pins import Pin
from orchestrator.runtime.kv.retention import Decision, Retention
from orchestrator.runtime.kv.turns import Turn

HintOf = Callable[[TurnView], KvHint | None]


class KeepingRetention:
    """``hint_of`` says what a turn's request tells. ``retention`` and ``steps`` may have gone through other loads on
    the same engine, which ended ``since_s`` after its start."""

    def __init__(
        self, retention: Retention[Held], steps: StepClock, hint_of: HintOf, *, block_tokens: int, step_tokens: int,
        since_s: float = 0.0,
    ) -> None:  # fmt: skip
        self.retention = retention
        self.steps = steps
        self._hint_of = hint_of
        self._block_tokens = block_tokens
        self._step_tokens = step_tokens
        self._since_s = since_s
        self._turns: dict[int, Turn] = {}
        self._held: dict[int, TurnView] = {}
        self._step: tuple[float, bool] | None = None
        """When the step under way began, and whether it followed another one at once."""
        self._unfilled_tokens = 0
        """Prompt tokens of admitted requests that no step before this one has computed."""
        self._decided = Decision()

    def arrived(self, turn: TurnView, now: float) -> Sequence[Held]:
        """Read the hint."""
        hint = self._hint_of(turn)
        if hint is None:
            return ()
        blocks = -(-(turn.prompt_tokens + turn.max_tokens) // self._block_tokens)
        age_s = 0.0 if hint.program_arrival_s is None else now - turn.started_s
        made, ended = self.retention.arrived(turn.session, hint, blocks=blocks, now_s=self._at(now), age_s=age_s)
        self._turns[turn.sequence] = made
        return _held(ended)

    def key(self, turn: TurnView, now: float) -> float | None:
        """By urgency."""
        made = self._turns.get(turn.sequence)
        if made is None:
            return self._at(turn.ready_s) - PINNED_FIRST_S
        if self.retention.intake.holds(made):
            self._held[turn.sequence] = turn
            return None
        return self.retention.intake.urgency(made)

    def due(self, load: EngineLoad, now: float) -> Sequence[Held]:
        """Before a step."""
        if self._step is not None:
            prompt_tokens = min(self._unfilled_tokens, self._step_tokens)
            self._unfilled_tokens -= prompt_tokens
            begun_s, busy = self._step
            self.steps.step(begun_s, prompt_tokens, busy=busy)
        self._step = self._at(now), load.running > 0
        return _held(self.retention.due(self._load(load), self._at(now)))

    def released(self, load: EngineLoad, now: float) -> Sequence[TurnView]:
        """Turns that are not held back any longer, most urgent first."""
        out: list[TurnView] = []
        while self._held:
            turn = min(self._held.values(), key=lambda each: self.retention.intake.urgency(self._turns[each.sequence]))
            load_now = self._load(load, placed=len(out))
            if not self.retention.intake.admits(self._turns[turn.sequence], load_now, self._at(now)):
                break
            out.append(self._held.pop(turn.sequence))
        return out

    def victim(self, turn: TurnView | None, load: EngineLoad, now: float) -> Sequence[Held]:
        """A pin for a running request, or for one in the queue that then fits."""
        if turn is not None and load.running:
            lacking = -(-turn.prompt_tokens // self._block_tokens) - load.free_blocks
            if not 0 < lacking <= self.retention.table.pinned_blocks:
                return ()
        made = None if turn is None else self._turns.get(turn.sequence)
        idle = Load(idle=not load.running)
        if not self.retention.may_take(made, running=turn is None, load=idle, now_s=self._at(now)):
            return ()
        pin = self.retention.gives_up(made)
        return () if pin is None else (pin.held,)

    def admitted(self, turn: TurnView, hit_tokens: int, now: float) -> Sequence[Held]:
        """The session's pin is consumed."""
        missing, tokens = turn.prompt_tokens - hit_tokens, turn.prompt_tokens
        self._unfilled_tokens += missing
        made = self._turns.get(turn.sequence)
        if made is None:
            if self.retention.is_used:
                self.retention.passed(f"{turn.sequence} at {now}", missing, self._at(now))
            return ()
        return _held(self.retention.begun(made, prompt_tokens=tokens, hit_tokens=hit_tokens, now_s=self._at(now)))

    def ended(self, turn: TurnView, tokens: int, blocks: int, load: EngineLoad, now: float) -> int:
        """What the retention decides; nothing after a session's last turn, when its client releases it."""
        made = self._turns.pop(turn.sequence, None)
        if made is None:
            return 0
        kept = blocks * self._block_tokens
        self._decided = self.retention.ended(
            made, tokens=kept, blocks=blocks, load=self._load(load), now_s=self._at(now)
        )
        if made.hint.ends or not turn.turns_left:
            self.retention.over(turn.session, self._at(now))
            return 0
        if self._decided.blocks:
            self._turns[turn.sequence] = made
        return self._decided.blocks

    def keep(self, turn: TurnView, held: Held, now: float) -> Sequence[Held]:
        """Enter it into the table."""
        made = self._turns.pop(turn.sequence)
        return _held(self.retention.keep(made, self._decided, held, now_s=self._at(now)))

    @property
    def next_due_s(self) -> float:
        """The next expiry."""
        return self.retention.table.next_expiry_s - self._since_s

    def _at(self, now: float) -> float:
        """The engine's clock."""
        return self._since_s + now

    def _load(self, load: EngineLoad, placed: int = 0) -> Load:
        waits = load.blocked or bool(self._held)
        idle = not load.running and load.waiting == len(self._held) and not placed
        return Load(load.waiting if waits else 0, idle, self.steps.prefill_s_per_token)


def _held(pins: Sequence[Pin[Held]]) -> list[Held]:
    return [pin.held for pin in pins]
