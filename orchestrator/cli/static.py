"""Static parameters on the command line: an option each, and one value for all runs of a command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.cli.app import Job
    from orchestrator.dsl.workflow import Workflow


def static_options(workflow: Workflow[..., Any]) -> list[click.Option]:
    """``--verbose true|false`` for ``verbose: Static[bool]``."""
    from orchestrator.dsl.types.typing import type_string

    if workflow.boundary.problems:
        return []
    return [
        click.Option([f"--{name.replace('_', '-')}", name], metavar="true|false" if tp is bool else type_string(tp))
        for name, tp in workflow.static_parameters.items()
    ]


def static_words(workflow: Workflow[..., Any], own: Mapping[str, Any]) -> list[str]:
    """The options of static parameters that were given, as words of a command."""
    given = {name: own.get(name) for name in workflow.static_parameters} if not workflow.boundary.problems else {}
    return [f"--{name.replace('_', '-')}={text}" for name, text in given.items() if text is not None]


def for_static(workflow: Workflow[..., Any], job: Job) -> tuple[Workflow[..., Any], Job]:
    """The workflow for the static values in the inputs of the runs, and the runs without them.

    Raises ``UsageError`` ORCH-U010 where runs of one command differ in them.
    """
    static = workflow.static_parameters
    if not static:
        return workflow, job
    found = [workflow.for_inputs({n: v for n, v in case.inputs.items() if n in static})[0] for case in job.cases]
    if any(each.static != found[0].static for each in found):
        names = ", ".join(f"`{name}`" for name in static)
        fix = "start a command for each value"
        raise UsageError("ORCH-U010", f"the runs differ in {names}, which a workflow is compiled for", fix=fix)
    cases = [
        replace(case, inputs={name: value for name, value in case.inputs.items() if name not in static})
        for case in job.cases
    ]
    return (found[0] if found else workflow), replace(job, cases=cases)
