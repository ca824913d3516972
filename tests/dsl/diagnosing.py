"""What tracing says of workflows that are wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator import tool, workflow
from orchestrator.dsl.codes import CODES
from orchestrator.dsl.workflow import Workflow
from orchestrator.errors import Diagnostic, TraceError
from tests.dsl.recording import record


class Query(BaseModel):
    sql: str
    limit: int | None = None


@tool(effects="pure")
def run_sql(query: str) -> list[str]:
    return [query]


@tool(effects="pure")
def count(rows: list[str]) -> int:
    return len(rows)


def diagnose(function: Callable[..., Any] | Workflow[..., Any]) -> list[Diagnostic]:
    """The errors of a workflow, each checked for being in the table and at a line marked with its code."""
    flow = function if isinstance(function, Workflow) else workflow(function)
    with pytest.raises(TraceError) as caught:
        record(flow)
    source, first = inspect.getsourcelines(flow.fn)
    for diagnostic in caught.value.diagnostics:
        assert diagnostic.code in CODES
        assert diagnostic.where is not None
        marked = [first + i for i, line in enumerate(source) if f"# {diagnostic.code[5:]}" in line]
        assert diagnostic.where.line in marked, diagnostic
        assert diagnostic.where.file == flow.fn.__code__.co_filename
    return caught.value.diagnostics


def the_error(function: Callable[..., Any]) -> Diagnostic:
    (diagnostic,) = diagnose(function)
    return diagnostic


def the_error_at_caller(function: Callable[..., Any]) -> Diagnostic:
    with pytest.raises(TraceError) as caught:
        record(workflow(function))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.where is not None
    assert diagnostic.where.line == function.__code__.co_firstlineno
    return diagnostic
