"""Creating engines, and what is said when that cannot be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.errors import EngineError
from orchestrator.planner.policies import POLICIES
from orchestrator.runtime.engines import registry
from orchestrator.runtime.engines.vllm import version
from orchestrator.runtime.kv.replicas import ReplicaSet


def spec(kind: str, **options: object) -> SimpleNamespace:
    return SimpleNamespace(name="e", kind=kind, model="m", options=options)


def code_of(kind: str, **options: object) -> str:
    with pytest.raises(EngineError) as caught:
        registry.create(spec(kind, **options))
    return caught.value.code


def test_unknown_kind() -> None:
    assert code_of("nope") == "ORCH-E001"


def test_every_wrong_option_is_named() -> None:
    with pytest.raises(EngineError, match=r"time_scale.*colour"):
        registry.create(spec("sim", time_scale="x", colour="red"))


def test_options_of_the_planner_are_ignored() -> None:
    assert registry.create(spec("sim", tensor_parallel_size=2, max_num_batched_tokens=4096)).simulated


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("openai", {"kv_hint": True}, "kv_hint: there is no such option; did you mean `kv_hints`?"),
        ("vllm", {"max_model_length": 4096}, "did you mean `max_model_len`?"),
        ("sim", {"colour": 3}, "what is known here: context_tokens, decode_tokens_per_s"),
        ("openai", {"usd_per_million_input_tokens": 3.0}, "it stands beside `options` in the [[engine]] table"),
        ("sim", {"replica": 2}, "did you mean `replicas`?"),
        ("sim", {"seed": "x"}, "seed: Input should be a valid integer"),
        ("sim", {"policy": "critical-path"}, "policy: 'critical-path' is none; did you mean `critical-path+laxity`?"),
        ("sim", {"policy": 3}, "policy: 3 is none; one of round-robin+fcfs, "),
        ("sim", {"tenants": {"a": 0}}, "tenants: {'a': 0} is no table of positive shares"),
        ("sim", {"tenants": {"a": True}}, "no table of positive shares"),
        ("sim", {"tenants": {"a": float("inf")}}, "no table of positive shares"),
        ("sim", {"tenants": ["a"]}, "no table of positive shares"),
        ("vllm", {"kv": {"order": "laxity"}}, "order is 'laxity': did you mean `least-laxity`?"),
    ],
)
def test_wrong_options_are_told_without_making_an_engine(kind: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(EngineError) as caught:
        registry.check_options(spec(kind, **options))
    assert caught.value.code == "ORCH-E016"
    assert said in str(caught.value)


def test_arguments_of_vllm_that_plans_read_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "require", lambda: None)
    engine: Any = registry.create(spec("vllm", block_size=32, extra={"max_num_batched_tokens": 4096}))
    assert engine.options.extra == {"block_size": 32, "max_num_batched_tokens": 4096}


def test_vllm_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "installed", lambda: None)
    assert code_of("vllm") == "ORCH-E002"


@pytest.mark.parametrize("found", ["0.24.9", version.BELOW_VERSION, "1.0"])
def test_vllm_unsupported(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    monkeypatch.setattr(version, "installed", lambda: found)
    assert code_of("vllm") == "ORCH-E003"


def test_replicas_alike() -> None:
    two = registry.create(spec("sim", replicas=2, seed=3))
    assert isinstance(two, ReplicaSet)
    assert [(each.name, each.options.seed) for each in two.replicas] == [("e", 3), ("e", 3)]


@pytest.mark.parametrize("replicas", [{}, {"replicas": 2}])
def test_programs_share_an_engine_by_a_policy_of_the_planner_and_the_shares_of_tenants(
    replicas: dict[str, object],
) -> None:
    made = registry.create(spec("sim", policy="round-robin+fcfs", tenants={"team": 2}, **replicas))
    assert isinstance(made, ReplicaSet)
    assert len(made.replicas) == (2 if replicas else 1)
    assert made.options.routing.policy is POLICIES["round-robin+fcfs"]()
    assert made.options.admission.weights == {"team": 2}


@pytest.mark.parametrize(
    ("kv", "order"),
    [
        ({}, "urgency"),
        ({"kv": {"ttl_s": 1.0}}, "urgency"),
        ({"kv": {"order": "memory"}}, "memory"),
        ({"kv": False}, None),
    ],
)
def test_the_queue_of_vllm_has_the_order_of_its_policy(
    monkeypatch: pytest.MonkeyPatch, kv: dict[str, object], order: str | None
) -> None:
    monkeypatch.setattr(version, "require", lambda: None)
    made: Any = registry.create(spec("vllm", policy="workload-balanced+urgency", **kv))
    (engine,) = made.replicas
    assert (engine.options.kv is False) if order is None else (engine.options.kv.order == order)


def test_one_replica_at_each_endpoint() -> None:
    two = registry.create(spec("openai", endpoints=["http://a/v1", "http://b/v1"]))
    assert [each.options.base_url for each in two.replicas] == ["http://a/v1", "http://b/v1"]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("sim", {"replicas": 0}),
        ("sim", {"replicas": True}),
        ("sim", {"endpoints": ["http://a"]}),
        ("openai", {"endpoints": []}),
        ("openai", {"endpoints": "http://a"}),
        ("openai", {"endpoints": ["http://a"], "replicas": 2}),
        ("openai", {"endpoints": ["http://a"], "base_url": "http://b"}),
    ],
)
def test_replicas_that_make_no_sense(kind: str, options: dict[str, object]) -> None:
    assert code_of(kind, **options) == "ORCH-E016"
