"""The tail of a plan at a rate: what the simulator is given, what it finds, and what is done about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import PlanError
from orchestrator.planner import planning as planning_module
from orchestrator.planner.cluster import Cluster
from orchestrator.planner.graph import read
from orchestrator.planner.interval import Interval
from orchestrator.planner.place import plan_graph
from orchestrator.planner.plan import Plan
from orchestrator.planner.planning import Asked, Planning
from orchestrator.planner.simulate.program import Program
from orchestrator.planner.simulated_replicas import engine_models
from orchestrator.planner.simulated_runs import ELSEWHERE, Runs, stages_per_run
from orchestrator.planner.simulated_tail import simulated_tail
from orchestrator.planner.tail import p95_s
from tests.planner.clusters import config_file, gpu, one_engine
from tests.planner.level2 import parsed, workflow
from tests.planner.test_random_workflows import STEPS, grow


def narrowed(plan: Plan, factor: float = 1.3) -> Plan:
    """The plan with all token counts known to within ``factor``."""
    ops = tuple(
        op.model_copy(
            update={
                "tokens_in": Interval.around(op.tokens_in.mid, factor),
                "tokens_out": Interval.around(op.tokens_out.mid, factor),
            }
        )
        for op in plan.ops
    )
    return plan.model_copy(update={"ops": ops})


def drafts(samples: int = 3, tool_s: float = 0.2) -> str:
    """Samples, a tool on each, and an answer; in parallel a slow tool that the answer waits for too."""
    body, (question,) = workflow(question="str")
    replies, _ = body.ask_model(
        "drafts", body.prompt("p", ["Q: ", ""], [question]), samples=samples, opts={"max_tokens": 100}
    )
    inner, (draft,) = body.block([("draft", "str")])
    row = inner.call("check", "tool", [draft], "str", opts={"typical_s": tool_s})
    [rows] = body.op("agent.map", "map_1", [replies], ["list[str]"], [inner.closed([row])], limit=9, concurrency=0)
    seen = body.call("look_up", "tool", [question], "str", opts={"typical_s": 2.0})
    reply, _ = body.ask_model("answer", body.prompt("p2", ["Rows: ", " ", ""], [rows, seen]), opts={"max_tokens": 200})
    return body.closed([reply])


def plan_of(cluster: Cluster, region: str | None = None) -> Plan:
    with parsed(region or drafts()) as module:
        return narrowed(plan_graph(read(module), cluster, "latency"))


SAMPLES = {"drafts": 3}


def runs_of(plan: Plan, count: int = 40) -> list[Program]:
    runs = Runs(plan, engine_models(plan, SAMPLES), SAMPLES, lambda place: 0.0, 0)
    return [runs.program(number, float(number)) for number in range(count)]


def test_a_run_is_a_program_with_the_same_order(tmp_path: Path) -> None:
    plan = plan_of(one_engine(tmp_path))
    assert stages_per_run(plan, SAMPLES) == 3 + 3 + 1 + 1
    for program in runs_of(plan):
        steps = [stage.step for stage in program.stages]
        assert steps == ["drafts"] * 3 + ["check"] * 3 + ["look_up", "answer"]
        for stage in program.stages[3:6]:
            assert stage.after == (0, 1, 2)
        assert program.stages[7].after == (3, 4, 5, 6)
        assert [stage.model for stage in program.stages] == ["main"] * 3 + [ELSEWHERE.model] * 4 + ["main"]
        assert len({stage.prefix_ids for stage in program.stages[:3]}) == 1


def test_lengths_and_seconds_are_as_wide_as_their_intervals(tmp_path: Path) -> None:
    plan = plan_of(one_engine(tmp_path))
    found = [stage for program in runs_of(plan, 400) for stage in program.stages]
    for step, interval in (("answer", plan.by_id["answer"].tokens_out), ("drafts", Interval.around(100 / 2, 1.3))):
        inside = [interval.lo <= stage.output_tokens <= interval.hi for stage in found if stage.step == step]
        # 1.28 deviations hold 80 %; half of the variance, that of the guess, is left out.
        assert 0.88 < sum(inside) / len(inside) < 0.97
    slow = plan.by_id["look_up"].seconds
    seconds = [stage.tool_s for stage in found if stage.step == "look_up"]
    assert 0.84 < sum(each in slow for each in seconds) / len(seconds) < 0.98


def test_rounds_of_a_loop_follow_each_other_and_go_on_from_what_they_said(tmp_path: Path) -> None:
    body, (question,) = workflow(question="str")
    _, chat = body.ask_model("first", body.prompt("p", ["Q: ", ""], [question]), opts={"max_tokens": 400})
    condition, (_,) = body.block([("chat", "Chat")])
    never = condition.call("go", "const", [], "bool", opts={"value": "false"})
    inner, (so_far,) = body.block([("chat", "Chat")])
    _, after = inner.ask_model("again", inner.prompt("p2", ["Go on"], []), so_far, opts={"max_tokens": 400})
    regions = [condition.closed([never]), inner.closed([after])]
    [last] = body.op("agent.loop", "loop_1", [chat], ["Chat"], regions, max=3)
    plan = plan_of(one_engine(tmp_path), body.closed([last]))
    engine = engine_models(plan, {})["main"]
    assert engine.cached["first"] == 0.0
    assert engine.cached["again"] > 0.5
    for program in runs_of(plan):
        assert [stage.step for stage in program.stages] == ["first", "again", "again", "again"]
        assert [stage.after for stage in program.stages] == [(), (0,), (1,), (2,)]
        for before, stage in zip(program.stages, program.stages[1:], strict=False):
            common = [a == b for a, b in zip(before.prefix_ids, stage.prefix_ids, strict=False)]
            assert common[0]


def test_calls_alone_take_what_the_plan_says(tmp_path: Path) -> None:
    plan = plan_of(one_engine(tmp_path))
    engine = engine_models(plan, SAMPLES)["main"]
    op = plan.by_id["answer"]
    alone = engine.spec.speed.alone_s(op.tokens_in.mid, op.tokens_out.mid, 0, engine.spec.step_tokens)
    assert alone == pytest.approx(op.seconds.mid, rel=0.1)
    assert engine.error.lo < 1 < engine.error.hi


def test_replicas_are_those_of_the_plan(tmp_path: Path) -> None:
    cluster = one_engine(tmp_path, options={"tensor_parallel_size": 2, "max_num_seqs": 7})
    cluster = cluster.model_copy(update={"devices": (cluster.devices[0], gpu(count=8))})
    engine = engine_models(plan_of(cluster), SAMPLES)["main"]
    assert (engine.replicas, engine.spec.max_batch) == (4, 7)
    assert len(engine.specs(1.0)) == 4
    assert len(engine.specs(1.0, divisor=2)) == 2
    assert engine.specs(2.0)[0].speed.step_s == 2 * engine.spec.speed.step_s


def test_at_a_low_rate_it_is_nearly_the_tail_of_a_run_alone(tmp_path: Path) -> None:
    plan = plan_of(one_engine(tmp_path))
    tail = simulated_tail(plan, 0.001, plan.seconds.mid, SAMPLES)
    assert tail is not None
    assert tail.overloaded == 0
    # The lengths are narrower than those that the plan's seconds were made of.
    assert plan.seconds.mid < tail.p95_s < p95_s(plan)


def test_the_tail_grows_with_the_rate_until_it_is_overload(tmp_path: Path) -> None:
    plan = plan_of(one_engine(tmp_path, options={"max_num_seqs": 8}))
    found = [simulated_tail(plan, rate, plan.seconds.mid, SAMPLES) for rate in (0.01, 0.2, 3.0)]
    light, busy, over = (each for each in found if each is not None)
    assert light.p95_s < busy.p95_s < over.p95_s
    assert (light.is_overload, over.is_overload) == (False, True)
    assert light.warnings == ()
    assert "3 runs/s" in over.warnings[0]


def test_the_same_plan_has_the_same_tail(tmp_path: Path) -> None:
    plan = plan_of(one_engine(tmp_path))
    assert simulated_tail(plan, 0.5, 5.0, SAMPLES) == simulated_tail(plan, 0.5, 5.0, SAMPLES)


def test_a_replica_cut_out_of_many_stands_for_them(tmp_path: Path) -> None:
    one = one_engine(tmp_path)
    many = one.model_copy(update={"devices": (one.devices[0], gpu(count=64))})
    plan = plan_of(many)
    tail = simulated_tail(plan, 40.0, plan.seconds.mid, SAMPLES)
    assert tail is not None
    assert 1 < tail.divisor <= 64
    assert f"one in {tail.divisor} replicas" in tail.note(0.0)
    single = simulated_tail(plan_of(one), 40.0 / 64, plan.seconds.mid, SAMPLES)
    assert single is not None
    assert tail.p95_s == pytest.approx(single.p95_s, rel=0.4)


def test_nothing_is_simulated_where_nothing_is_known(tmp_path: Path) -> None:
    nowhere = plan_of(one_engine(tmp_path, device=None))
    assert simulated_tail(nowhere, 1.0, 5.0, SAMPLES) is None
    large = plan_of(one_engine(tmp_path), drafts(samples=200))
    assert simulated_tail(large, 1.0, 5.0, {"drafts": 200}) is None


def planning_asked(cluster: Cluster, **asked: Any) -> Plan:
    with parsed(drafts()) as module:
        return Planning(module).plan(Asked(cluster, **asked))


def test_plans_at_a_rate_say_that_they_were_simulated(tmp_path: Path) -> None:
    cluster = one_engine(tmp_path)
    alone = planning_asked(cluster)
    assert alone.p95_s == p95_s(alone)
    assert not any("simulated" in note for note in alone.notes)
    loaded = planning_asked(cluster, rate_per_s=0.5)
    assert loaded.p95_s is not None
    assert loaded.p95_s >= alone.p95_s
    assert any("simulated" in note and "at 0.5/s" in note and "seed" in note for note in loaded.notes)
    assert planning_asked(cluster, rate_per_s=0.5) == loaded


def test_a_plan_of_an_engine_nobody_knows_says_that_it_was_not(tmp_path: Path) -> None:
    made = planning_asked(one_engine(tmp_path, device=None), rate_per_s=0.5)
    assert made.p95_s == p95_s(planning_asked(one_engine(tmp_path, device=None)))
    assert any("p95 is that of a run alone" in note for note in made.notes)


def test_overload_that_only_the_simulator_sees_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = one_engine(tmp_path, options={"max_num_seqs": 8})
    monkeypatch.setattr(planning_module, "at_rate", lambda plan, rate_per_s, samples: plan)
    with pytest.raises(PlanError) as caught:
        planning_asked(cluster, rate_per_s=5.0)
    assert caught.value.code == "ORCH-P021"
    assert "simulations" in (caught.value.diagnostics[0].why or "")


def test_a_plan_whose_mean_keeps_the_sla_and_whose_tail_does_not_goes_back(tmp_path: Path) -> None:
    """A shopping list: the solver is content with few devices, the simulator is not, and more are taken."""
    config = config_file(tmp_path)
    devices: Sequence[Any] = (gpu(name="pool", count=32, link_bytes_per_s=None),)
    base = one_engine(tmp_path, device=None, config=config)
    cluster = base.model_copy(update={"devices": (base.devices[0], *devices)})
    rate_per_s = 12.0
    relaxed = planning_asked(cluster, objective="cost", rate_per_s=rate_per_s)
    assert relaxed.p95_s is not None
    sla_s = 0.9 * relaxed.p95_s
    assert relaxed.seconds.mid < sla_s < relaxed.p95_s
    kept = planning_asked(cluster, objective="cost", rate_per_s=rate_per_s, sla_s=sla_s)
    assert kept.p95_s is not None
    assert kept.p95_s <= sla_s

    def used(plan: Plan) -> int:
        return sum(site.replicas * site.tensor_parallel for site in plan.sites)

    assert used(kept) > used(relaxed)


def test_a_cluster_without_a_shopping_list_takes_the_next_candidate(tmp_path: Path) -> None:
    config = config_file(tmp_path)
    base = one_engine(tmp_path, config=config)
    cheap = base.engines[0].model_copy(update={"name": "cheap", "device": "cheap"})
    dear = cheap.model_copy(update={"name": "dear", "device": "dear"})
    devices = (base.devices[0], gpu(name="cheap", usd_per_hour=1.0), gpu(name="dear", count=8, usd_per_hour=9.0))
    cluster = Cluster(devices=devices, engines=(cheap, dear))
    rate_per_s = 2.0
    first = planning_asked(cluster, objective="cost", rate_per_s=rate_per_s)
    assert first.by_id["answer"].place == "engine:cheap"
    assert first.p95_s is not None
    with parsed(drafts()) as module:
        spread = Planning(module).plan(Asked(replace_engines(cluster, dear), objective="cost", rate_per_s=rate_per_s))
    assert spread.p95_s is not None
    assert spread.p95_s < first.p95_s
    between = (spread.p95_s + first.p95_s) / 2
    second = planning_asked(cluster, objective="cost", rate_per_s=rate_per_s, sla_s=between)
    assert second.by_id["answer"].place == "engine:dear"
    assert any("misses the SLA" in each.why for each in second.rejected)


def replace_engines(cluster: Cluster, *engines: Any) -> Cluster:
    return cluster.model_copy(update={"engines": engines})


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=5), st.data())
def test_runs_of_any_workflow_can_be_played(tmp_path: Path, steps: list[str], draw: st.DataObject) -> None:
    body, (question,) = workflow(question="str")
    region = body.closed([grow(body, question, steps, draw)])
    with parsed(region) as module:
        plan = plan_graph(read(module), one_engine(tmp_path), "latency")
    calls = {op.id for op in plan.ops if op.kind == "decode"}
    for program in runs_of(plan, 5):
        for number, stage in enumerate(program.stages):
            assert all(before < number for before in stage.after)
            assert (stage.model == "main") == (stage.step in calls)
            assert stage.prompt_tokens >= 1
            assert stage.output_tokens >= 1
            assert stage.tool_s >= 0


@settings(deadline=None, max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=5), st.data())
def test_any_workflow_has_a_tail(tmp_path: Path, steps: list[str], draw: st.DataObject) -> None:
    body, (question,) = workflow(question="str")
    reply, _ = body.ask_model("always", body.prompt("p", ["", ""], [question]))
    with parsed(body.closed([grow(body, reply, steps, draw)])) as module:
        plan = plan_graph(read(module), one_engine(tmp_path), "latency")
    tail = simulated_tail(plan, 0.01, plan.seconds.mid, {})
    assert tail is None or tail.p95_s > 0


@pytest.mark.parametrize("kind", ["loop", "map", "branch", "switch"])
def test_runs_in_which_nothing_happens_are_played_like_any_other(tmp_path: Path, kind: str) -> None:
    body, (question, flag, items) = workflow(question="str", flag="bool", items="list<str>")
    inner, asked = body.block({"loop": [("q", "str")], "map": [("item", "str")], "branch": [], "switch": []}[kind])
    reply, _ = inner.ask_model("ask", inner.prompt("p", ["Q: ", ""], [*asked, question][:1]), opts={"max_tokens": 40})
    if kind == "loop":
        condition, (_,) = body.block([("q", "str")])
        go = condition.call("go", "const", [], "bool", opts={"value": "true"})
        [last] = body.op(
            "agent.loop", "loop_1", [question], ["str"], [condition.closed([go]), inner.closed([reply])], max=3
        )
    elif kind == "map":
        [last] = body.op("agent.map", "map_1", [items], ["list<str>"], [inner.closed([reply])], limit=4)
    else:
        other, () = body.block([])
        arms = [inner.closed([reply]), other.closed([question])]
        given = {"cases": [["true"]]} if kind == "switch" else {}
        [last] = body.op(f"agent.{kind}", f"{kind}_1", [flag], ["str"], arms, **given)
    plan = plan_of(one_engine(tmp_path), body.closed([last]))
    drawn = [[stage.step for stage in program.stages] for program in runs_of(plan, 200)]
    assert ["nothing"] in drawn
    assert any("ask" in steps for steps in drawn)
    tail = simulated_tail(plan, 0.01, plan.seconds.mid, {})
    assert tail is not None
    assert tail.p95_s > 0


def test_an_attempt_is_played_without_a_failure(tmp_path: Path) -> None:
    body, (question,) = workflow(question="str")
    tried, () = body.block([])
    caught, (_,) = body.block([("error", "Error")])
    ended, () = body.block([])
    asked = []
    for block, name in ((tried, "try"), (caught, "handle"), (ended, "clean")):
        asked.append(block.ask_model(name, block.prompt(f"p_{name}", ["Q: ", ""], [question]))[0])
    regions = [tried.closed(asked[:1]), caught.closed(asked[1:2]), ended.closed([])]
    [last] = body.op("agent.attempt", "attempt_1", [], ["str"], regions, catches=[[]])
    plan = plan_of(one_engine(tmp_path), body.closed([last]))
    assert {tuple(stage.step for stage in program.stages) for program in runs_of(plan, 20)} == {("try", "clean")}


def test_the_number_of_runs_is_what_counts(tmp_path: Path) -> None:
    plan = plan_of(one_engine(tmp_path))
    tail = simulated_tail(plan, 0.5, plan.seconds.mid, SAMPLES)
    assert tail is not None
    assert f"{tail.runs:,} runs at 0.5/s" in tail.note(0.0)
    assert replace(tail, p95_s=1.0).note(2.0).startswith("p95 is that of a run alone")
