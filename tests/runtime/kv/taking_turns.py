"""Turns that go through a retention, without an engine."""

from __future__ import annotations

from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.load import Load
from orchestrator.runtime.kv.retention import Decision, Retention
from orchestrator.runtime.kv.turns import Turn

BUSY = Load(waiting=4, prefill_s_per_token=1e-3)
QUIET = Load(prefill_s_per_token=1e-3)


def turn_of(retention: Retention[str], session: str, *, blocks: int = 10, now_s: float = 0.0, **hint: object) -> Turn:
    turn, _ = retention.arrived(session, KvHint(**{"turns_left": 1.0, **hint}), blocks=blocks, now_s=now_s)  # type: ignore[arg-type]
    return turn


def run(retention: Retention[str], session: str, *, load: Load = QUIET, at_s: float = 0.0, **hint: object) -> Decision:
    """A whole turn of 10 blocks of 32 tokens; its pin is entered if it is to have one."""
    turn = turn_of(retention, session, now_s=at_s, **hint)
    assert turn.pinned or retention.intake.admits(turn, Load(idle=True), at_s)
    retention.begun(turn, prompt_tokens=320, hit_tokens=0, now_s=at_s)
    decision = retention.ended(turn, tokens=320, blocks=10, load=load, now_s=at_s)
    if decision.blocks:
        retention.keep(turn, decision, f"blocks of {session}", now_s=at_s)
    return decision
