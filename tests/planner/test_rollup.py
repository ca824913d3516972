"""Re-evaluating a plan's structure: nothing changes without cause, and what changes does so as the estimator says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.planner.cluster import Cluster
from orchestrator.planner.interval import Interval
from orchestrator.planner.place import plan
from orchestrator.planner.plan import Plan
from orchestrator.planner.rollup import with_seconds
from tests.planner.clusters import cpu, one_engine
from tests.planner.level2 import Builder, parsed, workflow
from tests.planner.test_random_workflows import STEPS, grow

CPU = Cluster(devices=(cpu(cores=10_000),))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    folder: Path = tmp_path_factory.mktemp("model")
    return one_engine(folder)


def leaves(made: Plan) -> dict[str, Interval]:
    regions = {op.parent for op in made.ops}
    return {op.id: op.seconds for op in made.ops if op.id not in regions}


def everything(slow_s: float, quick_s: float) -> Plan:
    """A fork, then a loop, a map and a branch, of tools that declare how long they take."""

    def once(builder: Builder, name: str, reads: list[str], typical_s: float, returns: str = "str") -> str:
        return builder.call(name, "tool", reads, returns, effects="once", opts={"typical_s": typical_s})

    body, (question,) = workflow(question="str")
    left, right = once(body, "left", [question], slow_s), once(body, "right", [question], 3.0)
    joined = once(body, "joined", [left, right], 1.0)
    cond, (state,) = body.block([("state", "str")])
    check = once(cond, "check", [state], 2.0, "bool")
    turn, (current,) = body.block([("current", "str")])
    regions = [cond.closed([check]), turn.closed([once(turn, "turn", [current], quick_s)])]
    [looped] = body.op("agent.loop", "loop_1", [joined], ["str"], regions, max=4)
    each, (item,) = body.block([("item", "str")])
    inside = [each.closed([once(each, "item", [item], slow_s)])]
    [mapped] = body.op("agent.map", "map_1", [looped], ["list[str]"], inside, limit=6, concurrency=2)
    then, _ = body.block([])
    otherwise, _ = body.block([])
    arms = [then.closed([once(then, "then", [mapped], quick_s)]), otherwise.closed([mapped])]
    [end] = body.op("agent.branch", "branch_1", [mapped], ["str"], arms)
    with parsed(body.closed([end])) as module:
        return plan(module, CPU)


def test_it_agrees_with_the_estimator_on_every_construct() -> None:
    before, after = everything(1.0, 0.5), everything(4.0, 2.5)
    rolled = with_seconds(before, leaves(after))
    assert rolled.critical_path == after.critical_path != before.critical_path
    for op in after.ops:
        assert rolled.by_id[op.id].seconds.bounds == pytest.approx(op.seconds.bounds, rel=1e-6, abs=1e-6)
    assert rolled.seconds.bounds == pytest.approx(after.seconds.bounds, rel=1e-6)


def test_a_copy_looks_up_its_own_ops() -> None:
    before = everything(1.0, 0.5)
    assert before.by_id["left"].seconds.mid < 2
    assert with_seconds(before, {"left": Interval.exact(50)}).by_id["left"].seconds.mid == 50


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(STEPS), max_size=6), st.floats(0.1, 10), st.data())
def test_nothing_changes_without_cause_and_everything_scales(
    cluster: Cluster, steps: list[str], factor: float, draw: st.DataObject
) -> None:
    body, (question,) = workflow(question="str")
    with parsed(body.closed([grow(body, question, steps, draw)])) as module:
        made = plan(module, cluster)
    assert with_seconds(made, leaves(made)) is made
    slower = with_seconds(made, {name: seconds.scaled(factor) for name, seconds in leaves(made).items()})
    assert slower.seconds.bounds == pytest.approx(made.seconds.scaled(factor).bounds)
    for op in made.ops:
        assert slower.by_id[op.id].seconds.bounds == pytest.approx(op.seconds.scaled(factor).bounds)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=6), st.floats(0.01, 10), st.data())
def test_a_slower_op_makes_nothing_faster(
    cluster: Cluster, steps: list[str], added_s: float, draw: st.DataObject
) -> None:
    body, (question,) = workflow(question="str")
    with parsed(body.closed([grow(body, question, steps, draw)])) as module:
        made = plan(module, cluster)
    name = draw.draw(st.sampled_from(sorted(leaves(made))))
    slower = with_seconds(made, {name: made.by_id[name].seconds + Interval.exact(added_s)})
    for op in slower.ops:
        before = made.by_id[op.id].seconds
        assert all(new >= old * (1 - 1e-9) for new, old in zip(op.seconds.bounds, before.bounds, strict=True))
    assert slower.seconds.mid >= made.seconds.mid * (1 - 1e-9)
