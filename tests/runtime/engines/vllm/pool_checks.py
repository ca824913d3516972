"""What must hold of a scheduler's block pool after every step, with and without pins."""

from __future__ import annotations

from collections import Counter
from typing import Any

from vllm.v1.core.sched.scheduler import Scheduler

from tests.runtime.engines.vllm.fake_worker import SALTS, Corrupted, FakeWorker


def pins_of(scheduler: Scheduler) -> list[Any]:
    """The scheduler's pins; a stock one has none."""
    return scheduler.retention.table.pins() if pins_are_kept(scheduler) else []


def pins_are_kept(scheduler: Scheduler) -> bool:
    """Whether the scheduler is ours."""
    return hasattr(scheduler, "retention")


def check_pool(scheduler: Scheduler) -> None:
    """Every reference has an owner, a request or a pin, and what nobody owns is in the free queue exactly once."""
    manager = scheduler.kv_cache_manager
    owned = Counter(
        block.block_id
        for group in manager.coordinator.single_type_managers
        for blocks in group.req_to_blocks.values()
        for block in blocks
        if not block.is_null
    )
    owned.update(block.block_id for pin in pins_of(scheduler) for block in pin.held)
    pool = manager.block_pool
    for block in pool.blocks:
        if not block.is_null and block.ref_cnt != owned[block.block_id]:
            raise AssertionError(
                f"block {block.block_id} has {block.ref_cnt} references, and {owned[block.block_id]} owners"
            )
    free = free_blocks(scheduler)
    assert len(free) == len(set(free)) == pool.get_num_free_blocks()
    assert set(free) == {block.block_id for block in pool.blocks if not block.ref_cnt and not block.is_null}


def free_blocks(scheduler: Scheduler) -> list[int]:
    """The free queue, the block to be reused first at its head."""
    queue = scheduler.kv_cache_manager.block_pool.free_block_queue
    found: list[int] = []
    block = queue.fake_free_list_head.next_free_block
    while block is not queue.fake_free_list_tail:
        assert block.next_free_block.prev_free_block is block
        found.append(block.block_id)
        block = block.next_free_block
    return found


def check_pins(scheduler: Scheduler, now_s: float) -> None:
    """Pins are within the budget, hold full blocks with references, and none is past its TTL after a step unless a
    turn of its session waits."""
    if not pins_are_kept(scheduler):
        return
    table = scheduler.retention.table
    pins = table.pins()
    held = {block.block_id for pin in pins for block in pin.held}
    assert len(held) <= table.pinned_blocks <= table.budget_blocks
    assert table.pinned_blocks <= sum(pin.blocks for pin in pins)
    waiting = {turn.session for turn in scheduler._turns.values()}
    for pin in pins:
        assert pin.blocks == len(pin.held) > 0, pin
        assert pin.session
        assert pin.expires_s >= now_s, pin
        assert pin.ends_s >= now_s or pin.session in waiting, pin
        assert all(block.block_hash is not None and block.ref_cnt > 0 for block in pin.held), pin


def check_content(scheduler: Scheduler, worker: FakeWorker, prefixes: dict[bytes, int]) -> None:
    """Every block that the prefix cache may hand out holds the prefix that its hash names."""
    for block in scheduler.kv_cache_manager.block_pool.blocks:
        if block.block_hash is None:
            continue
        name, group = bytes(block.block_hash[:-4]), int.from_bytes(block.block_hash[-4:], "big")
        last = 0 if worker.shape.groups[group] == "mamba" else worker.shape.block_tokens - 1
        if worker.slots[block.block_id, last] ^ SALTS[group] != prefixes[name]:
            raise Corrupted(f"block {block.block_id} of group {group} is cached, and does not hold what its hash says")


def check_drained(scheduler: Scheduler) -> None:
    """Nothing is queued, running or pinned, and every block is free."""
    assert not scheduler.requests
    assert not scheduler.running
    assert not len(scheduler.waiting)
    for queue in ("kv_holding_waiting", "skipped_waiting"):  # newer vLLMs have the one, older ones the other
        assert not len(getattr(scheduler, queue, ()))
    assert not pins_of(scheduler)
    if pins_are_kept(scheduler):
        assert not scheduler._turns
        retention = scheduler.retention
        assert not len(retention.intake.footprint)
        assert not retention.intake._running
        assert not any((*retention.intake.footprint._held, *retention.intake.footprint._count))
        assert not retention.intake.footprint._shared.blocks
        assert not retention.table.pinned_blocks
    pool = scheduler.kv_cache_manager.block_pool
    assert all(block.ref_cnt == 0 for block in pool.blocks if not block.is_null)
    assert pool.get_num_free_blocks() == pool.num_gpu_blocks - 1 == len(free_blocks(scheduler))
