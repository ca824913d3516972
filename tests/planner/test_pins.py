"""The pins of a plan: what is kept between turns, and what computing it again would take."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import ask, chat, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.planner.cluster import Cluster, Device, EngineSpec
from orchestrator.planner.explain import render
from orchestrator.planner.plan import Pin, PinWorth, Plan

MODEL = Path(__file__).parents[2] / "examples" / "text2sql" / "model"
REMOTE = Cluster(engines=(EngineSpec(name="main", kind="openai", model="m"),))
SIM = Cluster(
    engines=(EngineSpec(name="main", kind="sim", model="m", options={"prefill_tokens_per_s": 1000.0}),)
)  # fmt: skip
CPU = Cluster(
    devices=(
        Device(
            name="cpu",
            type="x86",
            kind="cpu",
            cores=2,
            memory_bytes=16 * 2**30,
            memory_bytes_per_s=2e10,
            flops={"fp32": 1e11},
        ),
    ),
    engines=(EngineSpec(name="main", kind="vllm", model=str(MODEL), device="cpu"),),
)


@tool(effects="idempotent", typical_s=2.0, pause_features=("suite",))
def run_tests(suite: str, code: str) -> str:
    return suite + code


@workflow
def fix(suite: str) -> str:
    reply, talk = chat("You fix code. " * 100).say("fix it", max_tokens=100)
    reply, talk = talk.say(run_tests(suite, reply), max_tokens=100)
    return talk.say(ask(reply), max_tokens=100).reply


def plan_on(cluster: Cluster) -> Plan:
    return compile_workflow(fix, cluster=cluster).plan


def test_a_pin_says_what_it_waits_for_and_what_a_hit_saves() -> None:
    first, second = plan_on(SIM).pins
    assert (first.op, first.tool, first.features, first.typical_s) == ("llm_1", "run_tests", ("suite",), 2.0)
    assert (first.turns_left, first.longest_s, first.shared) == (2.0, 300.0, False)
    assert first.prefill_s == pytest.approx(first.tokens / 1000.0)
    assert (second.op, second.longest_s, second.because) == ("llm_2", 0.0, "waits for a human")
    assert second.tokens > first.tokens


def test_what_is_unknown_is_not_guessed() -> None:
    assert [(pin.prefill_s, pin.kv_share) for pin in plan_on(REMOTE).pins] == [(None, None)] * 2
    known = plan_on(CPU).pins[0]
    assert known.prefill_s is not None
    assert known.kv_share is not None
    assert 0 < known.kv_share < 1


def test_pins_survive_json() -> None:
    plan = plan_on(SIM)
    assert Plan.from_json(plan.to_json()).pins == plan.pins


def test_explain_has_a_row_for_each_pin_and_nothing_without() -> None:
    plan = plan_on(SIM)
    worth = PinWorth(
        median_s=2.0, upper_s=None, source="tool", count=12, ttl_s=4.0, hit_probability=0.75, saved_s=0.375
    )  # fmt: skip
    pins = (plan.pins[0].model_copy(update={"worth": worth, "prefill_s": 0.5}), plan.pins[1])
    lines = render(plan.model_copy(update={"pins": pins})).splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("KV kept after"))
    assert lines[at + 1].split("  ")[0] == "llm_1"
    for shown in ("run_tests", "2s (never)", "tool (12 seen)", "4s", "75 %", "375ms of 500ms"):
        assert shown in lines[at + 1]
    assert "ask" in lines[at + 2]
    assert "waits for a human" in lines[at + 2]
    assert "another request waits for memory" in "\n".join(lines)
    bare = render(plan.model_copy(update={"pins": ()}))
    assert "KV kept after" not in bare
    assert "waits for memory" not in bare


def test_a_pin_without_a_forecast_is_shown_without() -> None:
    plan = plan_on(REMOTE)
    text = render(plan)
    assert "KV kept after" in text
    assert "waits for memory" not in text
    assert Pin(op="a", turns_left=1.0, longest_s=1.0, tokens=1.0).worth is None


def endpoint(**options: bool) -> Cluster:
    return Cluster(engines=(EngineSpec(name="main", kind="openai", model="m", options=options),))


def test_an_endpoint_is_not_counted_on_to_keep_anything_unless_it_is_known_to() -> None:
    first = plan_on(endpoint()).pins[0]
    assert (first.longest_s, first.because) == (0.0, "its server may take no hints")
    assert "kv_hints = true" in render(plan_on(endpoint()))
    first = plan_on(endpoint(kv_hints=False)).pins[0]
    assert (first.longest_s, first.because) == (0.0, "its engine takes no hints")
    first = plan_on(endpoint(kv_hints=True)).pins[0]
    assert (first.longest_s, first.because) == (300.0, "")
    assert "kv_hints" not in render(plan_on(endpoint(kv_hints=True)))
