"""The pure functions behind operators, methods and builtin functions on symbolic values, as the tools of the IR.

Like any tool they are called with keyword arguments: the names in the op's ``params``.
"""

from __future__ import annotations

from typing import Any, Final

from orchestrator.dsl.pure.table import FUNCTIONS, MAY_FAIL
from orchestrator.dsl.tool import Tool

__all__ = ["MAY_FAIL", "TOOLS"]

TOOLS: Final[dict[str, Tool[..., Any]]] = {
    f"builtin.{name}": Tool(function, f"builtin.{name}", effects="pure", cheap=True)
    for name, function in FUNCTIONS.items()
}
"""The builtin tools by ``callee``."""
