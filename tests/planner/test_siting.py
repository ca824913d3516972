"""From a workflow and a shopping list of devices to the placement program, and back to a cluster."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator import llm, map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.declared.policy import parse_seconds
from orchestrator.dsl.workflow import Workflow
from orchestrator.errors import PlanError
from orchestrator.passes.pipeline import run_pipeline
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.cluster_file import read_cluster
from orchestrator.planner.cost.call import call_cost
from orchestrator.planner.dataflow import dependencies, rounds
from orchestrator.planner.explain import render
from orchestrator.planner.placement import Workload, solve
from orchestrator.planner.plan import Objective, Plan, Site
from orchestrator.planner.planning import Asked, Planning
from orchestrator.planner.serving import Serving
from orchestrator.planner.siting import ELSEWHERE, Siting, anywhere, as_sited, hosts, problem_of, sited, unsited, ways

CLUSTER = """
[[device]]
name = "cpu"
type = "x86"
cores = 16
memory_bytes = 64e9
usd_per_hour = 0.4

[[device]]
name = "h100"
type = "h100-sxm"
count = 8

[[device]]
name = "l40s"
type = "l40s"
count = 8
usd_per_hour = {l40s}

[[engine]]
name = "big"
kind = "vllm"
model = "meta-llama/Llama-3.1-70B"

[[engine]]
name = "small"
kind = "vllm"
model = "meta-llama/Llama-3.1-8B"
"""


@tool(effects="pure", typical_s=0.2)
def run_sql(query: str) -> str:
    """Rows."""
    return query


@tool(effects="pure")
def count(text: str) -> int:
    """Characters."""
    return len(text)


@workflow
def answer(question: str) -> str:
    """Drafts by a small model, the answer by a large one."""
    drafts = llm(f"Question: {question}\nSQL:", samples=5, max_tokens=200, model="small")
    rows = map_(run_sql, drafts)
    return llm(f"Rows: {rows}\nAnswer:", model="big", max_tokens=300)


def planning() -> Planning:
    traced = answer.trace()
    level2, _ = run_pipeline(traced.module)
    return Planning(level2, traced.hash)


def cluster(folder: Path, l40s: str = "0.6", text: str = CLUSTER) -> Cluster:
    path = folder / "c.toml"
    path.write_text(text.format(l40s=l40s))
    return read_cluster(path)


def planned(folder: Path, **asked: object) -> Plan:
    return planning().plan(Asked(cluster(folder), **asked))  # type: ignore[arg-type]


def test_engines_without_a_device_are_the_planners(tmp_path: Path) -> None:
    offered = cluster(tmp_path)
    assert [each.name for each in unsited(offered)] == ["big", "small"]
    assert unsited(anywhere(offered)) == ()


def test_where_no_hardware_is_named_an_engine_is_started_as_it_is() -> None:
    bare = Cluster(engines=(EngineSpec(name="main", kind="vllm", model="m"),))
    assert unsited(bare) == ()
    assert compile_workflow(answer_by("main"), bare).plan.cluster == bare


def answer_by(model: str) -> Workflow[..., str]:
    @workflow
    def short(question: str) -> str:
        return llm(question, model=model, max_tokens=20)

    return short


def test_the_large_model_gets_what_holds_it_and_the_plan_says_so(tmp_path: Path) -> None:
    plan = planned(tmp_path, objective="cost")
    sites = {site.engine: site for site in plan.sites}
    # 141 GB of 16-bit weights: two H100 or four L40S at the least.
    big = sites["big"]
    least = {"h100": 2, "l40s": 4}[big.device.split("-")[0]]
    assert big.tensor_parallel >= least
    assert plan.cluster.engine("big").options["tensor_parallel_size"] == big.tensor_parallel
    assert plan.by_id["llm_2"].place == "engine:big"
    assert plan.by_id["llm_1"].place == "engine:small"
    assert any("proved" in note for note in plan.notes)
    assert unsited(plan.cluster) == ()


def test_latency_takes_the_fastest_and_cost_the_cheapest(tmp_path: Path) -> None:
    fast, cheap = planned(tmp_path, objective="latency"), planned(tmp_path, objective="cost")
    assert fast.seconds.mid < cheap.seconds.mid
    assert fast.cost_usd is not None
    assert cheap.cost_usd is not None
    assert cheap.cost_usd.mid < fast.cost_usd.mid


def test_three_alternatives_lost_and_say_why(tmp_path: Path) -> None:
    plan = planned(tmp_path, objective="latency")
    assert len(plan.rejected) == 3
    assert all("slower" in each.why for each in plan.rejected)


def test_more_runs_a_second_take_more_replicas(tmp_path: Path) -> None:
    few, many = (planned(tmp_path, objective="cost", rate_per_s=rate) for rate in (0.2, 20.0))

    def devices(plan: Plan) -> int:
        return sum(site.replicas * site.tensor_parallel for site in plan.sites)

    assert devices(many) > devices(few)
    assert all(share < 1 for share in many.utilisation.values())


@pytest.mark.parametrize(("objective", "rate_per_s"), [("cost", None), ("latency", 0.5), ("latency", 2.0)])
def test_what_the_error_of_an_sla_says_to_ask_for_can_be_had(
    tmp_path: Path, objective: str, rate_per_s: float | None
) -> None:
    with pytest.raises(PlanError, match="ORCH-P020") as caught:
        planned(tmp_path, objective=objective, sla_s=0.05, rate_per_s=rate_per_s)
    asked = re.search("ask for ([^ ]+) or more", str(caught.value))
    assert asked is not None
    made = planned(tmp_path, objective=objective, sla_s=parse_seconds(asked[1]), rate_per_s=rate_per_s)
    assert made.p95_s is not None and made.sla_s is not None
    assert made.p95_s <= made.sla_s


def test_an_sla_that_only_the_fastest_keeps_is_kept_whatever_is_planned_for(tmp_path: Path) -> None:
    fast = planned(tmp_path, objective="latency")
    assert fast.p95_s is not None
    plan = planned(tmp_path, objective="cost", sla_s=1.01 * fast.p95_s)
    assert plan.p95_s is not None
    assert plan.p95_s <= 1.01 * fast.p95_s


def test_the_fastest_taken_for_want_of_another_is_not_proved_best_for_what_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.planner.planning.ATTEMPTS", 1)
    fast = planned(tmp_path, objective="latency", rate_per_s=0.5)
    assert any("proved" in note for note in fast.notes)
    assert fast.p95_s is not None
    plan = planned(tmp_path, objective="cost", rate_per_s=0.5, sla_s=1.01 * fast.p95_s)
    assert (plan.objective, plan.p95_s) == ("cost", fast.p95_s)
    assert "placement: the fastest; no other that keeps the SLA was found" in plan.notes
    assert not any("proved" in note for note in plan.notes)


def test_a_tail_that_misses_the_sla_is_sent_back_for_a_faster_plan(tmp_path: Path) -> None:
    cheap = planned(tmp_path, objective="cost")
    fast = planned(tmp_path, objective="latency")
    assert cheap.p95_s is not None
    assert fast.p95_s is not None
    between = (cheap.p95_s + fast.p95_s) / 2
    plan = planned(tmp_path, objective="cost", sla_s=between)
    assert plan.p95_s is not None
    assert plan.p95_s <= between < cheap.p95_s


def test_an_unknown_price_is_no_price_of_zero(tmp_path: Path) -> None:
    free = CLUSTER.replace("usd_per_hour = {l40s}\n", "")
    offered = cluster(tmp_path, text=free)
    assert offered.device("l40s").usd_per_hour is None
    with pytest.raises(PlanError) as caught:
        planning().plan(Asked(offered, "cost"))
    assert caught.value.code == "ORCH-P045"
    assert "l40s" in str(caught.value)


def test_without_a_gpu_a_model_that_fits_the_cpu_goes_there(tmp_path: Path) -> None:
    only_cpu = CLUSTER[: CLUSTER.index('[[device]]\nname = "h100"')] + CLUSTER[CLUSTER.index("[[engine]]") :]
    both_small = only_cpu.replace("Llama-3.1-70B", "Llama-3.1-8B").replace("cores = 16", "cores = 16\ncount = 2")
    made = planning().plan(Asked(cluster(tmp_path, text=both_small)))
    assert {site.device.rstrip("-0123456789") for site in made.sites} == {"cpu"}
    with pytest.raises(PlanError) as caught:
        planning().plan(Asked(cluster(tmp_path, text=only_cpu)))
    assert caught.value.code == "ORCH-P011"


def test_a_cpu_without_a_price_or_its_power_is_offered_no_engine_where_there_are_gpus(tmp_path: Path) -> None:
    priced = cluster(tmp_path)
    rest = tuple(each for each in priced.devices if each.name != "cpu")
    for known, offered in (({"power_w": 200.0}, True), ({"usd_per_hour": None, "power_w": 200.0}, False), ({}, False)):
        cpu = priced.device("cpu").model_copy(update=known)
        names = [each.name for each in hosts(priced.model_copy(update={"devices": (cpu, *rest)}))]
        assert names == ["h100", "l40s", *(["cpu"] if offered else [])]


def test_the_program_of_a_workflow(tmp_path: Path) -> None:
    offered, subject = cluster(tmp_path), planning()
    estimate = subject._greedy(anywhere(offered), "latency")
    problem = problem_of(Siting(estimate, offered, {"llm_1": 5}, batched=True), Workload(rate_per_s=1.0))
    assert {op.id for op in problem.ops} == {"llm_1", "run_sql_1", "llm_2"}
    assert {(each.src, each.dst) for each in problem.transfers} == {("llm_1", "run_sql_1"), ("run_sql_1", "llm_2")}
    assert problem.op["run_sql_1"].choices[0].configuration == ELSEWHERE
    assert problem.op["run_sql_1"].executions == 5
    assert problem.op["run_sql_1"].rounds == 1
    by_batch = {each.configuration: each for each in problem.op["llm_2"].choices}
    one, sixteen = (by_batch[f"big on 8 x h100, batches of {n}"] for n in (1, 16))
    assert sixteen.seconds > one.seconds
    assert sixteen.busy_s < one.busy_s
    # The prompt of every call of a batch is computed, and nothing else meanwhile.
    way = next(each for each in ways(offered, (16,)) if each.name == sixteen.configuration)
    op = estimate.by_id["llm_2"]
    alone = call_cost(Serving(way.engine, way.replica), op.tokens_in, op.tokens_in, op.tokens_out, 16)
    assert sixteen.seconds == pytest.approx(alone.seconds.mid + 15 * alone.exclusive_s.mid)
    assert sixteen.busy_s >= alone.exclusive_s.mid > 0


def test_regions_and_bookkeeping_are_passed_through(tmp_path: Path) -> None:
    estimate = planning()._greedy(anywhere(cluster(tmp_path)), "latency")
    assert dependencies(estimate) == {"llm_1": (), "run_sql_1": ("llm_1",), "llm_2": ("run_sql_1",)}
    assert rounds(estimate, estimate.by_id["run_sql_1"]) == 1.0


def test_a_long_chain_of_bookkeeping_is_passed_through() -> None:
    @workflow
    def chained(text: str) -> int:
        number = count(text)
        for _ in range(1500):
            number = number + 1
        return count(f"{number}")

    level2, _ = run_pipeline(chained.trace().module)
    found = Planning(level2)._greedy(Cluster(), "latency")
    assert dependencies(found) == {"count_1": (), "count_2": ("count_1",)}


def test_what_is_split_takes_nobodys_name(tmp_path: Path) -> None:
    more = CLUSTER.replace('l40s"\ntype', 'h100-1"\ntype').replace('name = "big"', 'name = "small-2"')
    siting = Siting(planning()._greedy(anywhere(cluster(tmp_path)), "latency"), cluster(tmp_path, text=more), {}, False)
    chosen = {"small on 1 x h100": 2, "small on 2 x h100": 1, "small-2 on 8 x h100-1": 1}
    assert chosen.keys() <= siting.ways.keys()
    found = sited(SimpleNamespace(replicas=chosen, assignment={}, shares={}), siting).cluster  # type: ignore[arg-type]
    for names in ([each.name for each in found.devices], [each.name for each in found.engines]):
        assert len(set(names)) == len(names)
    assert {each.name: each.count for each in found.devices}["h100-1"] == 8


def test_what_is_compiled_is_what_is_planned(tmp_path: Path) -> None:
    offered = cluster(tmp_path)
    told = planning().plan(Asked(offered, "cost"))
    compiled = compile_workflow(answer, offered, "cost")
    assert compiled.plan.sites == told.sites
    assert compiled.plan.cluster == told.cluster
    assert [(op.id, op.place, op.device) for op in compiled.plan.ops] == [
        (op.id, op.place, op.device) for op in told.ops
    ]
    assert compile_workflow(answer, offered, "cost") is compiled


def test_the_module_has_the_places_of_the_plan_and_not_of_the_last_that_was_tried(tmp_path: Path) -> None:
    two = CLUSTER.replace('"meta-llama/Llama-3.1-70B"', '"meta-llama/Llama-3.1-8B"\ndevice = "h100"')
    offered = cluster(tmp_path, text=two.replace('name = "small"', 'name = "small"\ndevice = "l40s"'))

    @workflow
    def ask(question: str) -> str:
        return llm(question, max_tokens=20)

    objectives: tuple[Objective, ...] = ("latency", "cost")
    for objective in objectives:
        compiled = compile_workflow(ask, offered, objective)
        taken = compiled.plan.by_id["llm_1"].place
        assert compiled.level2.count('place = "engine:') == compiled.level2.count(f'place = "{taken}"') > 0


def test_a_site_is_started_with_all_that_it_says() -> None:
    engine = EngineSpec(name="e", kind="vllm", model="m", options={"dtype": "auto", "extra": {"seed": 1}})
    site = Site(engine="e-2", device="gpu", tensor_parallel=2, pipeline_parallel=2, replicas=3, batch=16)
    made = as_sited(engine, site)
    assert (made.name, made.device) == ("e-2", "gpu")
    assert made.options == {
        "dtype": "auto",
        "tensor_parallel_size": 2,
        "max_num_seqs": 16,
        "replicas": 3,
        "extra": {"seed": 1, "pipeline_parallel_size": 2},
    }
    alone = as_sited(engine, site.model_copy(update={"replicas": 1, "pipeline_parallel": 1, "batch": None}))
    assert alone.options == {"dtype": "auto", "tensor_parallel_size": 2, "extra": {"seed": 1}}


SPLIT = """
[[device]]
name = "cpu"
type = "x86"
cores = 16
memory_bytes = 64e9

[[device]]
name = "a"
type = "h100-sxm"
count = 2
usd_per_hour = 2.5

[[device]]
name = "b"
type = "l40s"
count = 4
usd_per_hour = 0.9

[[engine]]
name = "small"
kind = "vllm"
model = "meta-llama/Llama-3.1-8B"
"""


@workflow
def one_call(question: str) -> str:
    """One call."""
    return llm(f"Question: {question}", max_tokens=400)


def test_a_load_that_no_pool_carries_is_shared_by_two(tmp_path: Path) -> None:
    traced = one_call.trace()
    level2, _ = run_pipeline(traced.module)
    subject = Planning(level2, traced.hash)
    offered = cluster(tmp_path, text=SPLIT)
    estimate = subject._greedy(anywhere(offered), "latency")

    def most(*devices: str) -> float:
        there = offered.model_copy(update={"devices": tuple(each for each in offered.devices if each.name in devices)})
        return solve(problem_of(Siting(estimate, there, {}, batched=True), Workload()), "throughput").value

    rate = 0.9 * most("a", "b")
    assert rate > max(most("a"), most("b"))
    plan = subject.plan(Asked(offered, "cost", rate_per_s=rate))
    [call] = [op for op in plan.ops if op.kind == "decode"]
    assert call.place == f"engine:{call.shares[0].engine}"
    assert len(call.shares) > 1
    assert {each.engine for each in call.shares} == {site.engine for site in plan.sites} == set(plan.utilisation)
    # Each engine has its share of the calls to do, and each device is on the bill.
    assert all(0 < share < 1 for share in plan.utilisation.values())
    assert plan.bill is not None
    assert plan.bill.usd_per_hour == pytest.approx(
        sum(
            (plan.cluster.device(site.device).usd_per_hour or 0.0) * site.replicas * site.tensor_parallel
            for site in plan.sites
        )
    )
    assert any(f"of the calls on {call.shares[1].engine}" in line for line in render(plan, width=200).splitlines())
