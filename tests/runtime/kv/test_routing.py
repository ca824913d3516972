"""Routing: sessions stay where their KV is, until moving is quicker or the replica leaves service."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import RunError
from orchestrator.planner.policies import POLICIES
from orchestrator.planner.policies.migration import migrate_between_turns
from orchestrator.planner.policies.view import ReplicaView, RequestView
from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.kv import routing
from orchestrator.runtime.kv.admission import AdmissionOptions, CapOptions, ProgramGate
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.replica_load import Call, ReplicaLoad
from orchestrator.runtime.kv.routing import RoutingOptions, StickyRouter


def router(replicas: int = 2, **options: object) -> StickyRouter:
    one_program = AdmissionOptions(CapOptions(programs=1, fixed=True))
    gates = [ProgramGate(one_program, clock=lambda: 0.0) for _ in range(replicas)]
    return StickyRouter(gates, RoutingOptions(**options))  # type: ignore[arg-type]


def placed(of: StickyRouter, program: str, session: str = "", *, tokens: int = 1000, now_s: float = 0.0) -> int:
    """Place a call and run it to its end."""
    call = of.call(program, session or program, now_s, prompt_tokens=tokens)
    index = of.place(call, now_s)
    of.loads[index].begun(call)
    of.loads[index].remember(call, Usage(tokens, 0, 50))
    of.left(index, call)
    return index


def busy(of: StickyRouter, index: int, calls: int, tokens: int) -> list[Call]:
    """Calls of other programs that wait for their prompts to be read."""
    several = [of.call(f"other{i}", f"other{i}", 0.0, prompt_tokens=tokens) for i in range(calls)]
    for call in several:
        of.loads[index].begun(call)
    return several


def test_first_calls_spread_and_sessions_stay() -> None:
    of = router()
    first = placed(of, "a")
    others = busy(of, first, 2, 3000)
    assert placed(of, "b") != first
    for call in others:
        of.left(first, call)
    assert [placed(of, "a", tokens=1000 + 100 * i) for i in range(5)] == [first] * 5
    assert of.moves == 0


def test_a_session_moves_when_the_queue_costs_more_than_its_prompt() -> None:
    of = router()
    home = placed(of, "a", tokens=8000)
    others = busy(of, home, 3, 2000)
    assert placed(of, "a", tokens=8100) == home  # 6,000 tokens ahead, 8,000 to compute again
    others += busy(of, home, 3, 9000)
    assert placed(of, "a", tokens=8200) != home
    for call in others:
        of.left(home, call)
    assert placed(of, "a", tokens=8300) != home  # its KV is over there now
    assert of.moves == 1


def test_a_wait_for_a_slot_counts_unless_the_program_holds_one() -> None:
    of = router()
    home = placed(of, "a", tokens=100)
    gate = of._gates[home]
    gate.control.request("holder", 0.0)
    for i in range(20):
        gate.control.request(f"w{i}", 0.0)
    call = of.call("a", "a", 0.0, prompt_tokens=200)
    assert of.done_s(call, of.loads[home], 0.0) > 20 * of.loads[home].turn_s
    gate.control.end("holder", 0.0)
    gate.control.finish("holder", 0.0)
    held = of.call("w0", "w0", 0.0, prompt_tokens=200)
    assert of.done_s(held, of.loads[home], 0.0) < 10
    assert placed(of, "a", tokens=200) != home


def test_new_sessions_of_a_program_share_its_prefix_but_a_wide_one_spreads() -> None:
    of = router()
    home = placed(of, "a", "a/0", tokens=1000)
    assert placed(of, "a", "a/1", tokens=1000) == home
    wide = []
    for i in range(40):
        call = of.call("a", f"a/b{i}", 0.0, prompt_tokens=1000)
        index = of.place(call, 0.0)
        of.loads[index].begun(call)
        wide.append(index)
    assert min(Counter(wide)[index] for index in range(2)) >= 10


async def test_drain_moves_sessions_at_their_next_turn_and_waits_for_running_ones() -> None:
    of = router()
    home = placed(of, "a")
    running = of.call("b", "b", 0.0, prompt_tokens=10)
    of.loads[home].begun(running)
    of.drain(home)
    of.drain(home)
    assert placed(of, "a") != home
    assert all(placed(of, f"new{i}") != home for i in range(10))
    waiting = asyncio.create_task(of.drained(home))
    await asyncio.sleep(0)
    assert not waiting.done()
    of.left(home, running)
    async with asyncio.timeout(5):
        await waiting
    of.undrain(home)
    busy(of, 1 - home, 3, 3000)
    assert placed(of, "fresh") == home


async def test_the_last_replica_cannot_be_drained() -> None:
    of = router()
    of.drain(0)
    with pytest.raises(RunError) as caught:
        of.drain(1)
    assert caught.value.code == "ORCH-R063"
    of.undrain(0)
    of.drain(1)
    await of.drained(1)
    await of.drained(0)  # not being drained


def test_only_replicas_that_there_are_can_be_drained() -> None:
    of = router()
    for index in (-1, 2):
        with pytest.raises(IndexError):
            of.drain(index)
    of.drain(1)


def test_a_dead_replica_is_left_alone_for_a_while() -> None:
    of = router(retry_down_s=30.0)
    home = placed(of, "a")
    of.down(home, 100.0)
    assert placed(of, "a", now_s=101.0) != home
    assert placed(of, "b", now_s=129.0) != home
    busy(of, 1 - home, 5, 5000)
    assert placed(of, "c", now_s=130.0) == home


def test_when_nothing_is_left_the_error_says_so() -> None:
    of = router()
    of.drain(0)
    call = of.call("a", "a", 0.0, prompt_tokens=10)
    with pytest.raises(RunError) as caught:
        of.place(call, 0.0, avoid={1})
    assert caught.value.code == "ORCH-R062"
    assert not of.can_place({1})


def test_programs_that_are_over_or_long_gone_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "MOST_PROGRAMS", 10)
    of = router()
    for i in range(100):
        placed(of, f"p{i}", f"s{i}")
    assert len(of._programs) == len(of._owners) == 10
    assert sum(len(load.sessions) for load in of.loads) == 10
    for i in range(100):
        of.finish(f"p{i}")
    assert not of._programs
    assert not of._owners
    assert not any(load.sessions or load.prefixes for load in of.loads)
    assert len(of._last_homes) == 10


def test_a_session_that_is_over_is_forgotten_and_the_place_of_its_program_is_not() -> None:
    of = router()
    home = placed(of, "a", "s1")
    placed(of, "a", "s2")
    of.forget("s1")
    assert of.home("s1") is None
    assert of.home("s2") == ("a", home)
    of.forget("s2")
    assert of.home("s2") == ("a", home)
    assert not of.loads[home].sessions


@pytest.mark.parametrize("name", POLICIES)
def test_every_dispatch_policy_of_the_planner_places_programs(name: str) -> None:
    of = router(3, policy=POLICIES[name]())
    places = [placed(of, f"p{i}") for i in range(9)]
    assert set(places) <= {0, 1, 2}
    busy(of, 0, 4, 4000)
    busy(of, 1, 4, 4000)
    if name != "round-robin+fcfs":
        assert placed(of, "next") == 2


def test_a_reply_is_expected_to_be_as_long_as_those_of_its_step_were() -> None:
    of = router()

    def expected(workflow: str, step: str) -> float:
        hint = KvHint(workflow=workflow)
        return of.call("p", "s", 0.0, prompt_tokens=10, hint=hint, step=step).predicted_output_tokens

    unknown = expected("flow", "judge")
    for _ in range(50):
        judged = of.call("p", "s", 0.0, prompt_tokens=10, hint=KvHint(workflow="flow"), step="judge")
        of.replied(judged, 3.0)
    assert expected("flow", "judge") == pytest.approx(3.0)
    assert expected("flow", "write") == expected("other", "judge") == unknown


def test_steps_that_were_not_heard_of_for_long_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.runtime.kv.routing.MOST_STEPS", 2)
    of = router()
    for step in "abac":
        of.replied(of.call("p", "s", 0.0, prompt_tokens=10, step=step), 3.0)
    assert list(of._replies) == ["/a", "/c"]


def test_loads_are_views_for_the_planner() -> None:
    load = ReplicaLoad(0, kv_tokens=16_000)
    view: ReplicaView = load
    call = Call(0, "s", "p", 0, 1000, 100.0, 0.0, 0.0)
    request: RequestView = call
    load.begun(call)
    assert (view.running_count, view.context_tokens(0.0)) == (1, 1000)
    assert view.free_blocks(0.0) == (16_000 - 1000 + 15) // 16
    assert migrate_between_turns(request, [view, ReplicaLoad(1, kv_tokens=16_000)], 0.0) == 1


def test_speeds_are_learned_from_replies() -> None:
    load = ReplicaLoad(0)
    for _ in range(50):
        load.learn(Usage(2000, 0, 101), 1.0, 6.0)
    assert load.prefill_s_per_token == pytest.approx(1 / 2000)
    assert load.decode_s == pytest.approx(5 / 101)
    assert load.turn_s == pytest.approx(6.0)
    load.learn(Usage(2000, 0, 101), 9.0, 14.0)  # waited in the engine's queue
    assert load.prefill_s_per_token < 1.2 / 2000


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["call", "end", "drain", "undrain", "down", "finish", "forget"]),
            st.integers(0, 5),
            st.integers(0, 2),
        ),
        max_size=60,
    )
)
def test_calls_never_go_to_a_replica_out_of_service(ops: list[tuple[str, int, int]]) -> None:
    of = router(3)
    draining: set[int] = set()
    running: list[tuple[int, Call]] = []
    for now, (op, program, index) in enumerate(ops):
        if op == "call":
            call = of.call(f"p{program}", f"p{program}/{index}", float(now), prompt_tokens=100 * (1 + program))
            chosen = of.place(call, float(now))
            assert chosen not in draining
            assert of.home(call.session) == (call.owner, chosen)
            of.loads[chosen].begun(call)
            of.loads[chosen].remember(call, Usage(100, 0, 1))
            running.append((chosen, call))
        elif op == "end" and running:
            of.left(*running.pop(program % len(running)))
        elif op == "drain" and len(draining | {index}) < 3:
            of.drain(index)
            draining.add(index)
        elif op == "undrain":
            of.undrain(index)
            draining.discard(index)
        elif op == "down":
            of.down(index, float(now))
        elif op == "finish":
            of.finish(f"p{program}")
        elif op == "forget":
            of.forget(f"p{program}/{index}")
        for each in draining:
            assert of._draining[each].is_set() == (each not in {place for place, _ in running})
    resident = {session for load in of.loads for session in load.sessions}
    assert resident <= set(of._owners)
