"""Where each policy sends a request."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planner.policies import POLICIES
from orchestrator.planner.policies.freeness import freeness, freeness_of
from orchestrator.planner.policies.migration import migrate_between_turns
from orchestrator.planner.policies.round_robin import round_robin
from orchestrator.planner.policies.workload_balanced import workload_balanced
from tests.planner.policies.views import Call, Server


def test_round_robin_takes_turns() -> None:
    servers = [Server(0), Server(1), Server(2)]
    assert [round_robin(Call(sequence=i), servers, 0.0) for i in range(5)] == [0, 1, 2, 0, 1]


def test_workload_balanced_weighs_queue_and_speed() -> None:
    fast, slow = Server(0, backlog_s=4.0), Server(1, slowness=3.0, backlog_s=2.0)
    assert workload_balanced(alpha=0.0)(Call(), [fast, slow], 0.0) == 1
    assert workload_balanced(alpha=1.0)(Call(), [fast, slow], 0.0) == 0
    # (1 - a) / 4 - a * 1.1 = (1 - a) / 2 - a * 3.3 at a = 0.25 / 2.45
    assert workload_balanced(alpha=0.101)(Call(), [fast, slow], 0.0) == 1
    assert workload_balanced(alpha=0.103)(Call(), [fast, slow], 0.0) == 0


def test_workload_balanced_beta_scales_the_queue() -> None:
    fast, slow = Server(0, backlog_s=4.0), Server(1, slowness=3.0, backlog_s=2.0)
    assert workload_balanced(alpha=0.103, beta_s2=2.0)(Call(), [fast, slow], 0.0) == 1


def test_freeness_is_room_for_each_request() -> None:
    busy = Server(0, running_count=3, waiting_count=1, free=60, waiting_blocks=20)
    assert freeness_of(busy, 0.0) == 10.0
    assert freeness_of(Server(free=7), 0.0) == 7.0
    assert freeness(Call(), [busy, Server(1, free=9, running_count=1), Server(2, running_count=9, free=99)], 0.0) == 2


@pytest.mark.parametrize(
    ("link_bytes_per_s", "target"),
    [
        (1e8, 1),  # 40 tokens: 0.14 s to prefill again, 0.04 s over this link
        (2e7, 0),  # 0.2 s over this one
    ],
)
def test_a_program_moves_when_prefilling_again_is_quicker_than_its_kv_would_be(
    link_bytes_per_s: float, target: int
) -> None:
    full = Server(1, running_count=4, free=40, cached=40, link_bytes_per_s=link_bytes_per_s)
    assert migrate_between_turns(Call(home=1), [Server(0), full], 0.0) == target


def test_a_program_stays_where_there_is_more_room_and_leaves_where_there_is_none() -> None:
    home = Server(1, running_count=1, free=50, cached=90)
    assert migrate_between_turns(Call(home=1), [Server(0, free=30), home], 0.0) == 1
    crowded = replace(home, waiting_count=9, waiting_blocks=80)
    assert migrate_between_turns(Call(home=1), [Server(0, free=30), crowded], 0.0) == 0
    assert migrate_between_turns(Call(home=1), [Server(0, free=60), replace(home, cached=0)], 0.0) == 0
    assert migrate_between_turns(Call(), [Server(0, free=60), home], 0.0) == 0


servers = st.builds(
    Server,
    slowness=st.floats(0.1, 10),
    running_count=st.integers(0, 8),
    waiting_count=st.integers(0, 20),
    waiting_blocks=st.integers(0, 500),
    backlog_s=st.floats(0, 1e3),
    prompt_backlog_tokens=st.integers(0, 10_000),
    free=st.integers(0, 100),
    cached=st.integers(0, 99),
    context=st.integers(0, 10_000),
)


@given(st.lists(servers, min_size=1, max_size=6), st.integers(0, 99), st.sampled_from(sorted(POLICIES)), st.data())
def test_every_policy_answers_a_position_and_a_number(
    cluster: list[Server], sequence: int, name: str, data: st.DataObject
) -> None:
    policy = POLICIES[name]()
    home = data.draw(st.none() | st.integers(0, len(cluster) - 1))
    call = Call(sequence=sequence, home=home, deadline_s=data.draw(st.sampled_from([5.0, float("inf")])))
    for choose in filter(None, (policy.dispatch, policy.migrate)):
        assert choose(call, cluster, 1.0) in range(len(cluster))
    key = policy.order(call, cluster[0], 1.0)
    assert key == key  # not NaN: a queue could not be sorted
