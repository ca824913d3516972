"""What pins may never do, on vLLM's real schedulers with small KV spaces: leak, block, corrupt, or touch who hints not.

Every step of every loop is checked (see :mod:`tests.runtime.engines.vllm.pool_checks`), and every answer is compared
with the one that the prompt has without a cache.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed")

from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.request import RequestStatus

from orchestrator.runtime.kv.hints import SESSION_ARGUMENT, KvHint
from tests.runtime.engines.vllm.chats import Mixture
from tests.runtime.engines.vllm.engine_loop import EngineLoop
from tests.runtime.engines.vllm.pool_checks import check_drained, free_blocks, pins_of
from tests.runtime.engines.vllm.programs import Manners, Programs, tokens
from tests.runtime.engines.vllm.schedulers import Shape, ours, request_of, stock

FOREVER = {"budget": 1.0, "ttl_s": 1e9, "longest_ttl_s": 1e9}
"""Every turn's blocks are pinned, all memory may be, and no pin ends by itself."""
SHAPES = [
    pytest.param(Shape(), id="full"),
    pytest.param(Shape(overlapped=True), id="full-overlapped"),
    pytest.param(Shape(overlapped=True, second_runner=True), id="full-overlapped-v2"),
    pytest.param(Shape(priorities=True), id="full-priorities"),
    pytest.param(Shape(groups=("sliding",), overlapped=True), id="sliding-overlapped"),
    pytest.param(Shape(groups=("full", "sliding"), blocks=48), id="hybrid-sliding"),
    pytest.param(Shape(groups=("full", "mamba"), blocks=48), id="hybrid-mamba"),
    pytest.param(Shape(groups=("full", "mamba"), blocks=48, overlapped=True), id="hybrid-mamba-overlapped"),
]
SMALL = [
    Shape(blocks=9, max_requests=4, overlapped=overlapped, max_batch_tokens=batch)
    for overlapped in (False, True)
    for batch in (24, 64)
]


def hinted(loop: EngineLoop, name: str, prompt: list[int], answer: int, session: str, **hint: Any) -> None:
    args: dict[str, Any] = dict(KvHint(**hint).to_args())
    args[SESSION_ARGUMENT] = session
    loop.submit(request_of(loop.shape, name, prompt, answer, args=args, arrival_s=loop.clock.now_s))


def played(shape: Shape, seed: int, manners: Manners, **retention: Any) -> EngineLoop:
    loop = EngineLoop(ours(shape, **retention), shape)
    Programs(loop, seed, manners).play()
    return loop


@pytest.mark.parametrize("shape", SHAPES)
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
    manners = Manners(ticks=30, answer=8, jumps=0.0, lost=0.4, pause_s=0.1)
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
def test_sessions_that_never_end_starve_nobody(overlapped: bool) -> None:
    """Two sessions that always run or are pinned: a program that needs their memory gets its turn all the same."""
    shape = Shape(overlapped=overlapped, blocks=24)
    loop = EngineLoop(ours(shape, **FOREVER), shape)
    rng = random.Random(5)
    texts = {name: tokens(rng, 128) for name in ("a", "b")}
    turns = 0
    for at in range(4000):
        for name, text in texts.items():
            if not any(live.startswith(name) for live in loop.live):
                turns += 1
                hinted(loop, f"{name}{turns}", text, 6 + turns % 5, name, program=name, pin_ttl_s=1e9)
        if at == 20:
            assert len(loop.live) == 2
            hinted(loop, "late", tokens(rng, 200), 4, "late", program="late")
        if "late" in loop.step():
            return
    raise AssertionError(f"still waiting after {loop.steps} steps and {turns} turns of others")


@pytest.mark.parametrize("status", [RequestStatus.FINISHED_ABORTED, RequestStatus.FINISHED_ERROR])
@pytest.mark.parametrize("running", [False, True], ids=["waiting", "running"])
@pytest.mark.parametrize("overlapped", [False, True])
def test_a_turn_that_is_given_up_pins_nothing(status: RequestStatus, running: bool, overlapped: bool) -> None:
    shape = Shape(overlapped=overlapped)
    loop = EngineLoop(ours(shape, **FOREVER), shape)
    hinted(loop, "first", tokens(random.Random(1), 100), 30, "s", program="p", pin_ttl_s=1e9)
    for _ in range(5 if running else 0):
        loop.step()
    loop.abort("first", status)
    loop.drain()
    assert not pins_of(loop.scheduler)
    check_drained(loop.scheduler)


def _pinned_session(shape: Shape, ttl_s: float = 50.0) -> tuple[EngineLoop, list[int]]:
    loop = EngineLoop(ours(shape, budget=1.0, ttl_s=ttl_s), shape)
    hinted(loop, "first", tokens(random.Random(1), 100), 8, "s", program="p", turns_left=1.0)
    loop.drain()
    assert [pin.session for pin in pins_of(loop.scheduler)] == ["s"]
    return loop, [*loop.finished["first"].all_token_ids]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_lost_client_leaves_a_pin_until_its_ttl(shape: Shape) -> None:
    loop, text = _pinned_session(shape)
    hinted(loop, "second", [*text, 5], 8, "s", program="p", turns_left=1.0)
    loop.abort("second")
    loop.clock.now_s += 49.0
    loop.scheduler.schedule()
    assert pins_of(loop.scheduler)
    loop.clock.now_s += 1.1
    loop.scheduler.schedule()
    check_drained(loop.scheduler)


@pytest.mark.parametrize("last", [{"release": True}, {"turns_left": 0.0}], ids=["release", "no turns left"])
@pytest.mark.parametrize("end", ["finished", "waiting", "running"])
def test_the_last_turn_leaves_no_pin(last: dict[str, Any], end: str) -> None:
    shape = Shape()
    loop, text = _pinned_session(shape)
    hinted(loop, "last", [*text, 5], 8, "s", program="p", **last)
    if end == "running":
        loop.step()
    if end != "finished":
        loop.abort("last")
    loop.drain()
    check_drained(loop.scheduler)


def test_a_superseded_session_loses_its_pin_at_once() -> None:
    loop, _ = _pinned_session(Shape())
    hinted(loop, "compacted", tokens(random.Random(2), 20), 8, "t", program="p", supersedes=("s",))
    assert not pins_of(loop.scheduler)
    loop.drain()
    assert [pin.session for pin in pins_of(loop.scheduler)] == ["t"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("while_running", [False, True])
def test_reset_ends_every_pin(shape: Shape, while_running: bool) -> None:
    loop, text = _pinned_session(shape)
    if while_running:
        hinted(loop, "other", tokens(random.Random(3), 60), 20, "t", program="q", turns_left=1.0)
        for _ in range(4):
            loop.step()
    assert loop.scheduler.reset_prefix_cache(reset_running_requests=while_running)
    assert not pins_of(loop.scheduler)
    hinted(loop, "second", [*text, 5], 8, "s", program="p", turns_left=1.0)
    loop.drain()
    loop.settle()
    check_drained(loop.scheduler)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_next_turn_computes_only_what_is_new(shape: Shape) -> None:
    """Though others went through all the memory that was not pinned."""
    loop, text = _pinned_session(shape)
    for at in range(4):
        loop.submit(request_of(shape, f"filler{at}", tokens(random.Random(at), shape.longest // 2), 2))
        loop.drain()
    assert pins_of(loop.scheduler), "the fillers left room for the pin"
    before = loop.worker.computed_tokens
    hinted(loop, "second", [*text, 5], 1, "s", program="p", turns_left=1.0)
    loop.drain()
    kept = (len(text) - 1) // shape.block_tokens * shape.block_tokens
    assert loop.worker.computed_tokens - before == len(text) + 1 - kept


@pytest.mark.parametrize("shape", SHAPES)
def test_two_turns_of_a_session_at_once(shape: Shape) -> None:
    loop, text = _pinned_session(shape)
    hinted(loop, "left", [*text, 5, 6], 9, "s", program="p", turns_left=1.0)
    hinted(loop, "right", [*text, 8], 4, "s", program="p", turns_left=1.0)
    loop.drain()
    assert len(pins_of(loop.scheduler)) == 1
    loop.settle()
    check_drained(loop.scheduler)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_prefix_that_sessions_share(shape: Shape) -> None:
    loop = EngineLoop(ours(shape, budget=1.0, ttl_s=50.0), shape)
    opening = tokens(random.Random(1), 64)
    for at in range(4):
        hinted(loop, f"r{at}", [*opening, 10 + at], 3, f"s{at}", program=f"p{at}", turns_left=1.0)
    loop.drain()
    assert len(pins_of(loop.scheduler)) == 4
    for at in range(3):
        hinted(loop, f"last{at}", [*opening, 10 + at, 5], 3, f"s{at}", program=f"p{at}", release=True)
        loop.drain()
    assert [pin.session for pin in pins_of(loop.scheduler)] == ["s3"]
    loop.settle()
    check_drained(loop.scheduler)


@pytest.mark.parametrize("overlapped", [False, True])
def test_a_pinned_session_that_is_preempted(overlapped: bool) -> None:
    shape = Shape(blocks=12, max_requests=2, overlapped=overlapped)
    loop, text = _pinned_session(shape)
    loop.submit(request_of(shape, "chat", tokens(random.Random(3), 20), 90))
    hinted(loop, "second", [*text, 5], 50, "s", program="p", turns_left=1.0)
    loop.drain()
    assert loop.finished["second"].num_preemptions, "nothing was preempted"
    assert [pin.session for pin in pins_of(loop.scheduler)] == ["s"]
    loop.settle()
    check_drained(loop.scheduler)


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
                output.kv_cache_block_copies,
                [request.request_id for request in loop.scheduler.running],
                [request.request_id for request in loop.scheduler.waiting],
                free_blocks(loop.scheduler),
            )
        )

    loop.on_schedule = note
    Programs(loop, seed, Manners(chats=1.0, arrivals=0.5, aborts=0.05, resets=0.03)).play()
    return log, loop


@pytest.mark.parametrize("shape", SHAPES)
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
        for seed in range(3):
            scheduler = ours(shape, **retention) if ours_too else stock(shape)
            mixture = Mixture(scheduler, shape, seed, chats=70, chat_gap_s=chat_gap_s, programs=programs, gone=gone)
            mixture.play()
            assert not ours_too or scheduler.retention.table.outcomes["pinned"]
            latencies_s += mixture.latencies_s
        p95_s.append(sorted(latencies_s)[int(0.95 * len(latencies_s))])
    assert p95_s[1] <= 1.10 * p95_s[0]
