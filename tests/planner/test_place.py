from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import PlanError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.place import plan
from orchestrator.planner.plan import Plan
from tests.planner.clusters import config_file, cpu, gpu, one_engine
from tests.planner.level2 import Builder, parsed, workflow

CPU = Cluster(devices=(cpu(),))


def planned(body: Builder, result: str, cluster: Cluster, objective: str = "latency", **opts: object) -> Plan:
    with parsed(body.closed([result]), **opts) as module:
        return plan(module, cluster, objective)  # type: ignore[arg-type]


def asking(model: str = "default", prompt: str = "Say hello.") -> tuple[Builder, str]:
    body, _ = workflow()
    reply, _ = body.ask_model("llm_1", body.prompt("prompt_1", [prompt], []), model=model, opts={"max_tokens": 100})
    return body, reply


@pytest.mark.parametrize(
    ("kind", "attrs", "place"),
    [
        ("tool", {"place": "inline"}, "inline"),
        ("tool", {"place": "async"}, "async"),
        ("tool", {"opts": {"is_async": True}}, "async"),
        ("tool", {"effects": "once", "opts": {"typical_s": 5.0}}, "thread"),
        ("tool", {"effects": "pure"}, "thread"),
        ("tool", {"effects": "pure", "opts": {"typical_s": 0.05}}, "thread"),
        ("tool", {"effects": "pure", "opts": {"typical_s": 0.5}}, "thread"),
        ("retrieve", {"effects": "idempotent"}, "thread"),
        ("tool", {"callee": "builtin.eq"}, "inline"),
        ("field", {}, "inline"),
        ("ask", {}, "human"),
    ],
)
def test_places(kind: str, attrs: dict[str, object], place: str) -> None:
    body, (question,) = workflow(question="str")
    made = planned(body, body.call("op_1", kind, [question], "str", **attrs), CPU.model_copy(update={"ray": True}))
    assert made.by_id["op_1"].place == place


def beside_each_other(effects: str, **opts: object) -> tuple[Builder, str]:
    """Eight calls of a tool that wait for the same value."""
    body, (question,) = workflow(question="str")
    results = [body.call(f"op_{n}", "tool", [question], "str", effects=effects, opts=opts) for n in range(8)]
    return body, results[0]


def test_calls_that_compute_beside_each_other_leave_the_interpreter() -> None:
    made = planned(*beside_each_other("pure", typical_s=1.0), CPU)
    chosen = made.by_id["op_3"]
    assert chosen.place == "process"
    assert chosen.alternatives == (
        "thread: 5.8s more than the 2.2s of the chosen for 8 at once",
        "ray-task, ray-actor: this plan is for a run without Ray",
    )
    assert made.seconds.mid < 4.0


def test_calls_that_go_to_all_machines_of_ray_go_there_where_it_pays() -> None:
    elsewhere = cpu(name="pool", cores=16, count=2)
    cluster = Cluster(devices=(cpu(), elsewhere), ray=True)
    assert planned(*beside_each_other("pure", typical_s=5.0), cluster).by_id["op_0"].place == "ray-task"
    assert planned(*beside_each_other("pure", typical_s=0.01), cluster).by_id["op_0"].place == "thread"


def test_calls_that_may_have_side_effects_stay_in_threads_and_do_not_take_turns() -> None:
    made = planned(*beside_each_other("reads", typical_s=1.0), CPU)
    assert made.by_id["op_0"].place == "thread"
    assert made.by_id["op_0"].alternatives[0].endswith("what is not pure may need what only this process holds")
    assert made.seconds.mid == pytest.approx(8 * made.by_id["op_0"].seconds.mid / 4)  # four cores


def test_threads_that_compute_take_turns_in_the_estimate() -> None:
    made = planned(*beside_each_other("pure"), CPU)
    assert made.by_id["op_0"].place == "thread"
    assert "process: worth it for what computes for long; declare typical_s" in made.by_id["op_0"].alternatives
    assert made.seconds.mid == pytest.approx(8 * made.by_id["op_0"].seconds.mid)


@pytest.mark.parametrize("typical_s", [{}, {"typical_s": 0.05}, {"typical_s": 30.0}])
def test_a_tool_that_computes_alone_runs_in_a_thread_however_long_it_takes(typical_s: dict[str, float]) -> None:
    body, (question,) = workflow(question="str")
    made = planned(body, body.call("op_1", "tool", [question], "str", effects="pure", opts=typical_s), CPU)
    assert made.by_id["op_1"].place == "thread"


def test_a_tool_off_the_loop_says_why_it_is_where_it_is() -> None:
    body, (question,) = workflow(question="str")
    made = planned(body, body.call("op_1", "tool", [question], "str", effects="once"), CPU)
    assert made.by_id["op_1"].alternatives == (
        "process, ray-task, ray-actor: a lost worker could repeat its side effects",
    )
    assert made.by_id["op_1"].guesses == ("seconds",)


def test_the_module_gets_places_and_resources(tmp_path: Path) -> None:
    body, _ = workflow()
    reply, chat = body.ask_model("llm_1", body.prompt("prompt_1", ["Say hello."], []), opts={"max_tokens": 100})
    body.op("op.kv_release", "release_1", [chat], [], place="")
    with parsed(body.closed([reply])) as module:
        made = plan(module, one_engine(tmp_path))
        text = str(module)
    lines = {name: line for line in text.splitlines() for name in ("prefill", "decode", "kv_release") if name in line}
    for line in lines.values():
        assert 'place = "engine:main"' in line
        assert "flops = " in line
    assert len(lines) == 3
    # 50 tokens of reply and 10.5 of prompt, two FLOPs for each of 8.03e9 parameters, and a little attention.
    assert made.by_id["llm_1"].resources.flops == pytest.approx(60.5 * 2 * 8.03e9, rel=0.01)
    assert [op.id for op in made.ops] == ["prompt_1", "llm_1"]


def two_engines(folder: Path, **changes: float | None) -> Cluster:
    """A fast and dear GPU behind a slow and cheap one."""
    slow = gpu(name="slow", memory_bytes_per_s=1e11, usd_per_hour=0.036)
    fast = gpu(name="fast", memory_bytes_per_s=1e12, usd_per_hour=36.0)
    engines = [
        EngineSpec(name=device.name, kind="vllm", model="llama", device=device.name, config=config_file(folder))
        for device in (slow, fast)
    ]
    return Cluster(devices=(slow.model_copy(update=changes), fast, cpu()), engines=tuple(engines))


@pytest.mark.parametrize(("objective", "engine"), [("latency", "fast"), ("cost", "slow")])
def test_the_objective_decides_between_engines(tmp_path: Path, objective: str, engine: str) -> None:
    made = planned(*asking("llama"), two_engines(tmp_path), objective)
    chosen = made.by_id["llm_1"]
    assert chosen.place == f"engine:{engine}"
    [rejected] = chosen.alternatives
    assert "for 1,000 tokens in and 200 out" in rejected
    assert made.objective == objective


def test_an_unknown_price_never_counts_as_cheapest(tmp_path: Path) -> None:
    made = planned(*asking(), two_engines(tmp_path, usd_per_hour=None), "cost")
    assert made.by_id["llm_1"].place == "engine:fast"


def test_an_engine_may_be_asked_for_by_its_own_name(tmp_path: Path) -> None:
    assert planned(*asking("slow"), two_engines(tmp_path)).by_id["llm_1"].place == "engine:slow"


def test_every_model_that_nobody_serves_is_reported(tmp_path: Path) -> None:
    body, _ = workflow()
    prompt = body.prompt("p", ["x"], [])
    first, _ = body.ask_model("first", prompt, model="gpt-9")
    body.ask_model("again", prompt, model="gpt-9")
    body.ask_model("second", prompt, model="gpt-10")
    with pytest.raises(PlanError) as caught:
        planned(body, first, one_engine(tmp_path))
    assert [each.code for each in caught.value.diagnostics] == ["ORCH-P010", "ORCH-P010"]
    [found, _] = caught.value.diagnostics
    assert "'gpt-9', which `first` calls" in found.message
    assert found.why == "models served: llama"
    assert found.where is not None
    assert found.where.file == "app.py"


def test_a_cluster_without_engines_leaves_the_engine_to_whoever_runs_it() -> None:
    made = planned(*asking("gpt"), CPU)
    assert made.by_id["llm_1"].place == "engine:gpt"
    assert made.cost_usd is None
    assert any("the cluster has no engine" in warning for warning in made.warnings)


def test_a_model_that_does_not_fit_says_what_is_missing_and_what_would_do(tmp_path: Path) -> None:
    small = gpu(name="small", memory_bytes=12 * 2**30, count=2)
    spec = EngineSpec(name="e", kind="vllm", model="llama", device="small", config=config_file(tmp_path))
    with pytest.raises(PlanError) as caught:
        planned(*asking(), Cluster(devices=(small,), engines=(spec,)))
    [found] = caught.value.diagnostics
    assert found.code == "ORCH-P011"
    # 2 * 8,030,261,248 bytes of weights and 2048 * 131,072 bytes of KV cache are 15.2 GiB.
    assert found.why == "engine e: needs 15.2 GiB for weights and KV cache, 1 x small has 10.8 to give"
    assert found.fix is not None
    assert found.fix.startswith("it would fit on 2 x small or l4 or ")


def test_a_model_of_a_guessed_size_is_placed_and_warned_of() -> None:
    small = gpu(name="small", memory_bytes=12 * 2**30)
    spec = EngineSpec(name="e", kind="vllm", model="somebody/new-70b", device="small")
    made = planned(*asking(), Cluster(devices=(small,), engines=(spec,)))
    assert made.by_id["llm_1"].place == "engine:e"
    assert any("engine e may not start: as far as is known" in warning for warning in made.warnings)


def test_more_parallelism_than_devices_is_mended_by_less(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="tensor_parallel_size is 4, but there are only 1") as caught:
        planned(*asking(), one_engine(tmp_path, options={"tensor_parallel_size": 4}))
    assert (caught.value.diagnostics[0].fix or "").startswith("it would fit on 1 x gpu or ")


def test_no_parallelism_is_advised_that_does_not_divide_the_heads(tmp_path: Path) -> None:
    small = gpu(name="small", memory_bytes=12 * 2**30, count=8)
    config = config_file(tmp_path, num_attention_heads=25, num_key_value_heads=5, head_dim=128)
    spec = EngineSpec(name="e", kind="vllm", model="llama", device="small", config=config)
    with pytest.raises(PlanError) as caught:
        planned(*asking(), Cluster(devices=(small,), engines=(spec,)))
    assert "x small" not in (caught.value.diagnostics[0].fix or "")


def test_a_config_that_no_model_can_have_stops_nothing(tmp_path: Path) -> None:
    huge = config_file(tmp_path, hidden_size=10**9, num_hidden_layers=9_999, num_key_value_heads=10**6, head_dim=10**6)
    spec = EngineSpec(name="e", kind="vllm", model="llama", device="gpu", config=huge)
    made = planned(*asking(), Cluster(devices=(gpu(),), engines=(spec,)))
    assert made.by_id["llm_1"].place == "engine:e"
    assert any("more parameters than any model has" in warning for warning in made.warnings)


def test_an_engine_that_does_not_fit_is_passed_over_with_its_reason(tmp_path: Path) -> None:
    cluster = two_engines(tmp_path, memory_bytes=8e9)
    [rejected] = planned(*asking("llama"), cluster).by_id["llm_1"].alternatives
    assert rejected.startswith("engine:slow: needs 15.2 GiB")


def test_an_unknown_objective_is_refused() -> None:
    with pytest.raises(PlanError) as caught:
        planned(*asking(), CPU, "beauty")
    assert caught.value.code == "ORCH-P013"


def test_the_plan_warns_of_everything_it_does_not_know(tmp_path: Path) -> None:
    engines = (EngineSpec(name="far", kind="openai", model="gpt"), EngineSpec(name="sim", kind="sim", model="fake"))
    cluster = Cluster(devices=(gpu(), cpu(usd_per_hour=None)), engines=engines, warnings=("one GPU left out",))
    body, _ = workflow()
    prompt = body.prompt("p", ["x"], [])
    for name, model in (("real", "gpt"), ("made_up", "fake")):
        reply, _ = body.ask_model(name, prompt, model=model)
    made = planned(body, body.call("work", "tool", [reply], "str"), cluster)
    said = "\n".join(made.warnings)
    assert "one GPU left out" in said
    assert "engine far: its hardware is unknown" in said
    assert "engine sim is simulated" in said
    assert "no price known for cpu, used by work" in said
    assert made.cost_usd is None


def test_an_unknown_model_is_a_warning(tmp_path: Path) -> None:
    spec = EngineSpec(name="e", kind="vllm", model="mystery", device="gpu")
    made = planned(*asking(), Cluster(devices=(gpu(), cpu()), engines=(spec,)))
    assert any("no config.json for 'mystery'" in warning for warning in made.warnings)


def test_a_prompt_beyond_the_context_or_the_memory_is_a_warning(tmp_path: Path) -> None:
    short = one_engine(tmp_path, config=config_file(tmp_path, max_position_embeddings=1000))
    made = planned(*asking(prompt="x" * 8000), short)
    assert any("about 2008 prompt tokens; the model takes 1000" in warning for warning in made.warnings)
    # 16.1 of 18 GB are weights; 20,008 tokens of KV cache need 2.6 GB.
    tight = Cluster(devices=(gpu(memory_bytes=20e9), cpu()), engines=one_engine(tmp_path).engines)
    made = planned(*asking(prompt="x" * 80_000), tight)
    assert any("needs 2.4 GiB of KV cache; engine main has 1.8" in warning for warning in made.warnings)


@pytest.mark.parametrize(
    ("promise", "said"),
    [
        ({"slo": "p95 < 1ms"}, "the slo of 1ms is surely exceeded"),
        ({"slo": "p95 < 2s"}, "the slo of 2s is possibly exceeded"),
        ({"budget_usd": 0.000001}, "the budget of <$0.0001 is surely exceeded"),
        ({"budget_tokens": 60}, "the budget of 60 tokens is probably exceeded"),
        ({"budget_seconds": 1.5}, "the budget of 1.5s is possibly exceeded"),
        ({"slo": "p95 < 8h"}, None),
        ({"slo": "p50 < 2min", "budget_tokens": 5000}, None),
    ],
)
def test_promises_are_checked(tmp_path: Path, promise: dict[str, object], said: str | None) -> None:
    made = planned(*asking(), one_engine(tmp_path), **promise)
    assert [warning for warning in made.warnings if "exceeded" in warning][:1] == [
        warning for warning in made.warnings if said and said in warning
    ]
    assert any(said in warning for warning in made.warnings) if said else True


def test_a_budget_in_dollars_cannot_be_checked_without_prices() -> None:
    cluster = Cluster(devices=(cpu(),), engines=(EngineSpec(name="far", kind="openai", model="gpt"),))
    made = planned(*asking(), cluster, budget_usd=0.02)
    assert "the budget of $0.02 cannot be checked: a price is unknown" in made.warnings
