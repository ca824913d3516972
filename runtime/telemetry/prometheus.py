"""Prometheus: what engines report about the KV cache they keep, collected at each scrape.

>>> from prometheus_client import CollectorRegistry, generate_latest
>>> registry = CollectorRegistry()
>>> registry.register(KvCollector(lambda: {"main": {"pinned_tokens": 320}}))
>>> print(generate_latest(registry).decode().splitlines()[-1])
orchestrator_kv_pinned_tokens{engine="main"} 320.0
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from orchestrator.runtime.kv.metrics import Report, families


class KvCollector(Collector):
    """Asks ``reports`` for each engine's report when it is scraped."""

    def __init__(self, reports: Callable[[], Mapping[str, Report]]) -> None:
        self._reports = reports

    def describe(self) -> list[Metric]:
        """Nothing in advance: which metrics there are depends on the engines."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family that some engine reports."""
        for family in families(self._reports()):
            kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
            metric = kind(family.name, family.documentation, labels=family.labels)
            for labels, value in family.samples:
                metric.add_metric(labels, value)
            yield metric
