"""Fair queueing between tenants, and order within one."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtime.kv import fairness
from orchestrator.runtime.kv.fairness import FairQueue


def test_two_tenants_take_turns_however_many_one_sends() -> None:
    queue: FairQueue[int] = FairQueue()
    for i in range(100):
        queue.push("greedy", float(i), i)
    for i in range(5):
        queue.push("modest", float(i), i)
    served = []
    for _ in range(10):
        tenant, _ = queue.pop()
        queue.charge(tenant, 1.0)
        served.append(tenant)
    assert Counter(served) == {"greedy": 5, "modest": 5}


def test_weights_are_shares() -> None:
    queue: FairQueue[int] = FairQueue({"gold": 3.0})
    for i in range(100):
        queue.push("gold", i, i)
        queue.push("plain", i, i)
    served: Counter[str] = Counter()
    for _ in range(80):
        tenant, _ = queue.pop()
        queue.charge(tenant, 7.0)
        served[tenant] += 1
    assert served == {"gold": 60, "plain": 20}


def test_absence_earns_nothing() -> None:
    queue: FairQueue[int] = FairQueue()
    queue.push("late", 0, 0)  # is known, and goes away
    queue.pop()
    for i in range(50):
        queue.push("here", i, i)
    for _ in range(30):
        queue.charge(queue.pop()[0], 1.0)
    for i in range(20):
        queue.push("late", i, i)
    served = []
    for _ in range(10):
        tenant, _ = queue.pop()
        queue.charge(tenant, 1.0)
        served.append(tenant)
    assert served.count("late") <= 6


def test_weights_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        FairQueue({"t": 0.0})


def test_tenants_that_left_are_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairness, "MOST_TENANTS", 10)
    queue: FairQueue[int] = FairQueue()
    for i in range(1000):
        queue.push(f"t{i}", 0.0, i)
        queue.charge(queue.pop()[0], 1.0)
    assert len(queue._tenants) <= 22


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.1, 5.0)), min_size=60, max_size=60),
    st.dictionaries(st.sampled_from("abc"), st.floats(0.5, 4.0)),
)
def test_shares_of_the_backlogged_differ_by_one_charge_each(
    jobs: list[tuple[str, float]], weights: dict[str, float]
) -> None:
    queue: FairQueue[float] = FairQueue(weights)
    for tenant in "abc":  # nobody's queue empties while shares are compared
        for i, (_, cost) in enumerate(jobs):
            queue.push(tenant, float(i), cost)
    used = dict.fromkeys("abc", 0.0)
    for _ in jobs:
        tenant, cost = queue.pop()
        queue.charge(tenant, cost)
        used[tenant] += cost / weights.get(tenant, 1.0)
    largest = max(cost for _, cost in jobs)
    for one in "abc":
        for other in "abc":
            bound = largest / weights.get(one, 1.0) + largest / weights.get(other, 1.0)
            assert abs(used[one] - used[other]) <= bound + 1e-9


@given(
    st.lists(
        st.tuples(st.sampled_from(["push", "pop", "remove", "charge"]), st.sampled_from("abcd"), st.floats(0, 10)),
        max_size=200,
    )
)
def test_nothing_is_lost_or_served_twice_and_tenants_keep_their_order(ops: list[tuple[str, str, float]]) -> None:
    queue: FairQueue[int] = FairQueue()
    model: dict[int, tuple[str, float]] = {}
    places = {}
    for n, (op, tenant, number) in enumerate(ops):
        if op == "push":
            places[n] = queue.push(tenant, number, n)
            model[n] = (tenant, number)
        elif op == "pop" and model:
            owner, item = queue.pop()
            assert model[item][0] == owner
            assert (model[item][1], item) == min((key, i) for i, (t, key) in model.items() if t == owner)
            del model[item]
        elif op == "remove" and places:
            item = list(places)[n % len(places)]
            queue.remove(places[item])
            model.pop(item, None)
        elif op == "charge":
            queue.charge(tenant, number)
        assert len(queue) == len(model)
        assert len(queue._order) <= 2 * 4 + fairness.SPARE + 1
    while model:
        del model[queue.pop()[1]]
    with pytest.raises(IndexError):
        queue.pop()
