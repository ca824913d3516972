"""Durations, rates and shares as people type them; a mistake is a ``UsageError`` ORCH-U002 that names the option."""

from __future__ import annotations

import re
from typing import Final

from orchestrator.errors import UsageError

_PER_S: Final = {"": 1.0, "s": 1.0, "min": 1 / 60, "h": 1 / 3600}
_RATE: Final = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(?:/\s*(s|min|h))?\s*")
_SHARE: Final = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(%?)\s*")


def seconds(text: str | None, option: str) -> float | None:
    """Seconds of ``8s``, ``250ms``, ``2min`` or ``1.5``; None for None."""
    if text is None:
        return None
    from orchestrator.dsl.declared.policy import PolicyError, parse_seconds

    try:
        found = float(text) if _SHARE.fullmatch(text) and not text.strip().endswith("%") else parse_seconds(text)
    except PolicyError as wrong:
        raise UsageError("ORCH-U002", f"{option}: {wrong}", fix=wrong.fix) from wrong
    return _positive(found, text, option, "8s")


def per_second(text: str | None, option: str) -> float | None:
    """Arrivals per second of ``2.5``, ``2.5/s``, ``30/min`` or ``100/h``; None for None."""
    if text is None:
        return None
    found = _RATE.fullmatch(text)
    if found is None:
        raise UsageError(
            "ORCH-U002", f"{option}: {text!r} is not a rate", fix=f"write {option} 2.5/s or {option} 30/min"
        )
    return _positive(float(found[1]) * _PER_S[found[2] or ""], text, option, "2.5/s")


def share(text: str, option: str) -> float:
    """0.05 of ``5%`` or ``0.05``."""
    found = _SHARE.fullmatch(text)
    if found is None:
        raise UsageError("ORCH-U002", f"{option}: {text!r} is not a share", fix=f"write {option} 5% or {option} 0.05")
    return float(found[1]) / (100 if found[2] else 1)


def _positive(value: float, text: str, option: str, example: str) -> float:
    if value <= 0:
        raise UsageError("ORCH-U002", f"{option}: {text!r} is not above 0", fix=f"write {option} {example}")
    return value
