"""When a failed attempt is repeated, and after how long.

The wait doubles with each failure up to a maximum; jitter draws it between half and all of that, so that ops which
failed together do not come back together.
"""

from __future__ import annotations

import random

from orchestrator.errors import BudgetError, OrchError, UnsettledError
from orchestrator.runtime.engines.errors import is_transient
from orchestrator.runtime.program.specs import Policy

_BUGS = (TypeError, NameError, AttributeError, NotImplementedError, SyntaxError, AssertionError, ImportError)
"""Errors of the program rather than of the world: repeating changes nothing."""
_REPEATABLE = frozenset(
    {"ORCH-R001", "ORCH-R002", "ORCH-R003", "ORCH-R004", "ORCH-R006", "ORCH-R040", "ORCH-R041", "ORCH-R044"}
)
"""Coded failures of something inside a structured op that another attempt may not meet."""


def wait_s(policy: Policy, attempt: int, error: BaseException, rng: random.Random) -> float | None:
    """Seconds to wait after attempt number ``attempt`` failed with ``error``; None to give up."""
    if attempt >= policy.attempts or not is_repeatable(policy, error):
        return None
    longest = min(policy.max_backoff_s, policy.backoff_s * 2.0 ** min(attempt - 1, 60))
    return rng.uniform(longest / 2, longest) if policy.jitter else longest


def is_repeatable(policy: Policy, error: BaseException) -> bool:
    """Whether ``policy`` repeats an op that failed with ``error``."""
    if isinstance(error, (BudgetError, UnsettledError)):
        return False
    causes = (error, error.__cause__) if isinstance(error, OrchError) else (error,)
    if policy.on is not None:
        names = {f"{cls.__module__}.{cls.__qualname__}" for each in causes if each for cls in type(each).__mro__}
        return not names.isdisjoint(policy.on)
    if isinstance(error, OrchError):
        return is_transient(error) or (error.code in _REPEATABLE and not isinstance(error.__cause__, _BUGS))
    return not isinstance(error, _BUGS)
