"""Workflows in cells, as a notebook has them, and the prompt that one makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.testing import fake


def cell(names: dict[str, Any], source: str) -> None:
    """Run a cell of a notebook."""
    exec(source, names)


def prompt_of(flow: Callable[..., Any]) -> str:
    """The prompt of the one call that the workflow makes."""
    with fake(["ok"]) as engine:
        flow("x")
    return engine.requests[0].messages[-1].content
