"""Slots come back however a program ends, none is given twice, and nobody starves."""

from __future__ import annotations

from collections import Counter
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import RunError
from orchestrator.runtime.kv.admission import AdmissionControl, AdmissionOptions, CapOptions


def fixed(programs: int, **options: object) -> AdmissionOptions:
    return AdmissionOptions(CapOptions(programs=programs, fixed=True), **options)  # type: ignore[arg-type]


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
    control.request("long", 0.0, arrival_s=0.0, key_s=1e9)
    for i in range(1, 40):
        control.request(f"short{i}", float(i), arrival_s=float(i), key_s=float(i))
    order = []
    holder = "holder"
    for _ in range(40):
        control.end(holder, 50.0)
        control.finish(holder, 50.0)
        (holder,) = control.admitted()
        order.append(holder)
    assert order.index("long") in (9, 10)  # only those that arrived within 10 s of it came first


def test_the_most_urgent_of_the_turns_of_a_program_that_waits_counts() -> None:
    control = AdmissionControl(fixed(1))
    control.request("holder", 0.0)
    control.request("other", 0.0, arrival_s=0.0, key_s=5.0)
    control.request("wide", 0.0, arrival_s=0.0, key_s=9.0)
    control.request("wide", 1.0, arrival_s=0.0, key_s=3.0)
    control.request("wide", 2.0, arrival_s=0.0, key_s=7.0)
    control.end("holder", 3.0)
    control.finish("holder", 3.0)
    assert control.admitted() == ("wide",)
    for _ in range(3):
        control.end("wide", 4.0)
    control.finish("wide", 4.0)
    assert control.admitted() == ("other",)
    assert control.waiting == 0


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


def test_who_is_back_early_from_a_long_pause_may_idle_no_longer_than_others() -> None:
    control = AdmissionControl(fixed(1, idle_s=60.0))
    control.request("early", 0.0)
    control.end("early", 0.0)
    control.pause("early", 0.0, keep=True, within_s=500.0)
    control.expire(60.0)
    assert control.request("early", 100.0)
    control.end("early", 100.0)
    assert control.next_expiry_s == 160.0
    control.expire(160.0)
    assert control.request("next", 161.0)
    control.end("next", 161.0)
    control.pause("next", 161.0, keep=True, within_s=500.0)
    control.expire(500.0)  # when the first pause would have ended
    assert control.holds("next")


def test_slots_need_not_outlast_a_turn() -> None:
    control = AdmissionControl(fixed(1, idle_s=0.0))
    control.request("a", 0.0)
    control.end("a", 0.0)
    control.pause("a", 0.0, keep=True, within_s=5.0)
    assert control.request("a", 1.0)
    control.expire(5.0)
    assert control.holds("a")
    control.end("a", 6.0)
    control.expire(6.0)
    assert not control.holds("a")


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


def test_what_was_lent_and_not_taken_is_kept() -> None:
    control = AdmissionControl(fixed(1))
    control.request("a", 0.0)
    control.end("a", 0.0)
    control.lend("a")
    control.reclaim("a")
    assert not control.request("b", 1.0)


def holding(*sizes: int, room: int = 1000) -> AdmissionControl:
    """Programs `p0`, `p1`, ... in a pause, with contexts of so many tokens, on an engine whose cache holds ``room``."""
    control = AdmissionControl()
    for i in range(len(sizes)):
        assert control.request(f"p{i}", 0.0)
    control.cap.room(room)
    for i, size in enumerate(sizes):
        control.used(f"p{i}", f"p{i}", input_tokens=size, cached_tokens=0)
        control.end(f"p{i}", 0.0)
    return control


def test_lent_slots_are_taken_though_contexts_have_outgrown_the_cap() -> None:
    control = holding(600, 600)
    assert not control.request("next", 1.0, tokens=100)
    control.lend("p0")
    assert control.admitted() == ()  # p1 alone leaves no room for another like it
    control.lend("p1")
    assert control.admitted() == ("next",)
    assert control.state.held_tokens <= 1000


def test_a_small_lent_slot_is_no_room_for_a_large_program() -> None:
    control = holding(900, 50)
    control.lend("p1")
    assert not control.request("large", 1.0, tokens=400)
    assert control.holds("p1")


def test_who_does_not_want_to_wait_any_more_holds_nobody_up() -> None:
    control = holding(600)
    assert not control.request("large", 1.0, arrival_s=1.0, tokens=4000)
    control.used("p0", "p0", input_tokens=200, cached_tokens=0)
    control.forget("p0", "p0")
    assert not control.request("small", 2.0, arrival_s=2.0, tokens=10)
    control.withdraw("large")
    assert control.admitted() == ("small",)


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
