"""What ``orch run`` prints: results on stdout, the summary on stderr, or one JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from orchestrator.cli.failure import CTRL_C, FAILED, SUSPENDED, exit_code_of
from orchestrator.cli.printable import Printable
from orchestrator.cli.screen import say
from orchestrator.cli.streams import deliver, deliver_json
from orchestrator.errors import OrchError, RunError, SuspendedError
from orchestrator.planner.figures import dollars, duration

if TYPE_CHECKING:
    from orchestrator.cli.app import Facts, Outcome, Report
    from orchestrator.cli.keeping import Keeping
    from orchestrator.runtime.engines.base import Usage
    from orchestrator.runtime.result import RunResult

CANCELLED: Final = frozenset({"ORCH-R024", "ORCH-R033"})
"""Codes of a run that somebody has cancelled, now or before."""
UNDECIDED: Final = "ORCH-R104"
"""Somebody has to decide about a write."""
MOST_GONE_ON: Final = 10
"""Of so many runs without a result the command is said that goes on with them."""


def show_job(report: Report, *, as_json: bool) -> int:
    """Print an application's report; the exit code. Raises ``UndeliveredError`` where stdout cannot be written."""
    if as_json:
        deliver_json({"ok": not report.failed, **report.data})
    else:
        from orchestrator.cli.drawing import drawn

        deliver(drawn(report.view), end="", is_styled=True)
    return 1 if report.failed else 0


def tell_how_to_go_on(outcomes: Sequence[Outcome], keeping: Keeping | None) -> None:
    """Say the command that goes on with each run which is kept and has no result, but for those that somebody ended."""
    if keeping is None:
        return
    open_ = [each for each in outcomes if each.error is not None and each.error.code not in CANCELLED]
    stopped = {each.run_id: each.error for each in open_ if each.run_id is not None}
    for run_id, error in list(stopped.items())[:MOST_GONE_ON]:
        for line in _first(run_id, error, keeping):
            say(line)
        if keeping.key is None:
            say(f"the run is kept; go on with it: {keeping.go_on(run_id)}")
    if keeping.key is not None and open_:
        say("what was done is kept; the same command goes on with the rest")
    elif len(stopped) > MOST_GONE_ON:
        say(f"{len(stopped) - MOST_GONE_ON} more runs are kept: orch runs list")


def _first(run_id: str, error: OrchError | None, keeping: Keeping) -> Iterator[str]:
    """What a person has to say before a run can go on, and the commands that say so."""
    if isinstance(error, SuspendedError):
        for op in error.questions:
            yield f"answer it, in place of VALUE: {keeping.tell('answer', run_id, f'{op}=VALUE')}"
    for op in error.undecided if isinstance(error, RunError) else ():
        if error is not None and error.code == UNDECIDED:
            yield f"keep what `{op}` gave: {keeping.go_on(run_id, '--keep', op)}"
            yield f"or do it again: {keeping.go_on(run_id, '--again', op)}"
        else:
            told = keeping.tell("settle", run_id, op, "--did-not-happen")
            yield f"first say what became of `{op}`, with --result JSON, --failed TEXT, or as here: {told}"


def show_runs(workflow: str, outcomes: Sequence[Outcome], facts: Facts, *, as_json: bool, many: bool) -> int:
    """Print the results of a plain workflow; the exit code. Raises ``UndeliveredError`` where they did not arrive."""
    shown = Printable()
    if as_json:
        deliver_json(runs_data(workflow, outcomes, facts, many=many, shown=shown))
    else:
        for outcome in outcomes:
            if outcome.result is not None:
                text = value_text(outcome.result.value, shown, compact=many)
                deliver(text)
            elif outcome.error is not None:
                if outcome.error.code != CTRL_C:
                    say(f"{outcome.case.name}: {outcome.error}", colour="red")
                if many:
                    deliver("null")
        stopped = sum(outcome.error is not None and outcome.error.code == CTRL_C for outcome in outcomes)
        if stopped:
            what = f"{stopped} of {len(outcomes)} runs were" if len(outcomes) > 1 else "the run was"
            say(f"interrupted: {what} stopped", colour="yellow")
        say(summary(outcomes, facts), dim=True)
    for note in shown.notes:
        say(f"note: {note}", dim=True)
    codes = {exit_code_of(outcome.error) for outcome in outcomes if outcome.error}
    return 0 if not codes else SUSPENDED if codes == {SUSPENDED} else FAILED


def runs_data(
    workflow: str, outcomes: Sequence[Outcome], facts: Facts, *, many: bool, shown: Printable
) -> dict[str, Any]:
    """Everything about the runs, as strict JSON data; ``many``: a list of runs, not the only one."""
    head: dict[str, Any] = {
        "ok": all(outcome.error is None for outcome in outcomes),
        "workflow": workflow,
        "model": facts.model,
        "engine": facts.engine,
        "simulated": facts.simulated,
        "start_seconds": round(facts.start_seconds, 3),
        "spent": {
            **usage_data(facts.spent.usage),
            "cost_usd": None if facts.spent.unpriced else facts.spent.cost_usd,
        },
    }
    runs = [_run_data(outcome, shown) for outcome in outcomes]
    return head | ({"seconds": round(facts.seconds, 3), "runs": runs} if many else runs[0])


def value_text(value: object, shown: Printable, *, compact: bool = False) -> str:
    """A result as people read it: text and numbers as they are, anything else as JSON.

    ``compact`` gives one line of JSON.
    """
    plain = shown.of(value)
    if not compact and (isinstance(value, str) or type(value) is int) and isinstance(plain, str):
        return plain
    if type(value) is float and not compact:
        return str(value)
    return json.dumps(plain, ensure_ascii=False, indent=None if compact else 2)


def summary(outcomes: Sequence[Outcome], facts: Facts) -> str:
    """One line: what it took, and who answered."""
    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    parts = [f"{len(results)} of {len(outcomes)} runs"] if len(outcomes) > 1 else []
    parts.append(duration(facts.seconds))
    spent = facts.spent
    if facts.plan.cluster.engines and (results or spent.usage.input_tokens + spent.usage.output_tokens):
        parts += [usage_text(spent.usage), cost_text(None if spent.unpriced else spent.cost_usd)]
    if facts.plan.cluster.engines:
        parts.append(f"{facts.model} on {facts.engine}")
    if facts.simulated:
        parts.append("SIMULATED: no model answered")
    lines = [" · ".join(parts)]
    calls = spent.usage.input_tokens > 0
    if (
        calls
        and spent.usage.cached_tokens is None
        and any(each.kind == "openai" for each in facts.plan.cluster.engines)
    ):
        lines.append("? cached: the endpoint does not say; a vLLM server does with --enable-prompt-tokens-details")
    warnings = dict.fromkeys(warning for result in results for warning in result.warnings)
    return "\n".join([*lines, *(f"warning: {each}" for each in warnings)])


def usage_text(usage: Usage) -> str:
    """Tokens in and out; ``?`` where no engine says how many were cached."""
    cached = "?" if usage.cached_tokens is None else f"{usage.cached_tokens:,}"
    estimated = ", estimated: not all of it was reported" if usage.estimated else ""
    return f"{usage.input_tokens:,} tokens in ({cached} cached), {usage.output_tokens:,} out{estimated}"


def cost_text(usd: float | None) -> str:
    """A cost, never zero where it is unknown."""
    return "cost unknown" if usd is None else f"cost {dollars(usd)}"


def total_usage(results: Sequence[RunResult]) -> Usage:
    """Tokens of all runs."""
    from orchestrator.runtime.engines.base import Usage

    return sum((result.usage for result in results), start=Usage())


def total_cost(results: Sequence[RunResult]) -> float | None:
    """USD of all runs; None if any is unknown."""
    costs = [result.cost_usd for result in results]
    return None if None in costs else sum(cost for cost in costs if cost is not None)


def _run_data(outcome: Outcome, shown: Printable) -> dict[str, Any]:
    shared = {"inputs": shown.of(dict(outcome.case.inputs))}
    if outcome.result is None:
        assert outcome.error is not None
        shared |= {} if outcome.run_id is None else {"run_id": outcome.run_id}
        return shared | {"ok": False, "errors": [each.as_dict() for each in outcome.error.diagnostics]}
    result = outcome.result
    return shared | {
        "ok": True,
        "value": shown.of(result.value),
        "run_id": result.run_id,
        "seconds": round(result.seconds, 4),
        "usage": usage_data(result.usage),
        "cost_usd": result.cost_usd,
        "warnings": list(result.warnings),
        "unsettled": list(result.unsettled),
        "ops": [
            {
                "id": op.id,
                "frame": op.frame,
                "place": op.place,
                "seconds": round(op.seconds, 4),
                "attempts": op.attempts,
                "usage": usage_data(op.usage) if op.usage else None,
                "cost_usd": op.cost_usd,
                "finish_reasons": op.finish_reasons,
            }
            for op in result.ops
        ],
    }


def usage_data(usage: Usage) -> dict[str, int | bool | None]:
    """Tokens, for JSON; null for what no engine says."""
    return {
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "estimated": usage.estimated,
    }
