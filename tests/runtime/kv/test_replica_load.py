"""What is known of a replica's load follows its calls, and costs the same however many there are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.kv.admission import ProgramGate
from orchestrator.runtime.kv.replica_load import MOST_SHOWN, Call, ReplicaLoad
from orchestrator.runtime.kv.routing import StickyRouter

OPS = st.tuples(st.sampled_from(["queue", "begin", "receive", "leave"]), st.integers(0, 9), st.integers(0, 50))


@settings(max_examples=100)
@given(st.lists(OPS, max_size=60))
def test_sums_follow_the_calls(ops: list[tuple[str, int, int]]) -> None:
    load = ReplicaLoad(0)
    calls = [Call(i, f"s{i}", f"p{i}", i, 100 * i + 1, 10.5 * i, 0.0, 0.0) for i in range(10)]
    for op, number, amount in ops:
        call = calls[number]
        if op == "queue" and call not in load.queue and call not in load.calls:
            load.queued(call)
        elif op == "begin":
            load.begun(call)
        elif op == "receive" and call not in load.queue:
            load.received(call, amount)
        elif op == "leave":
            load.left(call)
        every = [*load.calls, *load.queue]
        unread = [each for each in every if not each.prefilled]
        assert load.context_tokens(0.0) == sum(each.prompt_tokens + each.generated for each in load.calls)
        assert load.waiting_blocks == sum(each.prompt_tokens for each in load.queue) // load.block_tokens
        assert load.prompt_backlog_tokens == sum(each.prompt_tokens for each in unread)
        alone_s = sum(load.alone_s(each.prompt_tokens, each.predicted_output_tokens) for each in every)
        assert load.backlog_s == pytest.approx(alone_s)


def test_hits_are_deducted_from_the_prompts_ahead() -> None:
    load = ReplicaLoad(0)
    first, second = (Call(i, "s", "p", i, 1000 + 100 * i, 10.0, 0.0, 0.0) for i in range(2))
    load.remember(first, Usage(1000, 0, 50))
    load.begun(second)
    assert load.prompt_backlog_tokens == 50
    load.forget("s")
    load.left(second)
    assert load.prompt_backlog_tokens == 0


class Watched(Call):
    """Counts how often it is looked at."""

    looks = 0

    def __getattribute__(self, name: str) -> object:
        Watched.looks += 1
        return super().__getattribute__(name)


def looks_of_a_placement(in_flight: int) -> tuple[int, int]:
    """At the calls in flight: while a first call and while one of a known session is placed."""
    router = StickyRouter([ProgramGate(clock=lambda: 0.0) for _ in range(2)])
    router.place(router.call("known", "known", 0.0, prompt_tokens=100), 0.0)
    for i in range(in_flight):
        call = Watched(i, f"s{i}", f"p{i}", i, 100, 10.0, 0.0, 0.0)
        (router.loads[i % 2].queued if i % 3 else router.loads[i % 2].begun)(call)
    looks = []
    for name in ("new", "known"):
        Watched.looks = 0
        router.place(router.call(name, name, 0.0, prompt_tokens=200), 0.0)
        looks.append(Watched.looks)
    return looks[0], looks[1]


def test_a_placement_costs_the_same_in_a_burst_of_any_size() -> None:
    few = looks_of_a_placement(12 * MOST_SHOWN)
    assert few[0] > 0
    assert few[1] == 0
    assert looks_of_a_placement(48 * MOST_SHOWN) == few
