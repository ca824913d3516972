"""How pins begin and end: last turns, lost clients, resets, sessions with two turns at once, shared prefixes."""

from __future__ import annotations

import random
from typing import Any

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed")

from vllm.v1.request import RequestStatus

from orchestrator.runtime.kv.hints import SESSION_ARGUMENT, KvHint
from tests.runtime.engines.vllm.engine_loop import EngineLoop
from tests.runtime.engines.vllm.pool_checks import check_drained, pins_of
from tests.runtime.engines.vllm.programs import hinted, tokens
from tests.runtime.engines.vllm.schedulers import FOREVER, KEPT, Shape, ours, request_of

every_kind = pytest.mark.parametrize("shape", KEPT.values(), ids=list(KEPT))


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


@every_kind
def test_a_reply_that_the_front_end_cuts_at_a_stop_string_is_a_turn_that_ended(shape: Shape) -> None:
    loop = EngineLoop(ours(shape, **FOREVER), shape)
    args = {**KvHint(turns_left=1.0).to_args(), SESSION_ARGUMENT: "s"}
    prompt = tokens(random.Random(1), 100)
    loop.submit(request_of(shape, "first", prompt, 30, args=args, stop_strings=["Observation:"]))
    while not loop.scheduler.requests["first"].num_output_tokens:
        loop.step()
    loop.abort("first", RequestStatus.FINISHED_ABORTED)
    loop.drain()
    (pin,) = pins_of(loop.scheduler)
    assert pin.session == "s"
    assert pin.blocks >= len(shape.groups) * (len(prompt) // shape.block_tokens)
    assert loop.scheduler.release_session("s") is None
    check_drained(loop.scheduler)


def test_a_reply_that_had_not_begun_was_not_cut_at_a_stop_string() -> None:
    loop = EngineLoop(ours(Shape(), **FOREVER), Shape())
    args = {**KvHint(turns_left=1.0).to_args(), SESSION_ARGUMENT: "s"}
    loop.submit(request_of(Shape(), "first", tokens(random.Random(1), 100), 30, args=args, stop_strings=["."]))
    loop.abort("first", RequestStatus.FINISHED_ABORTED)
    loop.drain()
    check_drained(loop.scheduler)


def _pinned_session(shape: Shape, ttl_s: float = 50.0) -> tuple[EngineLoop, list[int]]:
    loop = EngineLoop(ours(shape, budget=1.0, ttl_s=ttl_s), shape)
    hinted(loop, "first", tokens(random.Random(1), 100), 8, "s", program="p", turns_left=1.0)
    loop.drain()
    assert [pin.session for pin in pins_of(loop.scheduler)] == ["s"]
    return loop, [*loop.finished["first"].all_token_ids]


@every_kind
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


@every_kind
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


@every_kind
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


@every_kind
def test_two_turns_of_a_session_at_once(shape: Shape) -> None:
    loop, text = _pinned_session(shape)
    hinted(loop, "left", [*text, 5, 6], 9, "s", program="p", turns_left=1.0)
    hinted(loop, "right", [*text, 8], 4, "s", program="p", turns_left=1.0)
    loop.drain()
    assert len(pins_of(loop.scheduler)) == 1
    loop.settle()
    check_drained(loop.scheduler)


@every_kind
def test_a_prefix_that_sessions_share(shape: Shape) -> None:
    loop = EngineLoop(ours(shape, budget=1.0, ttl_s=50.0), shape)
    opening = tokens(random.Random(1), 64)
    for at in range(4):
        hinted(loop, f"r{at}", [*opening, 10 + at], 3, f"s{at}", program=f"p{at}", turns_left=1.0)
    loop.drain()
    pins = pins_of(loop.scheduler)
    assert len(pins) == 4
    shared = len(opening) // shape.block_tokens
    assert [pin.own_blocks for pin in pins[1:]] == [pin.blocks - shared for pin in pins[1:]]
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


@every_kind
def test_the_next_turn_consumes_the_pin(shape: Shape) -> None:
    loop, text = _pinned_session(shape)
    hinted(loop, "second", [*text, 5], 30, "s", program="p", turns_left=1.0)
    loop.step()
    assert not pins_of(loop.scheduler), "the turn that runs holds references of its own"
    assert loop.scheduler.retention.table.outcomes["consumed"] == 1
    loop.drain()


@pytest.mark.parametrize("overlapped", [False, True])
def test_who_runs_takes_pinned_memory_before_anyone_is_preempted(overlapped: bool) -> None:
    shape = Shape(blocks=12, overlapped=overlapped)
    loop, _ = _pinned_session(shape)
    for name in ("one", "two"):
        loop.submit(request_of(shape, name, tokens(random.Random(3), 20), 65))
    loop.drain()
    assert not pins_of(loop.scheduler)
    assert not any(request.num_preemptions for request in loop.finished.values())


def test_replies_that_may_be_as_long_as_the_window_are_not_planned_to_be() -> None:
    shape = Shape(blocks=64)
    loop = EngineLoop(ours(shape), shape)
    hinted(loop, "known", tokens(random.Random(0), 40), 8, "z", program="z", release=True)
    loop.drain()
    for number, session in enumerate(("a", "b", "c")):
        prompt = tokens(random.Random(number), 60)
        hinted(loop, session, prompt, shape.longest - len(prompt), session, program=session, turns_left=1.0)
    loop.step()
    loop.step()
    assert {request.request_id for request in loop.scheduler.running} == {"a", "b", "c"}
    loop.abort(("a", "b", "c"))
    loop.drain()


@pytest.mark.parametrize("overlapped", [False, True])
def test_sessions_that_begin_alike_run_together_as_long_as_what_is_their_own_fits(overlapped: bool) -> None:
    shape = Shape(blocks=40, overlapped=overlapped)
    loop = EngineLoop(ours(shape, ttl_s=50.0), shape)
    opening = tokens(random.Random(1), 320)
    hinted(loop, "first", [*opening, 5], 3, "s", program="p", turns_left=1.0)
    loop.drain()
    for at in range(6):
        hinted(loop, f"r{at}", [*opening, 10 + at], 20, f"s{at}", program=f"p{at}", turns_left=1.0)
    for _ in range(4):
        loop.step()
    assert len(loop.scheduler.running) == 6
    assert loop.scheduler.waiting.held_count == 0
    loop.drain()
    assert len(pins_of(loop.scheduler)) == 7, "20 blocks and one or two for each are in the budget"
    loop.settle()
    check_drained(loop.scheduler)


@pytest.mark.parametrize("overlapped", [False, True])
def test_a_turn_that_waits_for_memory_lets_no_chat_wait_for_what_is_pinned(overlapped: bool) -> None:
    shape = Shape(blocks=30, overlapped=overlapped)
    loop = EngineLoop(ours(shape, **FOREVER, patience_s=1e9), shape)
    texts = []
    for at in range(3):
        hinted(loop, f"s{at}", tokens(random.Random(at), 120), 4, f"s{at}", program=f"p{at}", turns_left=1.0)
        loop.drain()
        texts.append([*loop.finished[f"s{at}"].all_token_ids])
    loop.submit(request_of(shape, "busy", tokens(random.Random(7), 60), 60))
    loop.step()
    hinted(loop, "longer", [*texts[0], *tokens(random.Random(8), 120)], 4, "s0", program="p0", turns_left=1.0)
    loop.submit(request_of(shape, "chat", tokens(random.Random(9), 60), 4))
    while "chat" not in loop.finished:
        loop.step()
    assert "busy" not in loop.finished, "the chat did not wait for the end of what ran"
    loop.drain()
    loop.settle()
    check_drained(loop.scheduler)


@pytest.mark.parametrize("overlapped", [False, True])
def test_what_a_waiting_request_shares_with_others_it_does_not_lack(overlapped: bool) -> None:
    shape = Shape(blocks=40, overlapped=overlapped)
    loop = EngineLoop(ours(shape, **FOREVER), shape)
    opening = tokens(random.Random(1), 128)
    for at in range(3):
        text = [*opening, *tokens(random.Random(at), 60)]
        hinted(loop, f"s{at}", text, 2, f"s{at}", program=f"p{at}", turns_left=1.0)
        loop.drain()
    loop.submit(request_of(shape, "busy", [*opening, *tokens(random.Random(7), 150)], 100))
    for _ in range(4):
        loop.step()
    loop.submit(request_of(shape, "chat", [*opening, *tokens(random.Random(9), 190)], 4))
    while "chat" not in loop.finished:
        loop.step()
    assert "busy" not in loop.finished, "pins made room for it"
    loop.drain()
    loop.settle()
    check_drained(loop.scheduler)


def test_a_request_that_waits_for_its_grammar_keeps_no_turn_from_an_idle_engine() -> None:
    loop, _ = _pinned_session(Shape(), ttl_s=1e6)
    scheduler = loop.scheduler
    stuck = request_of(loop.shape, "stuck", tokens(random.Random(2), 20), 4)
    stuck.status = RequestStatus.WAITING_FOR_STRUCTURED_OUTPUT_GRAMMAR
    scheduler._handle_blocked_waiting_request = lambda request: request is not stuck  # type: ignore[method-assign]
    scheduler.add_request(stuck)
    hinted(loop, "large", tokens(random.Random(3), loop.shape.longest - 10), 4, "t", program="q", turns_left=1.0)
    for _ in range(20):
        loop.step()
    assert "large" in loop.finished
