"""What Python does with values, where a value is symbolic: builtin functions, methods, tests and items.

Each function takes values, texts into which values were formatted, and Python objects beside them. It makes pure ops of
the IR (``builtin.len``, ``builtin.str.upper``; :mod:`orchestrator.dsl.pure`) or, where the types already tell, gives
Python's own answer. What has no op is an error with a code and the user's line.
"""

from __future__ import annotations

from orchestrator.dsl.operations.calls import builtin_call, has_builtin
from orchestrator.dsl.operations.conditions import contains, is_instance, same, truth
from orchestrator.dsl.operations.expressions import field
from orchestrator.dsl.operations.items import appended, concat, item, with_item, without_item
from orchestrator.dsl.operations.methods import method
from orchestrator.dsl.operations.operands import as_value, holds_symbolic
from orchestrator.dsl.pure.table import MAY_FAIL
from orchestrator.dsl.tracing.lifting import SymbolicRange
from orchestrator.dsl.tracing.tracer import Fact

__all__ = [
    "MAY_FAIL",
    "Fact",
    "SymbolicRange",
    "appended",
    "as_value",
    "builtin_call",
    "concat",
    "contains",
    "field",
    "has_builtin",
    "holds_symbolic",
    "is_instance",
    "item",
    "method",
    "same",
    "truth",
    "with_item",
    "without_item",
]  # fmt: skip
