"""The pure functions behind operators, methods and builtin functions on symbolic values, as the tools of the IR.

Like any tool they are called with keyword arguments: the names in the op's ``params``.
"""

from __future__ import annotations

from typing import Any, Final

from orchestrator.dsl.models.messages import FUNCTIONS as OF_MESSAGES
from orchestrator.dsl.pure import table
from orchestrator.dsl.tool import Tool

TOOLS: Final[dict[str, Tool[..., Any]]] = {
    f"builtin.{name}": Tool(function, f"builtin.{name}", effects="pure", cheap=True)
    for name, function in {**table.FUNCTIONS, **OF_MESSAGES}.items()
}
"""The builtin tools by ``callee``."""

MAY_FAIL: Final = table.MAY_FAIL | {"builtin.message", "builtin.part"}
"""The callees that may raise, as ``builtin.truediv`` and ``builtin.getitem``: a use of one is a check."""
