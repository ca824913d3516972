from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.runtime.telemetry.prometheus import KvCollector


def scraped(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_scrape_shows_the_reports_of_that_moment() -> None:
    reports: dict[str, dict[str, Any]] = {}
    registry = CollectorRegistry(auto_describe=True)
    registry.register(KvCollector(lambda: reports))
    assert scraped(registry) == {}
    reports["main"] = {"outcomes": {"consumed": 2}, "pinned_tokens": 64}
    engine = ("engine", "main")
    assert scraped(registry) == {
        ("orchestrator_kv_hints_total", (engine, ("outcome", "consumed"))): 2.0,
        ("orchestrator_kv_pinned_tokens", (engine,)): 64.0,
    }
    reports["main"]["outcomes"]["consumed"] = 3
    assert scraped(registry)["orchestrator_kv_hints_total", (engine, ("outcome", "consumed"))] == 3.0
