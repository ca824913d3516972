"""Policies of an op: how often it is retried, how long it may take, what it may cost.

Policies are plain data; they are checked when the op is traced, so that a bad one is reported together with everything
else that is wrong with the workflow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeGuard

Opts = dict[str, object]
"""Optional attributes of an op; see the ``opts`` dictionary in :mod:`orchestrator.ir.dialect`."""

_UNIT_SECONDS = {"µs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNIT = re.compile(r"(µs|us|ms|s|m|h|d)|(s)ec(?:ond)?s?|(m)in(?:ute)?s?|(h)(?:ou)?rs?|(d)ays?")
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-zµ]+)")
_USD = re.compile(r"\s*\$\s*(\d+(?:\.\d+)?)\s*")
_TOKENS = re.compile(r"\s*(\d+)\s*(?:tok|tokens)\s*")
_SLO = re.compile(r"\s*p(\d{1,2}(?:\.\d+)?)\s*<=?\s*(.+)")


class PolicyError(ValueError):
    """A policy that cannot be applied; ``fix`` says what to write instead."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Retry:
    """Repeat a failed op, waiting ``backoff_s`` and then twice as long each time.

    ``attempts`` counts the first one. ``jitter`` draws each wait between half and all of it. ``on`` restricts retries
    to these exceptions; None retries every error that is not a programming error of the workflow.
    """

    attempts: int = 3
    backoff_s: float = 0.5
    max_backoff_s: float = 30.0
    jitter: bool = True
    on: Collection[type[BaseException]] | type[BaseException] | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """Upper bounds on what an op may spend; None is unbounded."""

    usd: float | None = None
    tokens: int | None = None
    seconds: float | None = None


RetryLike = Retry | int | None
TimeoutLike = float | str | timedelta | None
BudgetLike = Budget | str | None


def policy_opts(retry: RetryLike = None, timeout: TimeoutLike = None, budget: BudgetLike = None) -> Opts:
    """The ``opts`` entries of the given policies; raises :class:`PolicyError`."""
    opts: Opts = {}
    if retry is not None:
        opts["retry"] = _retry_opts(retry)
    if timeout is not None:
        opts["timeout_s"] = _positive(parse_seconds(timeout), "timeout")
    if budget is not None:
        opts.update(_budget_opts(budget))
    return opts


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether ``value`` is a finite int or float; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: object) -> TypeGuard[int]:
    """Whether ``value`` is an int from 1 to what 32 bits hold; True is none."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 1 << 31


def parse_seconds(duration: float | str | timedelta) -> float:
    """Seconds of ``2.5``, a ``timedelta``, ``"500ms"``, ``"2 min"`` or ``"1h30m"``; raises :class:`PolicyError`."""
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, (int, float)) and not isinstance(duration, bool):
        return float(duration)
    seconds = _written_seconds(duration) if isinstance(duration, str) else None
    if seconds is None:
        raise PolicyError(f"{duration!r} is not a duration", 'write seconds as a number, or "500ms", "5s", "2m", "1h"')
    return seconds


def _written_seconds(text: str) -> float | None:
    """Seconds of quantities with units one after the other, or None."""
    seconds, end = 0.0, 0
    while match := _QUANTITY.match(text, end):
        unit = _UNIT.fullmatch(match[2])
        if unit is None:
            return None
        seconds += float(match[1]) * _UNIT_SECONDS[next(filter(None, unit.groups()))]
        end = match.end()
    return seconds if end and not text[end:].strip() else None


def parse_budget(text: str) -> Budget:
    """The budget written as ``"$0.02"``, ``"2000 tokens"`` or ``"30s"``, or several joined by commas."""
    usd: float | None = None
    tokens: int | None = None
    seconds: float | None = None
    for part in text.split(","):
        if match := _USD.fullmatch(part):
            usd = float(match[1])
        elif match := _TOKENS.fullmatch(part):
            tokens = int(match[1])
        elif (duration := _written_seconds(part)) is not None:
            seconds = duration
        else:
            raise PolicyError(f"{text!r} is not a budget", 'write "$0.02", "2000 tokens", "30s", or Budget(usd=0.02)')
    return Budget(usd, tokens, seconds)


def slo_opts(slo: str | None) -> Opts:
    """``{"slo": ...}`` in its normal form, ``"p95 < 8s"``."""
    if slo is None:
        return {}
    match = _SLO.fullmatch(slo) if isinstance(slo, str) else None
    if match is None or not 0 < float(match[1]) < 100:
        raise PolicyError(f"{slo!r} is not a latency objective", 'write a percentile and a bound, like "p95 < 8s"')
    seconds = _positive(parse_seconds(match[2]), "SLO")
    return {"slo": f"p{match[1]} < {seconds:g}s"}


def merged(defaults: Mapping[str, object], given: Mapping[str, object]) -> Opts:
    """``given`` over ``defaults``, where None means "not given"."""
    return {**defaults, **{key: value for key, value in given.items() if value is not None}}


def _retry_opts(retry: Retry | int) -> Opts:
    policy = Retry(attempts=retry) if isinstance(retry, int) and not isinstance(retry, bool) else retry
    if not isinstance(policy, Retry):
        raise PolicyError(f"{retry!r} is not a retry policy", "write retry=3 or retry=Retry(attempts=3)")
    if not is_count(policy.attempts):
        raise PolicyError(
            f"retry of {policy.attempts!r} attempts", "attempts counts the first one: use an int of 1 or more"
        )
    waits = (policy.backoff_s, policy.max_backoff_s)
    if not all(is_number(wait) and wait >= 0 for wait in waits):
        shown = f"a backoff of {waits[0]!r} s, at most {waits[1]!r} s"
        raise PolicyError(shown, "use backoff_s and max_backoff_s of 0 or more")
    opts: Opts = {
        "attempts": policy.attempts,
        "backoff_s": float(policy.backoff_s),
        "max_backoff_s": float(policy.max_backoff_s),
        "jitter": bool(policy.jitter),
    }
    if policy.on is not None:
        errors: list[Any] = list(policy.on) if isinstance(policy.on, (list, tuple, set, frozenset)) else [policy.on]
        if not all(isinstance(error, type) and issubclass(error, BaseException) for error in errors):
            raise PolicyError(f"retry on {policy.on!r}", "name exception classes: Retry(on=[TimeoutError])")
        opts["on"] = [f"{error.__module__}.{error.__qualname__}" for error in errors]
    return opts


def _budget_opts(budget: Budget | str) -> Opts:
    bounds = parse_budget(budget) if isinstance(budget, str) else budget
    if not isinstance(bounds, Budget):
        raise PolicyError(f"{budget!r} is not a budget", 'write budget="$0.02" or budget=Budget(usd=0.02)')
    opts: Opts = {}
    if bounds.usd is not None:
        opts["budget_usd"] = float(_positive(bounds.usd, "budget in dollars"))
    if bounds.tokens is not None:
        opts["budget_tokens"] = int(_positive(bounds.tokens, "budget in tokens"))
    if bounds.seconds is not None:
        opts["budget_seconds"] = float(_positive(bounds.seconds, "budget in seconds"))
    if not opts:
        raise PolicyError("a budget without any bound", "give usd, tokens or seconds, or leave the budget out")
    return opts


def _positive(number: object, what: str) -> float:
    if not (is_number(number) and number > 0):
        raise PolicyError(f"a {what} of {number!r}", f"use a number above 0 as {what}")
    return number
