"""What a run still has before it once an op is done, whatever round it is in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import chat, loop, map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.deadlines import Rest, Rounds, behind_s, rests
from orchestrator.planner.interval import Interval
from orchestrator.planner.plan import Plan
from orchestrator.runtime.program.specs import Generate

CLUSTER = Cluster(engines=(EngineSpec(name="main", kind="sim", model="m"),))


@tool(effects="reads", typical_s=5.0)
def slow(text: str) -> str:
    return text


@tool(effects="reads", typical_s=1.0)
def quick(text: str) -> str:
    return text


@workflow
def flow(question: str) -> str:
    reply, talk = chat().say(question)
    both = quick(reply) + slow(reply)

    def step(state: tuple[str, str]) -> tuple[str, str]:
        text, _ = state
        return slow(text), quick(text)

    rounds = loop(step, (both, both), max=4)
    return talk.say(rounds[0]).reply


@pytest.fixture(scope="module")
def plan() -> Plan:
    return compile_workflow(flow, cluster=CLUSTER).plan


def changed(plan: Plan, name: str, **update: object) -> Plan:
    """The plan with something else about an op."""
    ops = [op.model_copy(update=update) if op.id == name else op for op in plan.ops]
    return plan.model_copy(update={"ops": tuple(ops)})


@pytest.fixture(scope="module")
def rest(plan: Plan) -> dict[str, Rest]:
    return rests(plan)


def test_the_longest_chain_counts(plan: Plan, rest: dict[str, Rest]) -> None:
    left = {op: each.behind_s() for op, each in rest.items()}
    last, loop_s = plan.by_id["llm_2"].seconds.mid, plan.by_id["loop_1"].seconds.mid
    assert left["llm_2"] == pytest.approx(0.0, abs=1e-3)
    assert left["loop_1"] == pytest.approx(last, abs=1e-3)
    assert left["quick_1"] == pytest.approx(left["slow_1"])
    assert left["llm_1"] == pytest.approx(plan.by_id["slow_1"].seconds.mid + loop_s + last, abs=1e-3)


def test_the_turns_of_a_loop_that_follow_count_and_half_of_the_others_where_the_turn_is_not_known(
    plan: Plan, rest: dict[str, Rest]
) -> None:
    loop_s, turns = plan.by_id["loop_1"].seconds.mid, plan.by_id["slow_2"].count.mid
    behind = rest["loop_1"].behind_s()
    assert turns > 1
    assert rest["slow_2"].behind_s() == pytest.approx(behind + (turns - 1) / (2 * turns) * loop_s, abs=1e-3)
    assert rest["slow_2"].behind_s("loop_1[0]/") == pytest.approx(behind + (turns - 1) / turns * loop_s, abs=1e-3)
    assert rest["slow_2"].behind_s("loop_1#2[1]/") == pytest.approx(
        behind + max(turns - 2, 0) / turns * loop_s, abs=1e-3
    )
    assert rest["slow_2"].behind_s("loop_1[3]/") == rest["loop_1"].behind_s()  # longer than expected: any turn ends it
    assert rest["slow_2"].behind_s("other_loop_1[0]/") == rest["slow_2"].behind_s()


def test_items_of_a_map_wait_for_the_rounds_behind_theirs() -> None:
    rounds = Rounds("map_1", items=6, rounds=3, round_s=2.0)
    assert [rounds.behind_s(f"map_1[{item}]/x.then/") for item in range(7)] == [4.0, 4.0, 2.0, 2.0, 0.0, 0.0, 0.0]
    assert rounds.behind_s("") == 2.0


def test_what_is_behind_a_map_with_fewer_items_at_once_than_it_has_is_known() -> None:
    @workflow
    def several(questions: list[str]) -> list[str]:
        return map_(slow, questions, limit=8, concurrency=2)

    plan = compile_workflow(several, cluster=CLUSTER).plan
    item = rests(plan)["slow_1"]
    assert item.behind_s("map_1[0]/") > item.behind_s("map_1[7]/") == 0.0


def test_it_only_falls_along_the_data(plan: Plan, rest: dict[str, Rest]) -> None:
    assert set(rest) == set(plan.by_id)
    for op in plan.ops:
        assert all(rest[earlier].behind_s() >= rest[op.id].behind_s() for earlier in op.after)


def test_a_wait_for_an_engine_is_no_part_of_a_call(plan: Plan) -> None:
    op = plan.by_id["llm_1"]
    found = rests(changed(plan, "llm_1", wait_s=Interval.exact(op.seconds.mid / 2)))
    assert found["llm_1"].own_s == pytest.approx(op.seconds.mid / 2)


def test_a_plan_from_outside_may_name_what_it_has_not(plan: Plan) -> None:
    odd = changed(plan, "llm_1", after=("nobody", "llm_1"))
    assert rests(odd)["llm_2"].last_s == pytest.approx(0.0, abs=1e-3)
    assert set(rests(plan.model_copy(update={"ops": plan.ops[::-1]}))) == set(plan.by_id)


def test_a_call_is_told(plan: Plan, rest: dict[str, Rest]) -> None:
    program = compile_workflow(flow, cluster=CLUSTER).program
    told = {op.id: op.spec.rest for op in program.body.ops() if isinstance(op.spec, Generate)}
    assert told == {"llm_1": rest["llm_1"], "llm_2": rest["llm_2"]}


@given(
    st.integers(1, 12).flatmap(
        lambda count: st.tuples(
            st.lists(st.floats(0, 100), min_size=count, max_size=count),
            st.tuples(*(st.sets(st.integers(0, place - 1)) if place else st.just(set()) for place in range(count))),
        )
    )
)
def test_no_chain_is_longer_and_one_is_as_long(drawn: tuple[list[float], tuple[set[int], ...]]) -> None:
    seconds, after = drawn
    found = behind_s(seconds, [sorted(each) for each in after])
    for place, left_s in enumerate(found):
        following = [later for later in range(len(seconds)) if place in after[later]]
        assert left_s == max((seconds[later] + found[later] for later in following), default=0.0)
