"""The harness holds on vLLM's own schedulers, and its checks see what they are there to see."""

from __future__ import annotations

import random
from typing import Any

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed")

from tests.runtime.engines.vllm.engine_loop import EngineLoop
from tests.runtime.engines.vllm.fake_worker import Corrupted, greedy
from tests.runtime.engines.vllm.pool_checks import check_drained, check_pool
from tests.runtime.engines.vllm.programs import tokens
from tests.runtime.engines.vllm.schedulers import KEPT, REFUSED, Shape, request_of, stock

ENGINES = KEPT | REFUSED
every_kind = pytest.mark.parametrize("shape", ENGINES.values(), ids=list(ENGINES))


def traffic(loop: EngineLoop, rng: random.Random, steps: int = 60, requests: int = 16) -> None:
    """Requests with common prefixes, aborts and cache resets, at random."""
    bases = [tokens(rng, 40) for _ in range(3)]
    for at in range(steps):
        if rng.random() < 0.3 and len(loop.answers) < requests:
            prompt = rng.choice(bases)[: rng.randint(1, 40)] + tokens(rng, rng.randint(0, 100))
            stop = (7,) if rng.random() < 0.4 else ()
            loop.submit(request_of(loop.shape, f"r{at}", prompt, rng.randint(1, 40), stop=stop))
        if rng.random() < 0.03 and loop.live:
            loop.abort(rng.choice(loop.live))
        if rng.random() < 0.02:
            loop.scheduler.reset_prefix_cache(reset_running_requests=rng.random() < 0.5)
        if loop.busy:
            loop.step()
    loop.drain()


@every_kind
def test_random_traffic(shape: Shape) -> None:
    preempted = 0
    for seed in range(6):
        loop = EngineLoop(stock(shape), shape)
        traffic(loop, random.Random(seed))
        loop.settle()
        check_drained(loop.scheduler)
        preempted += sum(request.num_preemptions for request in loop.finished.values())
    assert preempted, "too much memory to say anything"


def _two_turns(loop: EngineLoop) -> None:
    prompt = tokens(random.Random(1), 70)
    loop.submit(request_of(loop.shape, "first", prompt, 8))
    loop.drain()
    loop.submit(request_of(loop.shape, "second", prompt + loop.answers["first"], 8))
    loop.drain()


def test_a_prefix_hit_spares_computing() -> None:
    shape = Shape(blocks=48, max_batch_tokens=256)
    loop = EngineLoop(stock(shape), shape)
    _two_turns(loop)
    assert loop.worker.computed_tokens == (70 + 7) + (78 - 64 + 7)


@pytest.mark.parametrize("groups", [("full",), ("full", "sliding"), ("full", "mamba")])
def test_a_block_that_was_overwritten_is_seen(groups: tuple[str, ...]) -> None:
    shape = Shape(blocks=48, groups=groups)
    loop = EngineLoop(stock(shape), shape, checked=10**9)

    def spoil(output: Any) -> None:
        if any(new.req_id == "second" for new in output.scheduled_new_reqs):
            loop.worker.slots[output.scheduled_new_reqs[0].block_ids[-1][3]] = 1

    loop.on_schedule = spoil
    with pytest.raises(Corrupted, match="second"):
        _two_turns(loop)


def test_a_block_that_is_freed_too_early_is_seen() -> None:
    shape = Shape()
    loop = EngineLoop(stock(shape), shape, checked=10**9)
    rng = random.Random(2)
    loop.submit(request_of(shape, "owner", tokens(rng, 60), 60))
    loop.step()
    pool = loop.scheduler.kv_cache_manager.block_pool
    block = pool.blocks[loop.worker.rows["owner"].blocks[0][0]]
    pool.free_blocks([block])
    with pytest.raises(AssertionError, match="0 references, and 1 owners"):
        check_pool(loop.scheduler)
    for at in range(8):
        loop.submit(request_of(shape, f"r{at}", tokens(rng, 40), 4))
    with pytest.raises(Corrupted, match="owner"):
        loop.drain()


def test_a_leaked_block_is_seen() -> None:
    shape = Shape()
    loop = EngineLoop(stock(shape), shape)
    loop.scheduler.kv_cache_manager.block_pool.get_new_blocks(1)
    with pytest.raises(AssertionError, match="1 references, and 0 owners"):
        check_pool(loop.scheduler)


def test_a_cached_block_with_another_content_is_seen() -> None:
    shape = Shape(blocks=48)
    loop = EngineLoop(stock(shape), shape)
    loop.submit(request_of(shape, "first", tokens(random.Random(3), 70), 8))
    loop.step()
    loop.worker.slots[loop.worker.rows["first"].blocks[0][0], -1] = 1
    with pytest.raises(Corrupted):
        loop.drain()


def test_the_expected_answer_depends_on_every_token() -> None:
    shape = Shape(groups=("full", "mamba"), blocks=48)
    prompt = tokens(random.Random(4), 50)
    answers = {tuple(greedy(shape, [*prompt[:at], 1, *prompt[at + 1 :]], 6)) for at in range(50)}
    assert len(answers) == 50
    assert tuple(greedy(shape, prompt, 6)) not in answers
