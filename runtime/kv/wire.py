"""What a request carries to an engine that keeps KV caches between turns, and what a message about a pause asks for."""

from __future__ import annotations

from math import ceil, isfinite
from typing import Final

from orchestrator.runtime.kv.hints import SESSION_ARGUMENT, Argument, KvHint

SESSION_HEADER: Final = "X-Session-ID"
COVERED: Final = 0.9
"""A pin that is extended lasts until this share of pauses is over."""


def request_arguments(session: str | None, hint: KvHint | None) -> dict[str, Argument]:
    """The session and its hint as flat arguments.

    >>> request_arguments("s1", KvHint(program="run-7"))
    {'orch_session': 's1', 'orch_program': 'run-7'}
    """
    named: dict[str, Argument] = {} if session is None else {SESSION_ARGUMENT: session}
    return named if hint is None else named | hint.to_args()


def ttl_asked_s(hint: KvHint) -> float | None:
    """How long from now a session's KV is to be kept, by a hint about the rest of its pause; None: it does not say.

    >>> ttl_asked_s(KvHint(pause_s=(1.0, 2.0, 3.0, float("inf"))))
    3.0
    >>> ttl_asked_s(KvHint(pause_s=(1.0, float("inf"), float("inf")))), ttl_asked_s(KvHint(pin_ttl_s=0.0))
    (0.0, 0.0)
    """
    times = hint.pause_s
    if not times:
        return hint.pin_ttl_s
    finite = [time for time in times if isfinite(time)]
    covered = times[ceil(COVERED * len(times)) - 1]
    if not isfinite(covered):
        covered = finite[-1] if 2 * len(finite) >= len(times) else 0.0
    return covered if hint.pin_ttl_s is None else min(covered, hint.pin_ttl_s)
