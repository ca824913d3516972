"""The inputs of a run as a call from Python gives them: a mapping, or arguments as the workflow takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from inspect import Parameter
from typing import Any

from orchestrator.dsl.source.location import user_location
from orchestrator.dsl.tracing.tracer import current_tracer
from orchestrator.dsl.workflow import Workflow
from orchestrator.errors import Diagnostic, RunError, TraceError


def inputs_of(
    workflow: Workflow[..., Any], given: Sequence[object], named: Mapping[str, object], options: Mapping[str, bool]
) -> dict[str, object]:
    """The inputs by name, defaults included; one mapping alone gives them by name.

    ``options``: what else the call takes by name, and whether it was given. Raises ``TraceError`` ORCH-D002 for what is
    no workflow and ORCH-R045 while one is being traced, ``RunError`` ORCH-R007 for inputs that do not fit, with
    everything that is wrong with their names.
    """
    where = user_location()
    if not isinstance(workflow, Workflow):
        fix = "decorate the function with @workflow, and pass that"
        raise TraceError("ORCH-D002", f"run gets {workflow!r}, and no workflow", where=where, fix=fix)
    if current_tracer() is not None:
        message, why = f"the workflow `{workflow.name}` cannot be run here", "a workflow is being traced: nothing runs"
        raise TraceError("ORCH-R045", message, where=where, why=why, fix=f"call it: {workflow.name}(...)")
    by_name = given[0] if len(given) == 1 and isinstance(given[0], Mapping) and not named else None
    problems = _unknown(workflow, named if by_name is None else by_name, () if by_name is not None else options)
    if by_name is None:
        both = [name for name, is_given in options.items() if is_given and name in workflow.signature.parameters]
        fix = "give the inputs in a mapping: " + _example(workflow)
        problems += [
            _wrong(f"`{name}` is an input of `{workflow.name}`, and an option of the run", fix) for name in both
        ]
    if problems:
        raise RunError.collect([replace(each, where=where) for each in problems])
    if by_name is None:
        return workflow.inputs(*given, **named)
    parameters = workflow.signature.parameters.values()
    missing = [each.name for each in parameters if each.default is Parameter.empty and each.name not in by_name]
    if missing:
        fix = _example(workflow)
        raise RunError.collect(
            [
                replace(_wrong(f"the input `{name}` of `{workflow.name}` is missing", fix), where=where)
                for name in missing
            ]
        )
    return {**workflow.defaults, **by_name}


def _unknown(workflow: Workflow[..., Any], names: Iterable[object], options: Iterable[str]) -> list[Diagnostic]:
    parameters = workflow.signature.parameters
    found = []
    for name in names:
        if name in parameters:
            continue
        near = get_close_matches(str(name), [*parameters, *options], n=1, cutoff=0.6)
        fix = f"did you mean `{near[0]}`?" if near else f"its parameters are ({', '.join(parameters)})"
        if not options and len(parameters) == 1:
            fix += f"; a mapping that is an input goes into one: {_example(workflow)}"
        found.append(_wrong(f"`{workflow.name}` has no parameter `{name}`", fix))
    return found


def _wrong(message: str, fix: str) -> Diagnostic:
    return Diagnostic("ORCH-R007", message, fix=fix)


def _example(workflow: Workflow[..., Any]) -> str:
    inputs = ", ".join(f'"{name}": …' for name in workflow.signature.parameters)
    return f"run({getattr(workflow.fn, '__name__', workflow.name)}, {{{inputs}}})"
