"""Sessions kept between their turns, worked out by hand, and what holds whatever is kept."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import PlanError
from orchestrator.planner.policies import ROUND_ROBIN_FCFS
from orchestrator.planner.simulate.conversation import Turn, conversation
from orchestrator.planner.simulate.program import Program
from orchestrator.planner.simulate.report import SimulationReport
from orchestrator.planner.simulate.retention import EngineLoad, Held, Retention, TurnView
from orchestrator.planner.simulate.simulation import Lifetime, Simulation
from orchestrator.planner.simulate.speed import ReplicaSpec, ReplicaSpeed
from tests.planner.simulate.fixed_ttl import FixedTtl
from tests.planner.simulate.loads import spec, ticks

STEP = ReplicaSpeed(token_s=0.0, weight_s=0.0, kv_token_s=0.0, step_s=1.0)
"""Every step takes a second."""


def two_turns(number: int, arrival_s: float, first: int, pause_s: float, second: int = 16) -> Program:
    """A reply of 17 tokens leaves 16 in the KV: ``first / 16 + 1`` full blocks after the first turn."""
    turns = [Turn(first, 17), Turn(second, 1, tool="search", tool_s=pause_s)]
    return conversation(number, arrival_s, turns, block_tokens=16)


def one_turn(number: int, arrival_s: float, prompt: int, output: int) -> Program:
    return conversation(number, arrival_s, [Turn(prompt, output)], block_tokens=16)


class Played:
    """A simulation of one replica whose every step takes a second."""

    def __init__(self, load: Sequence[Program], blocks: int, retention: Retention | None, **changes: object) -> None:
        changes = {"step_tokens": 512, "scheduler": "vllm", "speed": STEP, **changes}
        replica = spec(kv_blocks=blocks, **changes)
        self.ends: dict[int, float | None] = {}
        lifetime = Lifetime(None if retention is None else lambda _: retention, count_recomputed=True)
        simulation = Simulation(
            [replica], ROUND_ROBIN_FCFS, lifetime=lifetime, observer=lambda p, end: self.ends.update({p.id: end})
        )
        self.report: SimulationReport = simulation.run(iter(load))
        self.replica = self.report.replicas[0]
        self.pool = simulation.replicas[0].pool


def test_a_pin_keeps_what_another_program_would_evict() -> None:
    """A leaves 5 of 10 blocks at 17.0. B, at 18.0, needs 7; C, which runs until 33.5, has 2 when A is back at 27.0."""
    load = [two_turns(0, 0.0, 64, 10.0), one_turn(1, 17.5, 16, 16), one_turn(2, 18.0, 96, 2)]
    without = Played(load, 10, None)
    assert (without.replica.hit_tokens, without.replica.recomputed_tokens) == (16, 64)
    assert (without.ends[2], without.ends[0]) == (20.5, 28.5)
    kept = Played(load, 10, FixedTtl(60.0, total_blocks=10, by_program=True))
    assert (kept.replica.hit_tokens, kept.replica.recomputed_tokens) == (80, 0)
    assert (kept.ends[0], kept.ends[2]) == (28.5, 30.5)


def test_a_pin_is_given_up_once_nothing_runs() -> None:
    load = [two_turns(0, 0.0, 64, 10.0), one_turn(1, 18.0, 96, 2)]
    kept, without = Played(load, 8, FixedTtl(60.0, total_blocks=8)), Played(load, 8, None)
    assert kept.ends == without.ends == {1: 20.0, 0: 28.0}
    assert kept.replica.hit_tokens == without.replica.hit_tokens == 16


def test_a_pin_ends_with_its_time() -> None:
    """B waits while C runs, until A's pin of 4 s ends at 21.0."""
    load = [two_turns(0, 0.0, 64, 30.0), one_turn(1, 17.5, 16, 16), one_turn(2, 18.0, 96, 2)]
    assert Played(load, 9, FixedTtl(4.0, total_blocks=9)).ends[2] == 21.5 + 2.0
    assert Played(load, 9, FixedTtl(60.0, total_blocks=9)).ends[2] == 33.5 + 2.0


def test_a_running_request_gets_a_pin_before_anyone_is_preempted() -> None:
    """B grows into its second block at 35.0; 1 block is left beside A's 5, then none."""
    load = [two_turns(0, 0.0, 64, 100.0), one_turn(1, 18.0, 16, 34)]
    played = Played(load, 7, FixedTtl(inf, total_blocks=7))
    assert played.replica.preemptions == 0
    assert played.ends[1] == 18.0 + 34.0


def test_later_programs_yield_to_earlier_ones_at_once() -> None:
    """While C runs, B (which came before A) needs what A's pin holds."""
    early = conversation(0, 0.0, [Turn(16, 17), Turn(80, 1, tool="x", tool_s=3.0)], block_tokens=16)
    late = two_turns(1, 1.0, 64, 100.0)
    busy = one_turn(2, 2.0, 16, 60)
    ends = {
        rule: Played([early, late, busy], 12, FixedTtl(inf, total_blocks=12, yield_to_waiting=rule)).ends[0]
        for rule in ("idle", "later-programs")
    }
    assert ends["later-programs"] is not None and ends["idle"] is not None
    assert ends["later-programs"] < 25.0 < 60.0 < ends["idle"]


def test_a_budget_keeps_the_beginning_and_an_oracle_keeps_what_returns() -> None:
    evicting = [one_turn(2, 18.0, 80, 2), one_turn(3, 21.0, 80, 2)]
    load = [two_turns(0, 0.0, 64, 10.0), one_turn(1, 17.5, 16, 16), *evicting]
    assert Played(load, 10, None).replica.hit_tokens == 0
    assert Played(load, 10, FixedTtl(60.0, total_blocks=10, budget=0.2)).replica.hit_tokens == 32
    late, back = (Played(load, 10, FixedTtl(ttl_s, total_blocks=10, oracle=True)) for ttl_s in (9.0, 20.0))
    assert late.ends[2] == 20.5, "A comes back too late: nothing is kept"
    assert back.ends[2] == 35.5, "A's pin lasts until C is done"


def test_pinned_sessions_go_first_then_programs_in_order_of_arrival() -> None:
    """Room for one at a time: A's next turn overtakes C, which waits since 3.0."""
    load = [two_turns(0, 0.0, 16, 1.0), one_turn(1, 2.0, 16, 30), one_turn(2, 3.0, 16, 30)]
    by_program = Played(load, 64, FixedTtl(60.0, total_blocks=64, by_program=True), max_batch=1)
    by_request = Played(load, 64, FixedTtl(60.0, total_blocks=64), max_batch=1)
    assert by_program.ends[0] is not None and by_request.ends[0] is not None
    assert by_program.ends[0] < 50.0 < by_request.ends[0]


class Stubborn(FixedTtl):
    """Never gives anything up."""

    def victim(self, turn: TurnView | None, load: EngineLoad, now: float) -> Sequence[Held]:
        return ()


def test_a_retention_that_keeps_memory_from_an_idle_engine_is_named() -> None:
    load = [two_turns(0, 0.0, 64, 10.0), one_turn(1, 18.0, 96, 2)]
    with pytest.raises(PlanError, match="ORCH-P112"):
        Played(load, 8, Stubborn(inf, total_blocks=8))
    assert Played(load, 8, Stubborn(4.0, total_blocks=8)).ends[1] == 17.0 + 4.0 + 2.0


def agents(seed: int, count: int) -> list[Program]:
    """Conversations of up to four turns that share a beginning; all times are dyadic."""
    random = Random(seed)
    now, found = 0.0, []
    for number in range(count):
        now = ticks(now + random.expovariate(2.0))
        turns = [Turn(random.randint(1, 120), random.randint(1, 40))]
        turns += [
            Turn(random.randint(1, 60), random.randint(1, 40), "tool", ticks(random.random() * 2))
            for _ in range(random.randrange(4))
        ]
        found.append(conversation(number, now, turns, block_tokens=16, shared_tokens=32))
    return found


retentions = st.builds(
    dict, longest_s=st.sampled_from([0.0, 0.5, 4.0, inf]), budget=st.sampled_from([0.3, 1.0]),
    oracle=st.booleans(), yield_to_waiting=st.sampled_from(["idle", "later-programs"]), by_program=st.booleans(),
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    keep=retentions,
    blocks=st.sampled_from([40, 60, 200]),
    batch=st.sampled_from([2, 8]),
    step_tokens=st.sampled_from([24, 200]),
)
def test_everything_runs_in_the_end_and_no_block_is_lost(
    seed: int, keep: dict[str, object], blocks: int, batch: int, step_tokens: int
) -> None:
    """And runs of steps taken at once give what single steps give."""
    replica: ReplicaSpec = spec(kv_blocks=blocks, max_batch=batch, step_tokens=step_tokens, scheduler="vllm")
    load = agents(seed, 12)
    found = []
    for longest_run in (None, 1):
        made: list[FixedTtl] = []

        def retention(of: ReplicaSpec, made: list[FixedTtl] = made) -> Retention:
            made.append(FixedTtl(total_blocks=of.kv_blocks, **keep))  # type: ignore[arg-type]
            return made[-1]

        ends: dict[int, float | None] = {}
        simulation = Simulation(
            [replica], ROUND_ROBIN_FCFS, lifetime=Lifetime(retention), longest_run=longest_run,
            observer=lambda program, end, ends=ends: ends.update({program.id: end}),
        )  # fmt: skip
        simulation.run(iter(load))
        assert len(ends) == len(load) and None not in ends.values()
        pool = simulation.replicas[0].pool
        left = made[0].due(EngineLoad(0, False, 0, 0, blocks), inf)
        for held in left:
            pool.release(held.ids)
        assert pool.available == blocks
        assert all(unit.uses == 0 for unit in pool.units.values())
        found.append(ends)
    assert found[0] == found[1]
