"""What the pins of a plan are worth: the engine's own rule, asked in advance.

An engine decides about a pin when the turn ends, by its load then. In advance the load is taken to be what pins are
for: one other request waits for memory (:mod:`orchestrator.runtime.kv.retention`).
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Final

from orchestrator.planner.plan import Pin, PinWorth, Plan
from orchestrator.runtime.kv.durations import DurationModel
from orchestrator.runtime.kv.hints import PauseKey
from orchestrator.runtime.kv.pauses import forecast_of
from orchestrator.runtime.kv.ttl import best_ttl

if TYPE_CHECKING:
    from orchestrator.runtime.kv.forecast import Forecast

COVERAGE: Final = 0.9
WAITING: Final = 1
ASSUMED_SHARE: Final = 0.05
"""So much of the KV memory is taken, where its size is unknown."""


def with_worth(plan: Plan, durations: DurationModel | None = None) -> Plan:
    """The plan with the worth of each pin, by what ``durations`` has learned, the user has declared, or a prior."""
    model = durations if durations is not None else DurationModel()
    pins = tuple(pin.model_copy(update={"worth": worth_of(pin, plan.workflow, model)}) for pin in plan.pins)
    return plan.model_copy(update={"pins": pins})


def worth_of(pin: Pin, workflow: str, durations: DurationModel) -> PinWorth:
    """What one pin is worth in each pause after its turn."""
    key = PauseKey(workflow, pin.tool)
    forecast = forecast_of(durations, key, pin.typical_s)
    assert forecast is not None
    bound = durations.upper(key, COVERAGE) if forecast.source in ("tool", "features") else forecast.quantile(COVERAGE)
    ttl_s, hit = _kept(pin, forecast)
    return PinWorth(
        median_s=_known(forecast.quantile(0.5)),
        upper_s=_known(bound),
        source="declared" if forecast.source == "hint" else forecast.source,
        count=forecast.count,
        ttl_s=ttl_s,
        hit_probability=hit,
        saved_s=None if pin.prefill_s is None else hit * pin.prefill_s,
    )


def _kept(pin: Pin, forecast: Forecast) -> tuple[float | None, float]:
    """For how long, and the probability that the next turn comes before."""
    if pin.longest_s <= 0:
        return 0.0, 0.0
    if pin.prefill_s is None:
        return None, forecast.probability_by(pin.longest_s)
    share = ASSUMED_SHARE if pin.kv_share is None else pin.kv_share
    best = best_ttl(
        forecast, benefit_s=pin.prefill_s * (1 + WAITING), rent=share * WAITING, longest_s=pin.longest_s
    )  # fmt: skip
    return best.ttl_s, min(best.hit_probability, 1.0)


def _known(seconds: float) -> float | None:
    return seconds if isfinite(seconds) else None
