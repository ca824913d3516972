"""Majority vote over candidates, as in MAKER ("Solving a Million-Step LLM Task with Zero Errors", section 3).

Candidates that are None were red-flagged (too long, malformed, failed): they are discarded and never repaired, because
an answer that went wrong in form is more likely wrong in content. Ties go to the candidate that came first, so equal
candidates give equal results in every run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from orchestrator.dsl.control import map_
from orchestrator.dsl.tool import tool
from orchestrator.dsl.value import Value
from orchestrator.errors import RunError
from orchestrator.kernels.majority import majority

T = TypeVar("T")


def vote(values: Sequence[T | None], key: Callable[[T], Any] | None = None, *, name: str | None = None) -> T:
    """The candidate that most others equal; the first of those that are equal.

    ``key`` maps a candidate to what is compared: ``vote(drafts, key=run_sql)`` elects by result. Inside a workflow this
    is a pure op; on concrete values it computes at once. Raises ``RunError`` ORCH-R050 if every candidate is discarded.
    """
    compared: Any = values
    if key is not None:
        compared = map_(key, values) if isinstance(values, Value) else [None if v is None else key(v) for v in values]
    return cast(T, elect.options(name=name)(values, compared))  # as a decorated tool, it has lost its type variable


@tool(effects="pure", name="vote", typical_s=1e-5)
def elect(values: list[T | None], keys: list[Any]) -> T:
    """The first of the values whose key is the most frequent one."""
    pairs = zip(values, keys, strict=True)
    ballots = [None if value is None or key is None else _canonical(key) for value, key in pairs]
    elected = majority(ballots)
    winner = None if elected is None else values[elected.winner]
    if winner is None:
        raise RunError(
            "ORCH-R050",
            f"a vote among {len(values)} candidates, all discarded",
            why="every candidate is None",
            fix="ask for more samples, loosen what is discarded, or decide with branch(values != [], ...)",
        )
    return winner


def _canonical(key: Any) -> str:
    """One text for equal keys: models and containers as JSON with sorted keys."""
    dump = getattr(key, "model_dump", None)
    return json.dumps(key if dump is None else dump(mode="json"), sort_keys=True, default=_dump)


def _dump(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return repr(value) if dump is None else dump(mode="json")
