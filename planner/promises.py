"""What the workflow promised (``slo``, ``budget``) against what the plan expects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orchestrator.planner import figures
from orchestrator.planner.figures import dollars, duration, spread
from orchestrator.planner.interval import Interval

_SLO = re.compile(r"\s*p\d+(?:\.\d+)?\s*<=?\s*(\d+(?:\.\d+)?)\s*(ms|s|min)\s*")
_UNIT_S = {"ms": 1e-3, "s": 1.0, "min": 60.0}


def check_promises(
    opts: Mapping[str, Any], seconds: Interval, tokens: Interval, cost_usd: Interval | None
) -> list[str]:
    """One warning for each promise that the plan breaks surely, probably or possibly."""
    limits = [
        ("slo", slo_seconds(opts.get("slo")), seconds, duration),
        ("budget", opts.get("budget_seconds"), seconds, duration),
        ("budget", opts.get("budget_tokens"), tokens, lambda count: f"{figures.tokens(count)} tokens"),
        ("budget", opts.get("budget_usd"), cost_usd, dollars),
    ]
    found = []
    for name, limit, expected, form in limits:
        if limit is None:
            continue
        if expected is None:
            found.append(f"the {name} of {form(limit)} cannot be checked: a price is unknown")
        elif expected.hi > limit:
            how = "surely" if expected.lo > limit else "probably" if expected.mid > limit else "possibly"
            found.append(f"the {name} of {form(limit)} is {how} exceeded: {spread(expected, form)} expected")
    return found


def slo_seconds(slo: str | None) -> float | None:
    """``8.0`` out of ``"p95 < 8s"``; ``None`` when there is no such promise."""
    found = _SLO.fullmatch(slo or "")
    return float(found[1]) * _UNIT_S[found[2]] if found else None
