"""How many items a list may have: by its type, by what made it, or by the workflow's ``max_items``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.dsl.tracer import Tracer
    from orchestrator.dsl.value import Value


def bound_of(tracer: Tracer, value: Value[Any]) -> int:
    """The most items that are gone through; a list with more fails when it is."""
    if value._length is not None:
        return value._length.most
    return most_by_type(value._type) or tracer.max_items


def most_by_type(tp: Any) -> int | None:
    """The ``MaxLen`` of an ``Annotated`` type, or pydantic's ``Field(max_length=)``."""
    for each in getattr(tp, "__metadata__", ()):
        most = getattr(each, "max_length", None)
        if isinstance(most, int):
            return most
        for inner in getattr(each, "metadata", ()):
            if isinstance(found := getattr(inner, "max_length", None), int):
                return found
    return None
