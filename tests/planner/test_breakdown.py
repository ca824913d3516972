"""What the seconds of ops go into, and how many calls an engine holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.planner.breakdown import on_critical_path
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.interval import Interval
from orchestrator.planner.plan import Plan
from orchestrator.planner.planning import Asked, Planning
from tests.planner.clusters import config_file, cpu, gpu, one_engine
from tests.planner.level2 import parsed, workflow
from tests.planner.test_plan import op, small_plan


def asked(cluster: Cluster, prompt: str, samples: int = 1, max_tokens: int = 100) -> Plan:
    body, _ = workflow()
    reply, _ = body.ask_model("llm_1", body.prompt("p", [prompt], []), samples=samples, opts={"max_tokens": max_tokens})
    with parsed(body.closed([reply])) as module:
        return Planning(module).plan(Asked(cluster))


def engine(folder: Path, **options: object) -> EngineSpec:
    return EngineSpec(
        name="main", kind="vllm", model="llama", device="gpu", config=config_file(folder), options=options
    )


def test_parts_add_up_and_name_what_decides(tmp_path: Path) -> None:
    short = asked(one_engine(tmp_path), "Say hello.", max_tokens=500).by_id["llm_1"]
    assert sum(short.spent_s.values()) == pytest.approx(short.seconds.mid)
    assert next(iter(short.spent_s)) == "decode weights"
    long = asked(one_engine(tmp_path), "word " * 80_000, max_tokens=1).by_id["llm_1"]
    assert next(iter(long.spent_s)) == "prefill compute"
    wide = asked(one_engine(tmp_path), "word " * 40_000, samples=20, max_tokens=500).by_id["llm_1"]
    assert next(iter(wide.spent_s)) == "KV reads"


def test_devices_that_split_a_model_spend_on_their_links(tmp_path: Path) -> None:
    slow = gpu(count=2, link_bytes_per_s=1e8)
    both = Cluster(devices=(slow,), engines=(engine(tmp_path, tensor_parallel_size=2),))
    assert asked(both, "word " * 4000).by_id["llm_1"].spent_s["links"] > 0
    assert "links" not in asked(one_engine(tmp_path), "word " * 4000).by_id["llm_1"].spent_s


def test_the_batch_is_bounded_by_memory_and_by_the_engine(tmp_path: Path) -> None:
    made = asked(one_engine(tmp_path), "word " * 16_000).by_id["llm_1"]
    weights, usable = 2 * 8.03e9, 0.9 * 80e9
    assert made.batch_cap == int((usable - weights) // made.resources.kv_bytes)
    assert asked(one_engine(tmp_path), "Hi.").by_id["llm_1"].batch_cap == 256
    assert asked(one_engine(tmp_path), "Hi.", samples=3).by_id["llm_1"].batch_cap == 85
    told = Cluster(devices=(gpu(),), engines=(engine(tmp_path, max_num_seqs=7),))
    assert asked(told, "Hi.").by_id["llm_1"].batch_cap == 7


def test_a_service_is_a_service_and_holds_nobody_knows_how_many() -> None:
    made = asked(Cluster(engines=(EngineSpec(name="far", kind="openai", model="m"),)), "Hi.").by_id["llm_1"]
    assert made.spent_s == {"service": pytest.approx(made.seconds.mid)}
    assert made.batch_cap is None


def test_tools_people_and_bookkeeping_are_told_apart() -> None:
    body, (question,) = workflow(question="str")
    asked_one = body.call("ask_1", "ask", [question], "str")
    found = body.call("tool_1", "tool", [body.call("p", "prompt", [asked_one], "str", place="inline")], "str")
    with parsed(body.closed([found])) as module:
        made = Planning(module).plan(Asked(Cluster(devices=(cpu(),))))
    kinds = {each.id: list(each.spent_s) for each in made.ops}
    assert kinds == {"ask_1": ["person"], "p": ["event loop"], "tool_1": ["tool"]}


def test_the_critical_path_sums_what_is_inside_its_regions() -> None:
    inside = op(
        "a", parent="m", region="body", seconds=Interval.exact(1), spent_s={"tool": 1.0}, count=Interval.exact(6)
    )
    other = op(
        "b", parent="m", region="body", seconds=Interval.exact(3), spent_s={"person": 3.0}, count=Interval.exact(3)
    )
    region = op("m", kind="map", place="inline", seconds=Interval.exact(12))
    last = op("z", seconds=Interval.exact(2), spent_s={"tool": 2.0})
    made = small_plan(ops=(region, inside, other, last), seconds=Interval.exact(14), critical_path=("m", "z"))
    # Six of one second and three of three share the map's twelve seconds 6 : 9.
    assert on_critical_path(made) == pytest.approx({"person": 12 * 9 / 15, "tool": 12 * 6 / 15 + 2})
    assert on_critical_path(small_plan(critical_path=())) == {}
