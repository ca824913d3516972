from __future__ import annotations

from orchestrator.runtime.kv.metrics import families
from orchestrator.runtime.kv.pins import Outcome

REPORT = {
    "outcomes": {Outcome.PINNED.value: 3, Outcome.EXPIRED.value: 1},
    "pins": 2,
    "pinned_blocks": 10,
    "pinned_tokens": 320,
    "pinned_bytes": 40960,
    "budget_blocks": 50,
    "prompt_tokens": 900,
    "hit_tokens": 600,
    "recomputed_tokens": 32,
    "queue_s": {"held": 1.5, "memory": 0.25},
    "waiting": 0,
    "held": 4,
    "prefill_s_per_token": 1e-4,
    "guard_trusted": True,
}


def test_each_figure_of_a_report_is_a_metric() -> None:
    found = {family.name.removeprefix("orchestrator_kv_"): family for family in families({"0": REPORT})}
    assert found["hints"].samples == [(("0", "expired"), 1.0), (("0", "pinned"), 3.0)]
    assert found["hints"].labels == ("engine", "outcome")
    assert found["queue_seconds"].samples == [(("0", "held"), 1.5), (("0", "memory"), 0.25)]
    scalars = {name: family.samples[0][1] for name, family in found.items() if family.labels == ("engine",)}
    assert scalars == {
        "pins": 2,
        "pinned_blocks": 10,
        "pinned_tokens": 320,
        "pinned_bytes": 40960,
        "budget_blocks": 50,
        "prompt_tokens": 900,
        "hit_tokens": 600,
        "recomputed_tokens": 32,
        "held_turns": 4,
        "waiting_requests": 0,
        "prefill_seconds_per_token": 1e-4,
        "guard_trusted": 1,
    }


def test_totals_are_counters_and_levels_are_gauges() -> None:
    kinds = {family.name.removeprefix("orchestrator_kv_"): family.kind for family in families({"0": REPORT})}
    counters = {name for name, kind in kinds.items() if kind == "counter"}
    assert counters == {"hints", "prompt_tokens", "hit_tokens", "recomputed_tokens", "queue_seconds"}


def test_engines_are_told_apart_and_what_they_do_not_say_is_left_out() -> None:
    found = families({"a": {"pins": 1}, "b": {"pins": 2, "hit_tokens": 5}, "stock": {}})
    assert [(family.name, family.samples) for family in found] == [
        ("orchestrator_kv_pins", [(("a",), 1.0), (("b",), 2.0)]),
        ("orchestrator_kv_hit_tokens", [(("b",), 5.0)]),
    ]


def test_what_makes_no_sense_is_left_out() -> None:
    assert families({"0": {"pins": "many", "outcomes": None, "queue_s": 3.0}}) == []
