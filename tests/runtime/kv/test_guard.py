"""The guard's bound against adversaries, and paging with one predicted bit as it was measured elsewhere."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.runtime.kv.guard import LruGuard, ShadowCache


class Engine:
    """A cache that pins what is predicted to be worth it while the guard trusts that, and otherwise is LRU.

    Written to be obviously right, not fast: ``order`` is the LRU list of sessions, ``held`` their blocks.
    """

    def __init__(self, capacity: int, guard: LruGuard | None) -> None:
        self.capacity = capacity
        self.guard = guard
        self.order: list[str] = []
        self.held: dict[str, int] = {}
        self.size: dict[str, int] = {}
        self.pinned_until: dict[str, float] = {}
        self.lost = 0
        self.misses = 0

    def turn(self, session: str, blocks: int, keep_s: float, now_s: float) -> int:
        """Run a turn; returns the blocks it had to compute again."""
        self._expire(now_s)
        hit = self.held.get(session, 0)
        lost = max(min(self.size.get(session, 0), blocks) - hit, 0)
        self.misses += not hit
        self.lost += lost
        self.size[session] = blocks
        if self.guard is not None:
            self.guard.arrived(session, blocks, hit, now_s)
            if not self.guard.trusted:
                self.pinned_until.clear()
        self._place(session, blocks, inf)
        if self.guard is not None:
            self.guard.ended(session, blocks, keep_s, now_s)
        self._place(session, blocks, now_s + keep_s if keep_s else 0.0)
        return lost

    def _place(self, session: str, blocks: int, until_s: float) -> None:
        self.order = [each for each in self.order if each != session] + [session]
        self.held[session] = blocks
        self.pinned_until.pop(session, None)
        if until_s and (self.guard is None or self.guard.trusted):
            self.pinned_until[session] = until_s
        while sum(self.held.values()) > self.capacity:
            victim = next((each for each in self.order if each not in self.pinned_until), self.order[0])
            self.held[victim] -= 1
            if not self.held[victim]:
                del self.held[victim]
                self.order.remove(victim)
                self.pinned_until.pop(victim, None)

    def _expire(self, now_s: float) -> None:
        for until_s, session in sorted((until_s, session) for session, until_s in self.pinned_until.items()):
            if until_s <= now_s:
                del self.pinned_until[session]
                self.order = [each for each in self.order if each != session] + [session]


def lru(capacity: int, turns: list[tuple[str, int, float]]) -> list[int]:
    """The blocks that plain LRU loses at each turn."""
    engine = Engine(capacity, None)
    return [engine.turn(session, blocks, 0.0, float(i)) for i, (session, blocks, _) in enumerate(grown(turns))]


def grown(turns: list[tuple[str, int, float]]) -> list[tuple[str, int, float]]:
    """Sessions only grow; up to what the cache holds."""
    size: Counter[str] = Counter()
    result = []
    for session, more, keep_s in turns:
        size[session] = min(max(size[session] + more, 1), CAPACITY)
        result.append((session, size[session], keep_s))
    return result


CAPACITY = 8
adversary = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(0, 2), st.sampled_from([0.0, 2.5, 1000.0])), max_size=300
)


@settings(max_examples=150)
@given(adversary, st.sampled_from([0.0, 0.1, 0.5]), st.sampled_from([0.0, 0.5, 1.0]))
def test_no_predictions_lose_much_more_than_lru(
    turns: list[tuple[str, int, float]], epsilon: float, slack: float
) -> None:
    guard = LruGuard(CAPACITY, epsilon=epsilon, slack=slack)
    engine = Engine(CAPACITY, guard)
    lru_lost = 0
    for i, ((session, blocks, keep_s), would) in enumerate(zip(grown(turns), lru(CAPACITY, turns), strict=True)):
        engine.turn(session, blocks, keep_s, float(i))
        lru_lost += would
        assert guard.lru_lost_blocks == lru_lost
        assert guard.lost_blocks == engine.lost
        assert engine.lost <= (1 + epsilon) * lru_lost + slack * CAPACITY + 2 * CAPACITY


def test_the_bound_holds_on_a_sequence_made_to_break_it() -> None:
    """Predictions that are always wrong: keep what never comes back, discard what does at once."""
    guard = LruGuard(CAPACITY)
    engine, unguarded = Engine(CAPACITY, guard), Engine(CAPACITY, None)
    for i in range(4000):
        session, keep_s = (f"once{i}", inf) if i % 4 == 0 else (f"again{i % 4}", 0.0)
        engine.turn(session, 2, keep_s, float(i))
        unguarded.turn(session, 2, keep_s, float(i))
    assert guard.lru_lost_blocks == 0
    assert unguarded.lost > 5000
    assert engine.lost <= 3 * CAPACITY
    assert not guard.trusted


def test_trust_returns_when_predictions_are_good_again() -> None:
    """Sessions in a round are LRU's worst case: keeping half of them is worth a lot, and predictions come to say so."""
    guard = LruGuard(CAPACITY)
    engine = Engine(CAPACITY, guard)
    trusted = []
    for i in range(6000):
        session = i % 10
        good = i > 2000
        keep_s = inf if (session < 7) == good and session < 9 else 0.0
        engine.turn(str(session), 1, keep_s, float(i))
        trusted.append(guard.trusted)
    assert guard.lost_blocks < 0.75 * guard.lru_lost_blocks
    assert trusted[-1]


def test_what_it_shadows_when_predictions_are_followed_is_what_happens() -> None:
    draw = random.Random(1)
    guard = LruGuard(64, slack=1000.0)  # never loses trust
    engine = Engine(64, guard)
    size: Counter[str] = Counter()
    for i in range(2000):
        session = f"s{draw.randrange(20)}"
        size[session] = min(size[session] + draw.randrange(1, 3), 16)
        engine.turn(session, size[session], draw.choice([0.0, 5.0, 50.0]), float(i))
    assert engine.lost > 0
    assert guard.predicted_lost_blocks == guard.lost_blocks == engine.lost


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 12), st.floats(0, 20)), max_size=200))
def test_a_shadow_holds_no_more_than_its_capacity(uses: list[tuple[int, int, float]]) -> None:
    cache = ShadowCache(10)
    for i, (session, blocks, keep_s) in enumerate(uses):
        cache.use(str(session), min(blocks, 10), i + keep_s, float(i))
        assert sum(cache.held(str(each)) for each in range(201)) <= 10
        assert len(cache._idle) + len(cache._kept) <= 11
        assert len(cache._expiries) <= 2 * len(cache._kept) + 65


def test_memory_is_bounded_however_many_sessions_there_are() -> None:
    guard = LruGuard(16)
    for i in range(5000):
        guard.arrived(f"s{i}", 1, 0, float(i))
        guard.ended(f"s{i}", 1, 1e6, float(i))
    assert len(guard._known) <= 32


def test_what_cannot_come_back_is_not_kept_in_the_shadow() -> None:
    """Otherwise sessions that ended would fill it, and predictions never look better than LRU again."""
    guard = LruGuard(10)
    for i in range(100):
        guard.arrived(f"over{i}", 5, 0, float(i))
        guard.given_up(f"over{i}")
        guard.arrived("s", 4, 4, float(i), repeated=4)
        guard.ended("s", 4, 1000.0, float(i))
    assert guard.predicted_lost_blocks == 0


def test_a_client_that_costs_its_whole_prompt_each_time_ends_trust_for_a_while_only() -> None:
    guard = LruGuard(16)
    for i in range(1000):
        guard.arrived("hostile", 16, 0, float(i))
        guard.ended("hostile", 16, 0.0, float(i))
    assert not guard.trusted
    assert guard._excess <= 16 + 2 * 16


def test_after_a_reset_nothing_is_known() -> None:
    guard = LruGuard(16)
    guard.ended("s", 8, 10.0, 0.0)
    guard.reset()
    guard.arrived("s", 8, 0, 1.0)
    assert guard.lost_blocks == guard.lru_lost_blocks == 0


# The reference experiment: 16 pages, agent sessions of a page each, one bit per turn that says whether the optimum
# keeps the page until its next use.
K = 16


def agent_turns(seed: int, n: int = 5000, live: int = 24) -> list[str]:
    """Sessions of some 8 turns; half of the pauses are short, half ten times longer; one that ends is replaced."""
    draw = random.Random(seed)
    due = [(draw.expovariate(0.2), i) for i in range(live)]
    heapq.heapify(due)
    turns, started = [], live
    while len(turns) < n:
        now_s, session = heapq.heappop(due)
        turns.append(f"s{session}")
        if draw.random() < 1 / 8:
            heapq.heappush(due, (now_s + draw.expovariate(1 / 3), started))
            started += 1
        else:
            pause_s = draw.lognormvariate(0.0, 0.5) * (10.0 if draw.random() < 0.5 else 1.0)
            heapq.heappush(due, (now_s + pause_s, session))
    return turns


def optimum(turns: list[str]) -> tuple[int, list[bool]]:
    """Belady's misses, and for each turn whether the session's page is kept until its next one."""
    following, next_use = [inf] * len(turns), dict[str, float]()
    for i in reversed(range(len(turns))):
        following[i] = next_use.get(turns[i], inf)
        next_use[turns[i]] = i
    cached: dict[str, float] = {}
    last: dict[str, int] = {}
    misses, kept = 0, [False] * len(turns)
    for i, session in enumerate(turns):
        if session in cached:
            kept[last[session]] = True
        else:
            misses += 1
        cached[session], last[session] = following[i], i
        if len(cached) > K:
            del cached[max((each for each in cached if each != session), key=cached.__getitem__)]
    return misses, kept


def cost(turns: list[str], keep: list[bool], guard: LruGuard | None) -> int:
    """Misses of a cache that follows the bits as far as the guard trusts them."""
    engine = Engine(K, guard)
    for i, (session, kept) in enumerate(zip(turns, keep, strict=True)):
        engine.turn(session, 1, inf if kept else 0.0, float(i))
    return engine.misses


def test_one_predicted_bit_with_and_without_the_guard() -> None:
    """Reference: 1.00, 1.54, 2.30 times the optimum at 0, 20, 50 % wrong bits; LRU 2.15; the guard never above that."""
    turns = agent_turns(seed=7)
    best, keep = optimum(turns)
    lru_ratio = cost(turns, [True] * len(turns), None) / best
    assert lru_ratio == pytest.approx(2.15, abs=0.15)
    for wrong, reference in ((0.0, 1.0), (0.2, 1.54), (0.5, 2.3), (1.0, None)):
        draw = random.Random(int(100 * wrong))
        bits = [kept ^ (draw.random() < wrong) for kept in keep]
        followed, guarded = cost(turns, bits, None) / best, cost(turns, bits, LruGuard(K)) / best
        if reference is None:
            assert followed > 3.5
        else:
            assert followed == pytest.approx(reference, abs=0.1 * (wrong > 0))
        assert guarded <= min(followed, lru_ratio) * 1.03


@pytest.mark.parametrize("told", [True, False])
def test_what_others_take_would_be_gone_under_lru_too(told: bool) -> None:
    guard = LruGuard(100)
    for turn in range(12):
        for session in range(5):
            guard.arrived(f"s{session}", 10, 0, now_s=turn)
            guard.ended(f"s{session}", 10, 1000.0, now_s=turn)
        for chat in range(10 if told else 0):
            guard.passed(f"chat-{turn}-{chat}", 10, now_s=turn)
    assert guard.lost_blocks == 550
    assert guard.lru_lost_blocks == (550 if told else 0)
    assert guard.trusted is told
