"""Majority vote over candidates, as in MAKER ("Solving a Million-Step LLM Task with Zero Errors", section 3).

Candidates that are None were red-flagged (too long, malformed, failed): they are discarded and never repaired, because
an answer that went wrong in form is more likely wrong in content. Ties go to the candidate that came first, so equal
candidates give equal results in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import partial
from typing import Any, TypeVar, cast, get_args

from orchestrator.agents.ballot import ballot_of
from orchestrator.dsl.operations.expressions import narrow
from orchestrator.dsl.regions.control import branch, map_
from orchestrator.dsl.source.location import user_location
from orchestrator.dsl.tool import tool
from orchestrator.dsl.tracing.tracer import Value
from orchestrator.dsl.types.typing import element_type, is_list, plain, type_string, union
from orchestrator.errors import RunError, TraceError
from orchestrator.kernels.majority import majority

T = TypeVar("T")


def vote(values: Sequence[T | None], key: Callable[[T], Any] | None = None, *, name: str | None = None) -> T:
    """The candidate that most others equal; the first of those that are equal.

    ``key`` maps a candidate to what is compared: ``vote(drafts, key=run_sql)`` elects by result. Equal means equal as a
    value (:mod:`orchestrator.agents.ballot`): ``1`` and ``1.0`` are, ``"1"`` and ``"1 "`` are not. Inside a workflow
    this is a pure op; on concrete values it computes at once. Raises ``RunError`` ORCH-R050 if every candidate is
    discarded.
    """
    candidates: Any = _listed(values)
    if key is not None and not callable(key):
        fix = "key is a function of a candidate: vote(drafts, key=run_sql)"
        raise TraceError("ORCH-D041", f"vote: key={key!r}", where=user_location(), fix=fix)
    if key is None:
        compared = candidates
    elif isinstance(values, Value):
        compared = map_(partial(_key_of, key, element_type(values._type)), values)
    else:
        compared = [None if value is None else key(value) for value in candidates]
    return cast(T, elect.options(name=name)(candidates, compared))  # as a decorated tool, it has lost its type variable


def _listed(values: Any) -> Any:
    if isinstance(values, Value):
        got = None if is_list(values._type) else type_string(values._type)
    else:
        wrong = not isinstance(values, Iterable) or isinstance(values, (str, bytes, Mapping, Set))
        got = type(values).__qualname__ if wrong else None
    if got is not None:
        raise TraceError(
            "ORCH-D010",
            f"vote expects a list of candidates, but gets {got}",
            where=user_location(),
            why="candidates have an order, which decides ties, and may be equal, which is what is counted",
            fix="pass a list: vote([first, second, third])",
        )
    return values if isinstance(values, Value) else list(values)


def _key_of(key: Callable[[Any], Any], candidate_type: Any, candidate: Any) -> Any:
    """What is compared of a candidate; of one that is discarded, nothing."""
    members = [member for member in get_args(plain(candidate_type)) if member is not type(None)]
    if len(members) == len(get_args(plain(candidate_type))):
        return key(candidate)
    return branch(candidate == None, then=lambda: None, otherwise=lambda: key(narrow(candidate, union(*members))))  # noqa: E711


@tool(effects="pure", name="vote", cheap=True, typical_s=1e-5)
def elect(values: list[T | None], keys: list[Any]) -> T:
    """The first of the values whose key is the most frequent one."""
    pairs = zip(values, keys, strict=True)
    elected = majority([None if value is None or key is None else ballot_of(key) for value, key in pairs])
    winner = None if elected is None else values[elected.winner]
    if winner is None:
        raise RunError(
            "ORCH-R050",
            f"a vote among {len(values)} candidates, all discarded" if values else "a vote among no candidates",
            why="every candidate is None" if values else "the list is empty",
            fix="ask for more samples, loosen what is discarded, or decide with branch(values != [], ...)",
        )
    return winner
