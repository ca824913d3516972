"""Invariants of whole plans, over workflows drawn at random."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.planner.cluster import Cluster
from orchestrator.planner.explain import render
from orchestrator.planner.place import plan
from orchestrator.planner.plan import Plan
from orchestrator.planner.table import cells
from tests.planner.clusters import one_engine
from tests.planner.level2 import Builder, parsed, workflow

STEPS = ("prompt", "model", "tool", "loop", "map", "branch")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    folder: Path = tmp_path_factory.mktemp("model")
    return one_engine(folder)


def grow(body: Builder, value: str, steps: list[str], draw: st.DataObject, path: str = "") -> str:
    """Append one op for each step, each fed by ``value`` or by the op before; the last value."""
    first = value
    for position, step in enumerate(steps):
        name = f"{path}{step}_{position}"
        source = draw.draw(st.sampled_from([first, value]))
        inside = draw.draw(st.lists(st.sampled_from(STEPS[:3]), max_size=2)) if step in STEPS[3:] else []
        match step:
            case "prompt":
                value = body.prompt(name, ["static text ", ""], [source])
            case "model":
                limit = draw.draw(st.sampled_from([{}, {"max_tokens": 7}, {"max_tokens": 4000}]))
                value, _ = body.ask_model(name, source, opts=limit)
            case "tool":
                known = draw.draw(st.sampled_from([{}, {"typical_s": 0.2}, {"timeout_s": 0.1}]))
                value = body.call(name, "tool", [source], "str", effects="pure", opts=known)
            case "loop":
                cond, (state,) = body.block([("state", "str")])
                stop = cond.call(f"{name}/stop", "tool", [state], "bool")
                turn, (current,) = body.block([("current", "str")])
                regions = [cond.closed([stop]), turn.closed([grow(turn, current, inside, draw, f"{name}/")])]
                [value] = body.op("agent.loop", name, [source], ["str"], regions, max=draw.draw(st.integers(0, 5)))
            case "map":
                each, (item,) = body.block([("item", "str")])
                regions = [each.closed([grow(each, item, inside, draw, f"{name}/")])]
                bounds = {"limit": draw.draw(st.integers(0, 20)), "concurrency": draw.draw(st.integers(0, 4))}
                [value] = body.op("agent.map", name, [source], ["str"], regions, **bounds)
            case "branch":
                arms = []
                for side in ("then", "otherwise"):
                    arm, _ = body.block([])
                    arms.append(arm.closed([grow(arm, source, inside, draw, f"{name}/{side}/")]))
                [value] = body.op("agent.branch", name, [source], ["str"], arms)
    return value


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(STEPS), max_size=6), st.data())
def test_a_plan_adds_up(cluster: Cluster, steps: list[str], draw: st.DataObject) -> None:
    body, (question,) = workflow(question="str")
    with parsed(body.closed([grow(body, question, steps, draw)])) as module:
        made = plan(module, cluster)
        again = plan(module, cluster)
    assert made == again
    assert Plan.from_json(made.to_json()) == made
    for op in made.ops:
        for interval in (op.seconds, op.tokens_in, op.tokens_out, op.count):
            assert 0 <= interval.lo <= interval.mid <= interval.hi
        if op.parent is not None:
            assert op.parent in made.by_id
        elif op.id in made.critical_path:
            assert all(a <= b * (1 + 1e-9) for a, b in zip(op.seconds.bounds, made.seconds.bounds, strict=True))
    on_path = [made.by_id[name].seconds.mid for name in made.critical_path]
    assert sum(on_path) <= made.seconds.mid * (1 + 1e-9)
    spent = sum(op.count.mid * (op.tokens_in.mid + op.tokens_out.mid) for op in made.ops)
    assert made.tokens.mid == pytest.approx(spent)
    assert max(map(cells, render(made, every_op=True, width=100).splitlines())) <= 100
