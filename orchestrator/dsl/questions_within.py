"""Workflows that a tool calls and that ask a person: there a question is not kept, and nobody can answer it later.

A run that a tool has begun is executed anew in each attempt of the tool and has no log of its own. A workflow that is
called by a workflow is part of it, so its questions wait for an answer as long as it takes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from orchestrator.dsl.declared.tool_spec import ToolSpec
from orchestrator.dsl.source.location import definition_of, underlying
from orchestrator.dsl.workflow import Workflow
from orchestrator.errors import Diagnostic, OrchError


def questions_within(tool: ToolSpec[..., Any]) -> Iterator[Diagnostic]:
    """A warning for each workflow that the source of a tool names and that asks."""
    function = underlying(tool.fn)
    if not isinstance(function, FunctionType):
        return
    try:
        read = inspect.getclosurevars(function)
    except ValueError:  # a variable around it that is not bound yet
        return
    for each in {**read.globals, **read.nonlocals}.values():
        if isinstance(each, Workflow) and _asks(each):
            yield Diagnostic(
                "ORCH-D059",
                f"tool `{tool.name}` calls the workflow `{each.name}`, which asks a person",
                definition_of(tool.fn),
                "what a tool calls is executed anew in each attempt and keeps no questions: it is answered ahead or by "
                "whoever is at hand, or fails with ORCH-R030",
                f"call `{each.name}` in the workflow itself, or ask there and give the tool the answer",
            )


def _asks(workflow: Workflow[..., Any]) -> bool:
    from orchestrator.ir.walk import bodies, tree

    try:
        traced = next(iter(workflow.variants())).trace()
    except OrchError:  # it is said when it is called
        return False
    return any(node.op.name == "agent.ask" for body in bodies(tree(traced.module)) for node in body.nodes)
