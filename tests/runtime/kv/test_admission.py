"""Admission: slots come back however a program ends, nobody starves, and the bound follows what is evicted."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import RunError
from orchestrator.runtime.kv.admission import AdmissionControl, AdmissionOptions, CapOptions, GateGroup, ProgramGate
from orchestrator.runtime.kv.cap import AdaptiveCap


def fixed(programs: int, **options: object) -> AdmissionOptions:
    return AdmissionOptions(CapOptions(programs=programs, fixed=True), **options)  # type: ignore[arg-type]


def turn(control: AdmissionControl, program: str, *, cached: int, tokens: int = 1000, now_s: float = 0.0) -> None:
    control.used(program, "s" + program, input_tokens=tokens, cached_tokens=cached, output_tokens=10)
    control.end(program, now_s)


def test_later_turns_pass_and_others_wait_until_the_program_ends() -> None:
    control = AdmissionControl(fixed(1))
    assert control.request("a", 0.0)
    assert not control.request("b", 0.0)
    control.end("a", 1.0)
    assert control.admitted() == ()
    assert control.request("a", 2.0)
    control.end("a", 3.0)
    control.finish("a", 3.0)
    assert control.admitted() == ("b",)


def test_turns_of_one_program_share_its_slot() -> None:
    control = AdmissionControl(fixed(1))
    assert control.request("a", 0.0)
    assert control.request("a", 0.0)
    control.end("a", 1.0)
    control.pause("a", 1.0, keep=False)  # the other turn still runs
    assert control.holds("a")
    control.end("a", 1.0)
    control.pause("a", 1.0, keep=False)
    assert not control.holds("a")


def test_who_gives_the_slot_back_for_a_long_pause_waits_at_the_old_place() -> None:
    control = AdmissionControl(fixed(1))
    control.request("old", 0.0, arrival_s=0.0)
    control.request("young", 1.0, arrival_s=1.0)
    control.request("younger", 2.0, arrival_s=2.0)
    control.end("old", 3.0)
    control.pause("old", 3.0, keep=False)
    assert control.admitted() == ("young",)
    assert not control.request("old", 4.0, arrival_s=0.0)
    control.end("young", 5.0)
    control.finish("young", 5.0)
    assert control.admitted() == ("old",)


def test_short_programs_first_but_nobody_is_overtaken_by_later_ones_for_ever() -> None:
    control = AdmissionControl(fixed(1, longest_s=10.0))
    control.request("holder", 0.0)
    control.request("long", 0.0, arrival_s=0.0, critical_path_s=1e9)
    for i in range(1, 40):
        control.request(f"short{i}", float(i), arrival_s=float(i), critical_path_s=0.0)
    order = []
    holder = "holder"
    for _ in range(40):
        control.end(holder, 50.0)
        control.finish(holder, 50.0)
        (holder,) = control.admitted()
        order.append(holder)
    assert order.index("long") in (9, 10)  # only those that arrived within 10 s of it came first


def test_a_slot_whose_program_is_gone_is_taken_back() -> None:
    control = AdmissionControl(fixed(1, idle_s=60.0, longest_pause_s=300.0))
    control.request("gone", 0.0)
    control.end("gone", 1.0)
    assert not control.request("next", 2.0)
    control.expire(60.9)
    assert control.admitted() == ()
    assert control.next_expiry_s == 61.0
    control.expire(61.0)
    assert control.admitted() == ("next",)
    control.end("next", 62.0)
    control.pause("next", 62.0, keep=True, within_s=inf)
    assert not control.request("third", 361.0)
    control.expire(362.5)
    assert control.admitted() == ("third",)
    assert control.state.expired == 2


def test_a_running_turn_is_never_expired() -> None:
    control = AdmissionControl(fixed(1, idle_s=1.0))
    control.request("a", 0.0)
    control.end("a", 0.0)
    control.request("a", 0.5)
    control.expire(100.0)
    assert control.holds("a")
    control.end("a", 100.0)
    control.expire(100.9)
    assert control.holds("a")
    control.expire(202.0)
    assert not control.holds("a")


def test_too_many_waiting_programs_are_refused_with_advice() -> None:
    control = AdmissionControl(fixed(1, most_waiting=2))
    for name in "abc":
        control.request(name, 0.0)
    with pytest.raises(RunError, match="wait for this engine") as caught:
        control.request("d", 0.0)
    assert caught.value.code == "ORCH-R060"
    assert "replicas" in str(caught.value)
    assert not control.request("b", 0.0)  # one that waits already may ask for another turn


def test_options_are_checked_together() -> None:
    with pytest.raises(RunError, match=r"programs .*decrease .*increase") as caught:
        CapOptions(programs=0.5, decrease=1.0, increase=0.0)
    assert caught.value.code == "ORCH-R061"


def test_no_program_waits_for_a_program_that_waits_elsewhere() -> None:
    control = AdmissionControl(fixed(1))
    control.request("a", 0.0)
    control.end("a", 0.0)
    control.lend("a")
    assert control.holds("a")  # nobody wants it yet
    assert control.request("b", 1.0)
    assert not control.holds("a")


def test_a_slot_lent_during_a_turn_can_be_had_after_it() -> None:
    control = AdmissionControl(fixed(1))
    control.request("a", 0.0)
    control.lend("a")
    assert not control.request("b", 1.0)
    control.end("a", 2.0)
    assert control.admitted() == ("b",)


def test_nothing_is_decided_until_a_decrease_has_taken_effect() -> None:
    cap = AdaptiveCap(CapOptions(decrease=0.5))

    def lossy_round(held: float) -> bool:
        cap.observe(1000, 0)
        return [cap.turn_over(4, held, 0) for _ in range(4)][-1]

    cap.turn_over(4, 4000.0, 0)
    assert lossy_round(4000.0)
    assert cap.tokens == 2000.0
    assert not lossy_round(4000.0)  # more is held than the bound allows
    assert not lossy_round(2000.0)
    assert cap.tokens == 2000.0
    assert lossy_round(2000.0)


def test_what_was_lent_and_not_taken_is_kept() -> None:
    control = AdmissionControl(fixed(1))
    control.request("a", 0.0)
    control.end("a", 0.0)
    control.lend("a")
    control.reclaim("a")
    assert not control.request("b", 1.0)


def test_loss_lowers_the_bound_and_the_youngest_give_way() -> None:
    control = AdmissionControl(AdmissionOptions(CapOptions(programs=8, decrease=0.5)))
    names = [f"p{i}" for i in range(8)]
    for i, name in enumerate(names):
        assert control.request(name, 0.0, arrival_s=float(i))
    for name in names:
        turn(control, name, cached=0)
    for _ in range(2):
        for name in names:
            if control.holds(name):
                assert control.request(name, 1.0)
                turn(control, name, cached=100)
    state = control.state
    assert state.cap_tokens < 8 * 1010
    assert state.held_tokens <= state.cap_tokens
    assert [control.holds(name) for name in names] == [True] * state.active + [False] * (8 - state.active)
    assert 1 <= state.active < 8


def test_without_loss_or_waiting_nothing_changes() -> None:
    control = AdmissionControl()
    for _ in range(100):
        assert control.request("a", 0.0)
        turn(control, "a", cached=990)
    assert (control.state.cap_programs, control.state.cap_tokens) == (8.0, inf)


def test_the_bound_doubles_while_programs_wait_and_nothing_is_lost() -> None:
    control = AdmissionControl(AdmissionOptions(CapOptions(programs=2)))
    names = [f"p{i}" for i in range(64)]
    running = [name for name in names if control.request(name, 0.0)]
    assert len(running) == 2
    for _ in range(8):
        for name in running:
            turn(control, name, cached=990)
        running += control.admitted()
        for name in running:
            if control.holds(name):
                control.request(name, 1.0)
    assert control.active == 64


def test_an_engine_that_reports_no_cached_tokens_is_not_limited_in_the_end() -> None:
    control = AdmissionControl()
    ready = _agents(control, 20)
    assert _hits_in(control, ready, room=0, turns=120) == 0
    assert control.cap.open
    assert control.active == 20
    _hits_in(control, ready, room=100, turns=600)
    assert not control.cap.open  # tried again after a while, and now there is a cache
    assert control.active == 20


def test_losses_that_fewer_programs_do_not_cure_are_not_held_against_them() -> None:
    """A balancer sends every second turn to a server that does not know the session."""
    control = AdmissionControl()
    limited = 0
    turns = 4000
    for _ in _turns(control, _agents(control, 20), turns, lambda _, i: i % 2 == 0):
        limited += control.active < 20
    assert limited < 0.2 * turns


def test_an_engine_that_evicts_everything_is_not_taken_for_one_that_reports_nothing() -> None:
    """Twelve programs under LRU with room for four: each finds nothing, until fewer run at once."""
    control = AdmissionControl(AdmissionOptions(CapOptions(programs=16)))
    assert _hits_in(control, _agents(control, 12), room=4, turns=400) > 200
    assert not control.cap.open
    assert control.active <= 5


def _agents(control: AdmissionControl, count: int) -> list[str]:
    """Agents that always have a next turn; those that may run."""
    return [name for i in range(count) if control.request(name := f"p{i}", 0.0, arrival_s=float(i))]


def _turns(control: AdmissionControl, ready: list[str], turns: int, hits: Callable[[str, int], bool]) -> Iterator[bool]:
    """Serve agents of 1,000 tokens round robin; whether each turn found its KV."""
    for i in range(turns):
        name = ready.pop(0)
        hit = hits(name, i)
        turn(control, name, cached=960 if hit else 0, now_s=float(i))
        ready += control.admitted()
        if control.request(name, float(i), arrival_s=float(name[1:])):
            ready.append(name)
        ready += control.admitted()
        yield hit


def _hits_in(control: AdmissionControl, ready: list[str], *, room: int, turns: int) -> int:
    """How many of the turns are hits in an LRU cache for ``room`` agents."""
    cache: OrderedDict[str, None] = OrderedDict()

    def hits(name: str, _: int) -> bool:
        hit = name in cache
        cache[name] = None
        cache.move_to_end(name)
        if len(cache) > room:
            cache.popitem(last=False)
        return hit

    return sum(_turns(control, ready, turns, hits))


def test_room_that_an_engine_tells_is_used_from_the_start() -> None:
    control = AdmissionControl()
    control.cap.room(40_000)
    admitted = [control.request(f"p{i}", 0.0, tokens=1000) for i in range(30)]
    assert admitted == [True] * 20 + [False] * 10  # twice their prompts, more than slow start begins with
    for i in range(20):
        turn(control, f"p{i}", cached=0, tokens=3000, now_s=1.0)
    assert control.active == 20  # they grew, and nothing was lost so far
    control.finish("p0", 2.0)
    assert control.admitted() == ()


OPS = st.tuples(
    st.sampled_from(["request", "end", "fail", "pause", "leave", "finish", "lend", "reclaim", "withdraw", "tick"]),
    st.integers(0, 6),
    st.integers(0, 1000),
)


class Schedule:
    """An admission control and what it should know."""

    def __init__(self, options: AdmissionOptions) -> None:
        self.control = AdmissionControl(options)
        self.running: Counter[str] = Counter()
        self.waiting: Counter[str] = Counter()
        self.now_s = 0.0

    def do(self, op: str, number: int, amount: int) -> None:
        name = f"p{number}"
        if op == "request":
            runs = self.control.request(name, self.now_s, arrival_s=float(number), tenant="ab"[number % 2])
            (self.running if runs else self.waiting)[name] += 1
        elif op in ("pause", "leave"):
            self.control.pause(name, self.now_s, keep=op == "pause", within_s=amount / 100)
        elif op == "finish" and not self.running[name] and not self.waiting[name]:
            self.control.finish(name, self.now_s)
        elif op in ("lend", "reclaim"):
            getattr(self.control, op)(name)
        elif op == "withdraw" and self.waiting[name]:
            self.waiting[name] -= 1
            self.control.withdraw(name)
        elif op == "tick":
            self.now_s += amount / 100
            self.control.expire(self.now_s)
        elif op in ("end", "fail") and self.running[name]:
            self.control.used(name, name, input_tokens=1000 + amount, cached_tokens=amount, output_tokens=amount)
            self.running[name] -= 1
            self.control.end(name, self.now_s, failed=op == "fail")
        self.let_in()

    def let_in(self) -> None:
        for name in self.control.admitted():
            self.running[name] += self.waiting.pop(name)

    def check(self) -> None:
        control = self.control
        holding = [each for each in control._programs.values() if each.active]
        assert control.active == len(holding)
        assert control.state.held_tokens == pytest.approx(sum(each.held for each in holding))
        assert control.waiting == sum(1 for count in self.waiting.values() if count)
        assert all(control.holds(each) for each, count in self.running.items() if count)
        assert control.active or not control.waiting
        if control.options.cap.fixed:
            assert control.active <= control.options.cap.programs

    def run_out(self) -> None:
        """End everything that runs, again and again."""
        for _ in range(20):
            for name, count in list(self.running.items()):
                for _ in range(count):
                    self.control.end(name, self.now_s)
                del self.running[name]
                self.control.finish(name, self.now_s)
            self.now_s += 700.0
            self.control.expire(self.now_s)
            self.let_in()


@settings(max_examples=100, deadline=None)
@given(st.lists(OPS, max_size=60), st.integers(1, 3), st.booleans(), st.integers(0, 2000))
def test_who_finds_room_is_admitted_at_once(
    ops: list[tuple[str, int, int]], programs: int, fixed: bool, tokens: int
) -> None:
    schedule = Schedule(AdmissionOptions(CapOptions(programs=programs, fixed=fixed), idle_s=5.0))
    for op in ops:
        schedule.do(*op)
    control = schedule.control
    control.expire(schedule.now_s)
    schedule.let_in()
    room, before = control.has_room(tokens), control.state
    admitted = control.request("new", schedule.now_s, tokens=tokens)
    assert room == (admitted and control.state.returned == before.returned)
    assert not (room and before.waiting)


@settings(max_examples=100, deadline=None)
@given(st.lists(OPS, max_size=60), st.integers(1, 3), st.booleans())
def test_slots_are_exact_in_any_schedule(ops: list[tuple[str, int, int]], programs: int, fixed: bool) -> None:
    schedule = Schedule(AdmissionOptions(CapOptions(programs=programs, fixed=fixed), idle_s=5.0))
    for op in ops:
        schedule.do(*op)
        schedule.check()
    schedule.run_out()
    control = schedule.control
    assert not +schedule.waiting  # everybody who waited ran in the end, whatever came before
    assert control.active == control.waiting == 0
    assert control.state.held_tokens == 0
    assert not control._programs
    assert len(control._deadlines) <= 64


def test_a_replica_that_lost_its_cache_has_no_idle_slots_and_no_evidence() -> None:
    control = AdmissionControl(fixed(2))
    for name in "ab":
        control.request(name, 0.0)
    control.end("a", 1.0)
    assert not control.request("c", 2.0)
    control.clear()
    assert control.admitted() == ("c",)
    assert [control.holds(name) for name in "abc"] == [False, True, True]


async def test_cancellation_errors_and_closed_streams_leave_no_slot_taken() -> None:
    for seed in range(15):
        await _random_schedule(random.Random(seed))


async def _random_schedule(rng: random.Random) -> None:
    gate = ProgramGate(fixed(rng.randint(1, 3)), clock=asyncio.get_running_loop().time)
    inside = 0

    async def program(name: str) -> None:
        nonlocal inside
        try:
            for _ in range(rng.randint(1, 4)):
                async with gate.turn(name, arrival_s=rng.random()):
                    inside += 1
                    try:
                        for _ in range(rng.randint(0, 3)):
                            await asyncio.sleep(0)
                        if rng.random() < 0.2:
                            raise ValueError
                    finally:
                        inside -= 1
                gate.pause(name, keep=rng.random() < 0.5)
                await asyncio.sleep(0)
        finally:
            gate.finish(name)

    tasks = [asyncio.create_task(program(f"p{i}")) for i in range(12)]
    for _ in range(40):
        await asyncio.sleep(0)
        if rng.random() < 0.3:
            rng.choice(tasks).cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert inside == 0
    assert (gate.state.active, gate.state.waiting) == (0, 0)
    assert not gate._waiting
    assert not gate.group._waiting
    gate.close()


async def test_a_slot_that_comes_with_the_cancellation_goes_on() -> None:
    gate = ProgramGate(fixed(1))
    first = gate.turn("a")
    await first.__aenter__()

    async def wait() -> None:
        async with gate.turn("b"):
            pytest.fail("the turn was cancelled before it began")

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    await first.__aexit__(None, None, None)
    gate.finish("a")
    assert gate.control.holds("b")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert gate.state.active == 0


async def test_a_timer_takes_back_the_slot_of_a_program_that_is_gone() -> None:
    gate = ProgramGate(fixed(1, idle_s=0.01), clock=asyncio.get_running_loop().time)
    async with gate.turn("gone"):
        pass
    async with asyncio.timeout(20), gate.turn("next") as entered:
        assert entered.queued_s > 0
    gate.close()


async def test_programs_that_need_two_gates_do_not_block_each_other() -> None:
    group = GateGroup()
    gates = [ProgramGate(fixed(1), name=name, group=group) for name in ("left", "right")]

    async def program(name: str, order: list[int]) -> None:
        for index in order * 3:
            async with gates[index].turn(name):
                await asyncio.sleep(0)
            gates[index].pause(name, keep=True)
            await asyncio.sleep(0)
        for gate in gates:
            gate.finish(name)

    async with asyncio.timeout(20):  # far below the 60 s after which idle slots are taken back
        await asyncio.gather(program("a", [0, 1]), program("b", [1, 0]), program("c", [0, 1]))
    assert [gate.state.active for gate in gates] == [0, 0]


async def test_an_engine_without_cached_tokens_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    gate = ProgramGate(name="far away")
    for _ in range(10):
        async with gate.turn("a") as one:
            one.used("s", input_tokens=500, cached_tokens=0)
    assert gate.state.open
    assert [record.message.split("`")[1] for record in caplog.records] == ["far away"]
