"""Budgets in dollars need prices: a run that could not tell what a call costs is refused before its first call."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from orchestrator.dsl.declared.policy import Budget, PolicyError, checked_budget
from orchestrator.errors import Diagnostic, RunError
from orchestrator.runtime.program.program import Op, Program
from orchestrator.runtime.program.specs import Generate, Limits


def limits_of(budget: Limits | Budget | str | None) -> Limits | None:
    """A budget given to a run, in whatever form; raises ORCH-R028 for what is none."""
    if budget is None:
        return None
    if isinstance(budget, Limits):
        budget = Budget(budget.usd, budget.tokens, budget.seconds)
        if budget == Budget():
            return Limits()
    try:
        checked = checked_budget(budget)
    except PolicyError as wrong:
        raise RunError("ORCH-R028", str(wrong), fix=wrong.fix) from wrong
    return Limits(checked.usd, checked.tokens, checked.seconds)


def require_prices(
    program: Program,
    limits: Limits | None,
    engines_of: Callable[[Generate], Iterable[str]] = lambda spec: spec.engines or (spec.model,),
) -> None:
    """Raise ORCH-R011 if a model call counts against a budget in dollars, and the price of its engine is unknown.

    ``limits`` is the budget of the run; ``engines_of`` names the engines that a call may go to.
    """
    usd = None if limits is None else limits.usd
    unpriced: dict[str, tuple[Op, float]] = {}
    for op, own in program.model_calls:
        bound = usd if own is None else own
        if bound is None:
            continue
        assert isinstance(op.spec, Generate)
        for name in engines_of(op.spec):
            if name not in program.prices:
                unpriced.setdefault(name, (op, bound))
    if unpriced:
        raise RunError.collect([_problem(name, op, bound) for name, (op, bound) in unpriced.items()])


def _problem(engine: str, op: Op, usd: float) -> Diagnostic:
    return Diagnostic(
        "ORCH-R011",
        f"a budget of ${usd:g} cannot be kept: what engine `{engine}` charges is unknown",
        op.where,
        f"`{op.id}` calls it, and budgets are hard: nothing is started that might break one",
        f"give `{engine}` its price in the cluster file (usd_per_million_input_tokens and "
        'usd_per_million_output_tokens of its [[engine]]), or bound tokens instead: "400k tokens"',
    )
