"""What an engine reports about the KV cache it keeps between turns, as families of metrics; needs no metrics library.

A report is the plain JSON that the engine's scheduler gives (``kv_report``); what it does not say has no metric.

>>> [family.name for family in families({"0": {"pinned_tokens": 320, "hit_tokens": 64}})]
['orchestrator_kv_pinned_tokens', 'orchestrator_kv_hit_tokens']
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

PREFIX: Final = "orchestrator_kv_"
"""All names begin so: who looks for them knows that the engine takes hints."""
Report = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with its samples: label values in the order of ``labels``, and the value."""

    name: str
    kind: Literal["counter", "gauge"]
    documentation: str
    labels: tuple[str, ...]
    samples: list[tuple[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class _Metric:
    """Where in a report a metric is found; with ``label``, at each key of a mapping."""

    key: str
    name: str
    kind: Literal["counter", "gauge"]
    documentation: str
    label: str | None = None


_METRICS: Final[Sequence[_Metric]] = (
    _Metric("outcomes", "hints", "counter", "Hints to keep a session's KV cache, by what became of them", "outcome"),
    _Metric("pins", "pins", "gauge", "Sessions whose KV cache is kept between turns"),
    _Metric("pinned_blocks", "pinned_blocks", "gauge", "KV cache blocks that pins hold"),
    _Metric("pinned_tokens", "pinned_tokens", "gauge", "Tokens whose KV cache pins hold"),
    _Metric("pinned_bytes", "pinned_bytes", "gauge", "Bytes of KV cache that pins hold in each worker"),
    _Metric("budget_blocks", "budget_blocks", "gauge", "KV cache blocks that pins may hold at most"),
    _Metric("prompt_tokens", "prompt_tokens", "counter", "Prompt tokens of turns with hints"),
    _Metric("hit_tokens", "hit_tokens", "counter", "Of those, found in the prefix cache"),
    _Metric(
        "recomputed_tokens",
        "recomputed_tokens",
        "counter",
        "Of those, computed although the session had them at the end of its last turn",
    ),
    _Metric("queue_s", "queue_seconds", "counter", "Seconds that turns with hints waited, by cause", "cause"),
    _Metric("queued", "queued_turns", "counter", "Turns with hints that waited, by cause", "cause"),
    _Metric("held", "held_turns", "gauge", "Turns held back until their session is expected to fit"),
    _Metric("waiting", "waiting_requests", "gauge", "Requests in the queue besides those held back"),
    _Metric("prefill_s_per_token", "prefill_seconds_per_token", "gauge", "Measured time to compute a prompt token"),
    _Metric("guard_trusted", "guard_trusted", "gauge", "1 while predictions do no worse than LRU"),
)


def families(reports: Mapping[str, Report]) -> list[Family]:
    """Metrics of several engines, each with its report, under the label ``engine``."""
    found = (_family(metric, reports) for metric in _METRICS)
    return [family for family in found if family.samples]


def _family(metric: _Metric, reports: Mapping[str, Report]) -> Family:
    labels = ("engine",) if metric.label is None else ("engine", metric.label)
    samples = [
        ((engine, *each), value)
        for engine, report in reports.items()
        for each, value in _values(report.get(metric.key), labelled=metric.label is not None)
    ]
    return Family(f"{PREFIX}{metric.name}", metric.kind, metric.documentation, labels, samples)


def _values(found: object, *, labelled: bool) -> list[tuple[tuple[str, ...], float]]:
    if not labelled:
        return [((), float(found))] if isinstance(found, int | float) else []
    return [((name,), float(value)) for name, value in sorted(found.items())] if isinstance(found, Mapping) else []
