"""What pins may never do, on vLLM's real schedulers with small KV spaces: leak, block, corrupt, or touch who hints not.

Every step of every loop is checked (see :mod:`tests.runtime.engines.vllm.pool_checks`), and every answer is compared
with the one that the prompt has without a cache.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("vllm", reason="vLLM is not installed")

from vllm.v1.core.sched.interface import PauseState
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler

from orchestrator.runtime.kv.hints import PREFIX, SESSION_ARGUMENT, KvHint
from tests.runtime.engines.vllm.chats import Mixture
from tests.runtime.engines.vllm.engine_loop import EngineLoop
from tests.runtime.engines.vllm.pool_checks import check_drained, free_blocks, pins_of
from tests.runtime.engines.vllm.programs import Manners, Programs, hinted, tokens
from tests.runtime.engines.vllm.schedulers import FOREVER, KEPT, REFUSED, Shape, ours, request_of, stock

every_kind = pytest.mark.parametrize("shape", KEPT.values(), ids=list(KEPT))
ARGUMENTS = [*(PREFIX + field.name for field in fields(KvHint)), SESSION_ARGUMENT]
SMALL = [
    Shape(blocks=9, max_requests=4, overlapped=overlapped, max_batch_tokens=batch)
    for overlapped in (False, True)
    for batch in (24, 64)
]


def played(shape: Shape, seed: int, manners: Manners, **retention: Any) -> EngineLoop:
    loop = EngineLoop(ours(shape, **retention), shape)
    Programs(loop, seed, manners).play()
    return loop


@every_kind
@pytest.mark.parametrize("retention", [FOREVER, {"budget": 0.5}], ids=["forever", "default"])
def test_after_drain_every_block_is_free(shape: Shape, retention: dict[str, Any]) -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(4):
        loop = played(shape, seed, Manners(), **retention)
        loop.settle()
        check_drained(loop.scheduler)
        outcomes.update(loop.scheduler.retention.table.outcomes)
    assert outcomes["pinned"], outcomes


def test_what_fits_an_empty_cache_runs_whatever_is_pinned() -> None:
    """1,000 schedules of programs that pin all memory forever; the engine is never allowed to wait for a TTL."""
    manners = Manners(ticks=20, arrivals=0.45, answer=8, jumps=0.0, lost=0.4, pause_s=0.1)
    outcomes: Counter[str] = Counter()
    for seed in range(1000):
        shape = SMALL[seed % len(SMALL)]
        loop = EngineLoop(ours(shape, **FOREVER), shape, checked=5)
        Programs(loop, seed, manners).play()
        outcomes.update(loop.scheduler.retention.table.outcomes)
    assert outcomes["evicted"] > 1000, outcomes


def _memory_is_pinned(loop: EngineLoop) -> None:
    """Sessions that pin every block, and are not coming back."""
    blocks = loop.shape.blocks
    rng = random.Random(0)
    for at in range(blocks // 4):
        hinted(loop, f"pinner{at}", tokens(rng, 3 * loop.shape.block_tokens), 17, f"session{at}", pin_ttl_s=1e9)
        loop.drain()
    held = sum(len(pin.held) for pin in pins_of(loop.scheduler))
    assert held >= blocks - 4


@pytest.mark.parametrize("overlapped", [False, True])
@pytest.mark.parametrize("hints", [{"program": "late"}, None], ids=["hinted", "unhinted"])
def test_the_longest_request_evicts_every_pin(overlapped: bool, hints: dict[str, Any] | None) -> None:
    shape = Shape(overlapped=overlapped)
    loop = EngineLoop(ours(shape, **FOREVER), shape)
    _memory_is_pinned(loop)
    prompt = tokens(random.Random(1), shape.longest - 4)
    if hints is None:
        loop.submit(request_of(shape, "long", prompt, 4))
    else:
        hinted(loop, "long", prompt, 4, "late", **hints)
    loop.drain()
    assert "long" in loop.finished


@pytest.mark.parametrize("overlapped", [False, True])
@pytest.mark.parametrize(
    ("blocks", "slots"), [pytest.param(24, 8, id="memory is scarce"), pytest.param(48, 1, id="slots are scarce")]
)
def test_sessions_that_never_end_starve_nobody(blocks: int, slots: int, overlapped: bool) -> None:
    """Two sessions that always run or are pinned: a program that came later gets its turn all the same."""
    shape = Shape(overlapped=overlapped, blocks=blocks, max_requests=slots)
    loop = EngineLoop(ours(shape, **FOREVER), shape, step_s=0.1, checked=50)
    rng = random.Random(5)
    texts = {name: tokens(rng, 128) for name in ("a", "b")}
    turns = 0
    for at in range(6000):
        for name, text in texts.items():
            if not any(live.startswith(name) for live in loop.live):
                turns += 1
                hinted(loop, f"{name}{turns}", text, 6 + turns % 5, name, program=name, pin_ttl_s=1e9)
        if at == 20:
            assert len(loop.live) == 2
            hinted(loop, "late", tokens(rng, 200), 4, "late", program="late")
        if "late" in loop.step():
            return
    raise AssertionError(f"still waiting after {loop.clock.now_s - 1000:.0f} s and {turns} turns of others")


def log_of(scheduler: Scheduler, shape: Shape, seed: int) -> tuple[list[Any], EngineLoop]:
    """Every decision of an engine that only chats reach."""
    loop = EngineLoop(scheduler, shape)
    log: list[Any] = []

    def note(output: SchedulerOutput) -> None:
        cached = output.scheduled_cached_reqs
        log.append(
            (
                [(new.req_id, new.block_ids, new.num_computed_tokens) for new in output.scheduled_new_reqs],
                list(zip(cached.req_ids, cached.new_block_ids, cached.num_computed_tokens, strict=True)),
                cached.resumed_req_ids,
                output.num_scheduled_tokens,
                output.finished_req_ids,
                output.preempted_req_ids,
                getattr(output, "kv_cache_block_copies", None),
                [request.request_id for request in loop.scheduler.running],
                [request.request_id for request in loop.scheduler.waiting],
                free_blocks(loop.scheduler),
            )
        )

    loop.on_schedule = note
    Programs(loop, seed, Manners(chats=1.0, arrivals=0.5, aborts=0.05, resets=0.03)).play()
    return log, loop


@every_kind
def test_without_hints_every_decision_is_stocks(shape: Shape) -> None:
    preempted = 0
    for seed in range(4):
        expected, reference = log_of(stock(shape), shape, seed)
        log, loop = log_of(ours(shape, budget=0.5), shape, seed)
        assert len(log) == len(expected)
        for at, (found, wanted) in enumerate(zip(log, expected, strict=True)):
            assert found == wanted, f"step {at} of seed {seed}"
        assert loop.answers == reference.answers
        preempted += sum(request.num_preemptions for request in loop.finished.values())
    assert preempted, "too much memory to say anything"


@pytest.mark.parametrize(
    ("chat_gap_s", "programs", "gone", "retention"),
    [
        pytest.param(0.04, 10, 0, {"budget": 0.5}, id="busy"),
        pytest.param(0.1, 10, 0, {"budget": 0.5, "ttl_s": 60.0}, id="fixed TTL"),
        pytest.param(0.1, 0, 12, {"budget": 0.5, "ttl_s": 1e9, "longest_ttl_s": 1e9}, id="dead pins"),
    ],
)
def test_chats_keep_their_p95(chat_gap_s: float, programs: int, gone: int, retention: dict[str, Any]) -> None:
    """Within 1.10 times stock's at a budget of half the memory, in the time model of the module ``chats``."""
    shape = Shape(blocks=96, max_requests=16, max_batch_tokens=256, overlapped=True)
    p95_s = []
    for ours_too in (False, True):
        latencies_s: list[float] = []
        for seed in range(2):
            scheduler = ours(shape, **retention) if ours_too else stock(shape)
            mixture = Mixture(scheduler, shape, seed, chats=70, chat_gap_s=chat_gap_s, programs=programs, gone=gone)
            mixture.play()
            assert not ours_too or scheduler.retention.table.outcomes["pinned"]
            latencies_s += mixture.latencies_s
        p95_s.append(sorted(latencies_s)[int(0.95 * len(latencies_s))])
    assert p95_s[1] <= 1.10 * p95_s[0]


@every_kind
def test_answers_are_stocks(shape: Shape) -> None:
    """The same turns reach both engines at the same steps; one of them pins."""
    answers = []
    for scheduler in (stock(shape), ours(shape, **FOREVER)):
        loop = EngineLoop(scheduler, shape)
        rng = random.Random(11)
        openings = [tokens(rng, 50) for _ in range(3)]
        for at in range(60):
            if at % 3 == 0:
                session = at % 5
                prompt = openings[session % 3] + tokens(rng, rng.randint(1, 60))
                hinted(loop, f"r{at}", prompt, rng.randint(1, 20), f"s{session}", program=f"p{session % 2}")
            loop.step()
        loop.drain()
        answers.append(loop.answers)
    assert answers[0] == answers[1]


junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.one_of(st.floats(), st.text(max_size=4), st.none()), max_size=8),
    st.sampled_from(["", "-1", "nan", "1e400", "1", "session", "s" * 10_000]),
    st.lists(st.floats(min_value=-1, allow_nan=False), max_size=4).map(sorted),
)


@settings(max_examples=30)
@given(st.lists(st.dictionaries(st.sampled_from(ARGUMENTS), junk), min_size=1, max_size=6), st.booleans())
def test_whatever_clients_send_is_served(hints: list[dict[str, Any]], overlapped: bool) -> None:
    shape = Shape(blocks=9, overlapped=overlapped)
    loop = EngineLoop(ours(shape, budget=0.5), shape)
    for number, args in enumerate(hints):
        loop.submit(request_of(shape, f"r{number}", [5 + number] * 40, 3, args=args))
        if number % 2:
            loop.drain()
    loop.drain()
    loop.settle()
    check_drained(loop.scheduler)


@pytest.mark.parametrize("overlapped", [False, True])
def test_an_engine_that_is_paused_and_goes_on(overlapped: bool) -> None:
    shape = Shape(overlapped=overlapped)
    loop = EngineLoop(ours(shape, **FOREVER), shape)
    _memory_is_pinned(loop)
    hinted(loop, "paused", tokens(random.Random(1), 200), 4, "late", program="late")
    loop.step()
    loop.scheduler.set_pause_state(PauseState.PAUSED_ALL)
    for _ in range(5):
        loop.step()
    assert "paused" not in loop.finished
    loop.scheduler.set_pause_state(PauseState.UNPAUSED)
    loop.drain()
    assert "paused" in loop.finished


def test_memory_follows_the_sessions_that_are_there() -> None:
    """Sessions that are never heard of again leave nothing behind."""
    shape = Shape(blocks=9)
    loop = EngineLoop(ours(shape, budget=1.0, ttl_s=0.05), shape, checked=100)
    for number in range(600):
        hinted(loop, f"r{number}", [5 + number % 50] * 20, 1, f"s{number}", program=f"p{number}", turns_left=2.0)
        loop.drain()
    loop.settle()
    check_drained(loop.scheduler)
    table = loop.scheduler.retention.table
    assert len(table._by_expiry) + len(table._by_program) < 300


@pytest.mark.parametrize("shape", REFUSED.values(), ids=list(REFUSED))
def test_engines_for_which_pins_are_not_made_run_stock(shape: Shape, caplog_vllm: pytest.LogCaptureFixture) -> None:
    scheduler = ours(shape, **FOREVER)
    assert type(scheduler) is type(stock(shape))
    assert "runs stock vLLM" in caplog_vllm.text
    loop = EngineLoop(scheduler, shape)
    Programs(loop, 3, Manners(ticks=20)).play()
    loop.settle()
    check_drained(scheduler)
