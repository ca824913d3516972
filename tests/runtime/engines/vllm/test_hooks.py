"""Anything that the scheduler relies on and that is not there: vLLM's own scheduler runs, and the log says why."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.version import Version

pytest.importorskip("vllm")

from vllm.v1.core.block_pool import BlockPool
from vllm.v1.core.kv_cache_manager import KVCacheManager
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.request_queue import RequestQueue
from vllm.v1.core.sched.scheduler import Scheduler as StockScheduler

from orchestrator.runtime.engines.vllm import hooks, version
from tests.runtime.engines.vllm.schedulers import KEPT, REFUSED, Shape, kv_cache_config, ours, vllm_config


def problems(shape: Shape, **settings: Any) -> list[str]:
    """Of an engine of that shape, whose settings (``cache_config.enable_prefix_caching`` …) are replaced."""
    config = vllm_config(shape)
    parts = {"cache_config": {}, "scheduler_config": {}, "": {}}
    for name, value in settings.items():
        part, _, field = name.rpartition("__")
        parts[part][field] = value
    stand_in = SimpleNamespace(
        cache_config=SimpleNamespace(**{"enable_prefix_caching": True, **parts["cache_config"]}),
        scheduler_config=SimpleNamespace(**{"policy": config.scheduler_config.policy, **parts["scheduler_config"]}),
        kv_transfer_config=parts[""].get("kv_transfer_config"),
        diffusion_config=parts[""].get("diffusion_config"),
    )
    return hooks.problems(stand_in, kv_cache_config(shape))


@pytest.mark.parametrize("kind", KEPT)
def test_nothing_is_missing_in_the_installed_version(kind: str) -> None:
    assert hooks.problems(vllm_config(KEPT[kind]), kv_cache_config(KEPT[kind])) == []


@pytest.mark.parametrize(
    ("owner", "method"),
    [
        (StockScheduler, "_free_blocks"),
        (KVCacheManager, "allocate_slots"),
        (KVCacheManager, "pop_blocks_for_free"),
        (BlockPool, "free_blocks"),
        (RequestQueue, "prepend_requests"),
        (RequestQueue, "remove_requests"),
    ],
)
def test_methods_are_looked_up_with_their_parameters(monkeypatch: pytest.MonkeyPatch, owner: type, method: str) -> None:
    monkeypatch.setattr(owner, method, lambda self, something_else: None)
    renamed = problems(Shape())
    assert renamed and all(f"`{owner.__name__}.{method}` has no parameter" in problem for problem in renamed)
    monkeypatch.delattr(owner, method)
    assert problems(Shape()) == [f"vLLM has no `{owner.__name__}.{method}`"]


def test_the_methods_without_parameters_are_looked_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, method in ((BlockPool, "get_num_free_blocks"), (RequestQueue, "peek_request")):
        monkeypatch.delattr(owner, method)
    assert set(problems(Shape())) == {
        "vLLM has no `BlockPool.get_num_free_blocks`",
        "vLLM has no `RequestQueue.peek_request`",
    }


def test_attributes_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def made_otherwise(
        self: Any, vllm_config: Any, kv_cache_config: Any, block_size: int, log_stats: bool = False
    ) -> None:
        self.vllm_config, self.cache_config, self.block_size = vllm_config, vllm_config.cache_config, block_size
        self.kv_cache_manager, self.requests, self.running = None, {}, []
        self.kv_cache_config, self.max_num_running_reqs, self.max_num_scheduled_tokens = kv_cache_config, 1, 1
        self.num_lookahead_tokens = 0

    monkeypatch.setattr(StockScheduler, "__init__", made_otherwise)
    assert problems(Shape()) == [
        "vLLM's `Scheduler` has no `waiting`",
        "vLLM's `Scheduler` has no `create_request_queue`",
    ]


@pytest.mark.parametrize("found", ["0.24.3", "0.34.0", None])
def test_the_version_is_checked(monkeypatch: pytest.MonkeyPatch, found: str | None) -> None:
    monkeypatch.setattr(version, "installed", lambda: found)
    told = problems(Shape())
    assert len(told) == 1
    assert (found or "not installed") in told[0]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"cache_config__enable_prefix_caching": False}, "prefix caching is off"),
        ({"scheduler_config__policy": "priority"}, "the scheduling policy is `priority`, not `fcfs`"),
        ({"diffusion_config": object()}, "diffusion models"),
        ({"kv_transfer_config": SimpleNamespace(kv_connector="NixlConnector")}, "`NixlConnector`"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], told: str) -> None:
    (problem,) = problems(Shape(), **settings)
    assert told in problem


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        (("sliding",), "SlidingWindowSpec"),
        (("full", "sliding"), "SlidingWindowSpec"),
        (("full", "mamba"), "MambaSpec"),
        (("full", "full"), "2 groups of layers"),
        ((), "no KV cache"),
    ],
)
def test_kinds_of_kv_cache_are_checked(groups: tuple[str, ...], told: str) -> None:
    config = kv_cache_config(Shape(groups=groups))
    (problem,) = hooks.problems(vllm_config(Shape()), config)
    assert told in problem


@pytest.mark.skipif(
    Version(version.installed() or "0") < Version("0.32"), reason="older vLLMs have fewer schedulers for them"
)
@pytest.mark.parametrize(("overlapped", "name"), [(False, "DiffusionScheduler"), (True, "DiffusionAsyncScheduler")])
def test_diffusion_models_get_the_scheduler_that_vllm_makes_for_them(overlapped: bool, name: str) -> None:
    config = SimpleNamespace(
        scheduler_config=SimpleNamespace(async_scheduling=overlapped), diffusion_config=SimpleNamespace()
    )
    assert hooks.stock(config).__name__ == name


def test_layers_of_one_group_are_checked_each() -> None:
    mixed = kv_cache_config(Shape(groups=("full", "sliding"))).kv_cache_groups
    specs = {f"layer.{at}": group.kv_cache_spec for at, group in enumerate(mixed)}
    uniform = SimpleNamespace(kv_cache_specs=specs)
    config = SimpleNamespace(kv_cache_groups=[SimpleNamespace(kv_cache_spec=uniform)])
    (problem,) = hooks.problems(vllm_config(Shape()), config)
    assert "SlidingWindowSpec" in problem


@pytest.mark.parametrize("kind", REFUSED)
def test_the_engine_then_runs_vllms_own_scheduler_and_says_why(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ours_logs = logging.getLogger("vllm.orchestrator")
    monkeypatch.setattr(ours_logs, "propagate", True)
    monkeypatch.setattr(logging.getLogger("vllm"), "propagate", True)
    with caplog.at_level(logging.WARNING, logger="vllm.orchestrator"):
        scheduler = ours(REFUSED[kind])
    assert type(scheduler) is (AsyncScheduler if REFUSED[kind].overlapped else StockScheduler)
    (warning,) = {record.getMessage() for record in caplog.records if record.name == "vllm.orchestrator"}
    assert "stock vLLM" in warning
    assert hooks.problems(vllm_config(REFUSED[kind]), kv_cache_config(REFUSED[kind]))[0] in warning
