"""The waiting queue: what first-come-first-served gives requests without hints, turns with hints do not take."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("vllm")

from orchestrator.runtime.engines.vllm.program_queue import ProgramQueue


@dataclass(frozen=True)
class Asked:
    """A request; ``urgency`` None: without hints."""

    number: int
    urgency: float | None = None
    held: bool = False


def queue() -> ProgramQueue:
    return ProgramQueue(lambda request: request.urgency, lambda request: request.held)


REQUESTS = st.lists(st.tuples(st.none() | st.integers(0, 9), st.booleans()), max_size=30).map(
    lambda drawn: [Asked(number, urgency, held) for number, (urgency, held) in enumerate(drawn)]
)


@given(REQUESTS)
def test_requests_without_hints_keep_their_places(requests: list[Asked]) -> None:
    waiting = queue()
    for request in requests:
        waiting.add_request(request)
    placed = [request for request in requests if request.urgency is None or not request.held]
    order = list(waiting)[: len(placed)]
    popped = [waiting.pop_request() for _ in placed]
    assert popped == order
    assert [r if r.urgency is None else None for r in popped] == [r if r.urgency is None else None for r in placed]
    turns = [request.urgency for request in popped if request.urgency is not None]
    assert turns == sorted(turns)
    assert not waiting
    assert len(waiting) == waiting.held_count == len(requests) - len(placed)


@given(REQUESTS, st.sets(st.integers(0, 29)))
def test_removed_requests_are_gone_and_the_rest_stays_in_order(requests: list[Asked], numbers: set[int]) -> None:
    waiting, expected = queue(), queue()
    for request in requests:
        waiting.add_request(request)
        if request.number not in numbers:
            expected.add_request(request)
    gone = [request for request in requests if request.number in numbers]
    assert waiting.remove_requests(gone) == len(gone)
    assert len(waiting) == len(expected)
    assert {r for r in waiting if r.held} == {r for r in expected if r.held}
    assert [r for r in waiting if r.urgency is None] == [r for r in expected if r.urgency is None]


def test_the_most_urgent_turn_is_released_first_and_gets_the_last_place() -> None:
    waiting = queue()
    chat, late, early = Asked(0), Asked(1, 5.0, held=True), Asked(2, 1.0, held=True)
    for request in (late, chat, early):
        waiting.add_request(request)
    assert waiting.held is early
    assert waiting.release() is early
    assert waiting.held is late
    assert [waiting.pop_request(), waiting.pop_request()] == [chat, early]


def test_preempted_and_skipped_requests_go_before_all_others() -> None:
    waiting = queue()
    first, preempted, skipped = Asked(0, 0.0), Asked(1, 9.0), Asked(2)
    waiting.add_request(first)
    waiting.prepend_requests([skipped])
    waiting.prepend_request(preempted)
    assert waiting.peek_request() is preempted
    assert list(waiting) == [preempted, skipped, first]
    waiting.remove_request(skipped)
    with pytest.raises(ValueError, match="not in the queue"):
        waiting.remove_request(skipped)


def test_an_empty_queue_says_so() -> None:
    waiting = queue()
    for take in (waiting.peek_request, waiting.pop_request):
        with pytest.raises(IndexError):
            take()
    assert waiting.held is None
