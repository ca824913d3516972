"""Programs that wait before a replica."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import PlanError
from orchestrator.planner.policies import ROUND_ROBIN_FCFS
from orchestrator.planner.simulate.conversation import Turn, conversation
from orchestrator.planner.simulate.gate import FixedCap, Gate
from orchestrator.planner.simulate.program import Program
from orchestrator.planner.simulate.report import SimulationReport
from orchestrator.planner.simulate.simulation import Lifetime, simulate
from orchestrator.planner.simulate.speed import ReplicaSpec, ReplicaSpeed
from orchestrator.runtime.kv.cap import CapOptions
from orchestrator.runtime.kv.slots import AdmissionControl, AdmissionOptions
from tests.planner.simulate.loads import spec, ticks, workflows

STEP = ReplicaSpeed(token_s=0.0, weight_s=0.0, kv_token_s=0.0, step_s=1.0)
"""Every step takes a second."""


def agent(number: int, arrival_s: float, pause_s: float = 4.0) -> Program:
    """Two turns of two seconds with a pause between them."""
    turns = [Turn(8, 2), Turn(6, 2, tool="search", tool_s=pause_s)]
    return conversation(number, arrival_s, turns, block_tokens=16)


def ends(load: list[Program], lifetime: Lifetime, *replicas: ReplicaSpec) -> tuple[dict[int, float], SimulationReport]:
    found: dict[int, float] = {}

    def note(program: Program, end_s: float | None) -> None:
        found[program.id] = -1.0 if end_s is None else end_s

    return found, simulate(load, replicas or [spec(speed=STEP)], ROUND_ROBIN_FCFS, observer=note, lifetime=lifetime)


def test_as_many_programs_as_the_cap_are_active_tools_included() -> None:
    """A runs from 0 to 8 with its pause, B from 1 to 10. C is let in by A at 8 and D by B at 10, beside a step."""
    load = [agent(0, 0.0), agent(1, 0.0), agent(2, 0.5), agent(3, 0.75)]
    found, report = ends(load, Lifetime(gate=lambda _: FixedCap(2)))
    assert found == {0: 8.0, 1: 10.0, 2: 17.0, 3: 19.0}
    assert report.queueing.max_s == 1.0, "waiting at the gate is no request's"
    assert report.latency.max_s == pytest.approx(19.0 - 0.75, rel=0.005), "but its program's"


def test_the_next_program_begins_when_the_client_has_the_last_reply() -> None:
    slow = spec(speed=ReplicaSpeed(token_s=0.0, weight_s=0.0, kv_token_s=0.0, step_s=1.0, call_s=0.5))
    found, _ = ends([agent(0, 0.0), agent(1, 0.0)], Lifetime(gate=lambda _: FixedCap(1)), slow)
    assert found == {0: 9.0, 1: 18.0}


def test_each_replica_has_its_gate() -> None:
    load = [agent(number, 0.0) for number in range(4)]
    found, _ = ends(load, Lifetime(gate=lambda _: FixedCap(1)), spec("a", speed=STEP), spec("b", speed=STEP))
    assert found == {0: 8.0, 1: 8.0, 2: 16.0, 3: 16.0}


def test_a_program_that_fits_nowhere_leaves_its_place() -> None:
    large = conversation(1, 0.0, [Turn(8, 2), Turn(4000, 2, tool_s=1.0)], block_tokens=16)
    found, report = ends([agent(0, 0.0), large, agent(2, 0.0)], Lifetime(gate=lambda _: FixedCap(1)))
    assert report.rejected == 1
    assert found == {0: 8.0, 1: -1.0, 2: 19.0}


class Shut(FixedCap):
    """Lets nobody in."""

    def request(self, program: str, now_s: float, **known: object) -> bool:  # type: ignore[override]
        return False


def test_a_gate_that_never_opens_is_named() -> None:
    with pytest.raises(PlanError, match="ORCH-P113"):
        ends([agent(0, 0.0)], Lifetime(gate=lambda _: Shut(1)))
    with pytest.raises(PlanError, match="ORCH-P111"):
        FixedCap(0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), cap=st.sampled_from([1, 2, 5]), blocks=st.sampled_from([16, 64]))
def test_the_runtimes_admission_control_with_a_fixed_cap_is_the_fixed_cap(seed: int, cap: int, blocks: int) -> None:
    """The state machine that runs in production plugs in as it is; ``longest_s=0``: no program overtakes another."""
    load = workflows(20, seed, rate_per_s=4.0)
    still = AdmissionOptions(CapOptions(programs=cap, fixed=True), longest_s=0.0)

    def control(_: ReplicaSpec) -> Gate:
        return AdmissionControl(still)

    fixed, _ = ends(load, Lifetime(gate=lambda _: FixedCap(cap)), spec(kv_blocks=blocks))
    theirs, _ = ends(load, Lifetime(gate=control), spec(kv_blocks=blocks))
    assert theirs == fixed
    assert len(fixed) == len(load) and min(fixed.values()) > 0


def test_an_adaptive_gate_protects_the_cache() -> None:
    """Twelve conversations of 8 to 20 blocks in 64: the cap learns from what is missing in the cache."""
    turns = [Turn(120, 8), *(Turn(40, 8, tool="search", tool_s=ticks(0.5)) for _ in range(4))]
    load = [conversation(number, ticks(0.01 * number), turns, block_tokens=16) for number in range(12)]
    slow = spec(speed=ReplicaSpeed(token_s=1e-3, weight_s=0.0, kv_token_s=0.0, step_s=1e-2), step_tokens=256)
    _, alone = ends(load, Lifetime(count_recomputed=True), slow)
    _, gated = ends(load, Lifetime(gate=lambda _: AdmissionControl(), count_recomputed=True), slow)
    assert alone.replicas[0].recomputed_tokens is not None and gated.replicas[0].recomputed_tokens is not None
    assert gated.replicas[0].recomputed_tokens < 0.9 * alone.replicas[0].recomputed_tokens
