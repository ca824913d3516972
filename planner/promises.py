"""What the workflow promised (``slo``, ``budget``) against what the plan expects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orchestrator.planner.interval import Interval

_SLO = re.compile(r"\s*p\d+(?:\.\d+)?\s*<=?\s*(\d+(?:\.\d+)?)\s*(ms|s|min)\s*")
_UNIT_S = {"ms": 1e-3, "s": 1.0, "min": 60.0}


def check_promises(
    opts: Mapping[str, Any], seconds: Interval, tokens: Interval, cost_usd: Interval | None
) -> list[str]:
    """One warning for each promise that the plan breaks surely, probably or possibly."""
    limits = [
        ("slo", slo_seconds(opts.get("slo")), seconds, "s"),
        ("budget of seconds", opts.get("budget_seconds"), seconds, "s"),
        ("budget of tokens", opts.get("budget_tokens"), tokens, "tokens"),
        ("budget", opts.get("budget_usd"), cost_usd, "USD"),
    ]
    found = []
    for name, limit, expected, unit in limits:
        if limit is None:
            continue
        if expected is None:
            found.append(f"the {name} of {limit:g} {unit} cannot be checked: a price is unknown")
        elif expected.hi > limit:
            how = "surely" if expected.lo > limit else "probably" if expected.mid > limit else "possibly"
            found.append(
                f"the {name} of {limit:g} {unit} is {how} broken: "
                f"{expected.lo:.3g} … {expected.mid:.3g} … {expected.hi:.3g} {unit} expected"
            )
    return found


def slo_seconds(slo: str | None) -> float | None:
    """``8.0`` out of ``"p95 < 8s"``; ``None`` when there is no such promise."""
    found = _SLO.fullmatch(slo or "")
    return float(found[1]) * _UNIT_S[found[2]] if found else None
