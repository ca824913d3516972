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
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, Final, TypeGuard

from orchestrator.dsl.declared import amounts
from orchestrator.errors import qualified

Opts = dict[str, object]
"""Optional attributes of an op; see the ``opts`` dictionary in :mod:`orchestrator.ir.dialect`."""

MOST_TOKENS: Final = 2**63 - 1
"""A budget may have so many: what the IR's integers hold."""
BUDGET_FORMS: Final = 'write "$0.02", "2 cents", "2000 tokens", "400k tokens", "1.5M tokens", "30s" or "2 min"'
_MEMORY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?b)\s*", re.IGNORECASE)
_UNIT_BYTES = {
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", 1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", 1)},
}
LEAST_MEMORY = 32 * 2**20
"""What the process of a tool needs before it does anything."""
MOST_MEMORY: Final = 2**62
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
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 1023


def is_count(value: object) -> TypeGuard[int]:
    """Whether ``value`` is an int from 1 to what 32 bits hold; True is none."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 1 << 31


def parse_seconds(duration: float | str | timedelta) -> float:
    """Seconds of ``2.5``, a ``timedelta``, ``"500ms"``, ``"2 min"`` or ``"1h30m"``; raises :class:`PolicyError`."""
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    number = _plain(duration)
    if isinstance(number, float):
        return number
    seconds = amounts.seconds(duration) if isinstance(duration, str) else None
    if seconds is None:
        fix = 'write seconds as a number, or "500ms", "5s", "2 min", "1h30m"'
        raise PolicyError(f"{duration!r} is not a duration", fix)
    return seconds


def parse_memory(size: str | int) -> int:
    """Bytes of ``"512 MiB"``, ``"1.5 GB"`` or a number of them; raises :class:`PolicyError`."""
    fix = 'write "512 MiB" or "2 GiB"'
    if is_count(size):
        found = int(size)
    else:
        match = _MEMORY.fullmatch(size) if isinstance(size, str) else None
        if match is None:
            raise PolicyError(f"{size!r} is not a size", fix)
        found = round(Decimal(match[1]) * _UNIT_BYTES[match[2].lower()])
    if found > MOST_MEMORY:
        raise PolicyError("more memory than any machine has", fix)
    if found < LEAST_MEMORY:
        raise PolicyError(f"{found:,} bytes are too few", f"Python itself takes about {LEAST_MEMORY >> 20} MiB: {fix}")
    return found


def parse_budget(text: str) -> Budget:
    """The budget written as ``"$0.02"``, ``"400k tokens"`` or ``"2 min"``, or several with commas between them.

    Raises :class:`PolicyError`, also for bounds that cannot be kept: of zero, or two of one kind.
    """
    found: dict[str, float] = {}
    for part in amounts.parts(text):
        kinds = {"usd": amounts.usd(part), "tokens": amounts.tokens(part), "seconds": amounts.seconds(part)}
        kind, amount = next(((kind, each) for kind, each in kinds.items() if each is not None), ("", 0.0))
        if not kind:
            raise PolicyError(f"{text!r} is not a budget", f"{BUDGET_FORMS}; several with commas between them")
        if kind in found:
            raise PolicyError(f"{text!r} bounds {kind} twice", "keep one of the two")
        found[kind] = amount
    return checked_budget(Budget(**found))  # type: ignore[arg-type]


def checked_budget(budget: Budget | str) -> Budget:
    """``budget`` with its bounds as numbers above 0; raises :class:`PolicyError` for any other."""
    if isinstance(budget, str):
        return parse_budget(budget)
    if not isinstance(budget, Budget):
        raise PolicyError(f"{budget!r} is not a budget", f"{BUDGET_FORMS}, or Budget(usd=0.02)")
    checked = Budget(
        None if budget.usd is None else _positive(_plain(budget.usd), "budget in dollars"),
        None if budget.tokens is None else _whole(budget.tokens),
        None if budget.seconds is None else _positive(_plain(budget.seconds), "budget in seconds"),
    )
    if checked == Budget():
        raise PolicyError("a budget without any bound", "give usd, tokens or seconds, or leave the budget out")
    return checked


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
        opts["on"] = [qualified(error) for error in errors]
    return opts


def _budget_opts(budget: Budget | str) -> Opts:
    bounds = checked_budget(budget)
    opts: Opts = {"budget_usd": bounds.usd, "budget_tokens": bounds.tokens, "budget_seconds": bounds.seconds}
    return {name: bound for name, bound in opts.items() if bound is not None}


def _whole(tokens: object) -> int:
    what = "budget in tokens"
    number = _positive(_plain(tokens), what)
    whole = int(tokens) if isinstance(tokens, Integral) else int(number)
    if whole != number and not isinstance(tokens, Integral):
        raise PolicyError(f"a {what} of {number:g}", "use a whole number of tokens")
    if whole > MOST_TOKENS:
        raise PolicyError(f"a {what} of {number:g}", f"use {MOST_TOKENS} at most, or leave the bound out")
    return whole


def _plain(number: object) -> object:
    """A number of any kind as a float, infinite where it is too large for one; anything else as it is."""
    if isinstance(number, bool) or not isinstance(number, (Real, Decimal)):
        return number
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _positive(number: object, what: str) -> float:
    if not (is_number(number) and number > 0):
        raise PolicyError(f"a {what} of {number!r}", f"use a number above 0 as {what}")
    return number
