"""What names hold as values, which branches and loops hand on."""

from __future__ import annotations

from typing import Any

from orchestrator.dsl import operations
from orchestrator.dsl.tracing.constants import constant_type, is_symbolic
from orchestrator.dsl.tracing.known import of_object
from orchestrator.dsl.tracing.lifting import lift
from orchestrator.dsl.tracing.sharing import note
from orchestrator.dsl.tracing.tracer import Tracer, Value


def can_be_handed_on(content: Any) -> bool:
    """Whether it can be a value; anything else only Python knows."""
    return isinstance(content, (Value, set, frozenset)) or is_symbolic(content) or constant_type(content) is not None


def handed_on(tracer: Tracer, content: Any) -> Value[Any]:
    """The content of a name as a value; a set is made of a list, in an order that is the same in each process."""
    if not isinstance(content, (set, frozenset)):
        return lift(tracer, content)
    made: Value[Any] = operations.builtin_call(type(content), (lift(tracer, sorted(content, key=repr)),), {})
    return note(made, of_object(tracer, content))
