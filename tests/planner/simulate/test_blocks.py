"""Blocks are conserved, and what is in use is never evicted."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator.planner.simulate.blocks import BlockPool


class PoolMachine(RuleBasedStateMachine):
    """Random requests that take, share, release and pin blocks, next to a plain count of what they hold."""

    @initialize(total=st.integers(4, 30))
    def start(self, total: int) -> None:
        self.pool = BlockPool(total)
        self.private = 0
        self.held: list[tuple[int, ...]] = []
        self.now = 0.0

    @rule(count=st.integers(0, 10))
    def take(self, count: int) -> None:
        if count <= self.pool.available:
            self.pool.take(count)
            self.private += count

    @rule(count=st.integers(0, 10))
    def put(self, count: int) -> None:
        count = min(count, self.private)
        self.pool.put(count)
        self.private -= count

    @rule(chain=st.integers(0, 3), length=st.integers(1, 3))
    def hold(self, chain: int, length: int) -> None:
        """As an admission followed by a prefill: use what is cached, compute and share the rest."""
        ids = tuple(10 * chain + i for i in range(length))
        hits = self.pool.match(ids, length)
        need = 2 * (length - hits)
        if need + self.pool.idle_among(ids[:hits]) > self.pool.available:
            return
        self.pool.use(ids[:hits])
        self.pool.take(need)
        for key in ids[hits:]:
            self.pool.share(key, 2)
        self.held.append(ids)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), ttl_s=st.sampled_from([0.0, 1.0, 5.0]))
    def let_go(self, data: st.DataObject, ttl_s: float) -> None:
        ids = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        if ttl_s:
            self.pool.pin(ids, self.now + ttl_s)
        self.pool.release(ids)

    @rule(seconds=st.sampled_from([0.5, 3.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.pool.expire(self.now)

    @rule(wanted=st.integers(0, 30))
    def yield_pins(self, wanted: int) -> None:
        before = self.pool.available
        self.pool.yield_pins(wanted)
        assert self.pool.available >= min(wanted, before)
        assert self.pool.available >= wanted or self.pool.next_expiry_s is None

    @invariant()
    def every_block_is_somewhere(self) -> None:
        pool = self.pool
        assert pool.free >= 0
        assert pool.free + self.private + sum(unit.blocks for unit in pool.units.values()) == pool.total
        assert pool.idle_blocks == sum(unit.blocks for unit in pool.idle.values())

    @invariant()
    def uses_are_counted(self) -> None:
        counts = {key: sum(key in ids for ids in self.held) for key in self.pool.units}
        assert {key: unit.uses for key, unit in self.pool.units.items()} == counts
        assert all(key in self.pool.units for ids in self.held for key in ids)

    @invariant()
    def idle_units_are_neither_used_nor_pinned(self) -> None:
        for key, unit in self.pool.units.items():
            pinned = unit.pinned_until_s > self.now
            assert (key in self.pool.idle) == (not unit.uses and not pinned) or not pinned


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_the_least_recently_used_end_of_a_prefix_goes_first() -> None:
    pool = BlockPool(4)
    for key in (1, 2):
        pool.take(1)
        pool.share(key, 1)
    pool.release((1, 2))
    pool.take(1)
    pool.share(3, 1)
    pool.release((3,))
    pool.take(2)
    assert set(pool.units) == {1, 3}
    pool.take(1)
    assert set(pool.units) == {3}


def test_a_pin_outlives_the_queue_until_it_expires() -> None:
    pool = BlockPool(2)
    pool.take(1)
    pool.share(7, 1)
    pool.pin((7,), until_s=5.0)
    pool.release((7,))
    assert pool.available == 1
    assert not pool.expire(4.9)
    assert pool.expire(5.0)
    assert pool.available == 2
    pool.take(2)
    assert not pool.units
