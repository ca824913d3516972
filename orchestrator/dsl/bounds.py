"""How many items a list may have: by its type, by the tool that made it, or by the workflow's ``max_items``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.dsl.tracer import Tracer
    from orchestrator.dsl.value import Length, Value


def bound_of(tracer: Tracer, value: Value[Any]) -> int:
    """The most items that are gone through; a list with more fails when it is."""
    if value._length is not None:
        return value._length.most
    return tracer.max_items


def length_by_type(tp: Any) -> Length | None:
    """What an ``Annotated`` type says of the length of its lists: ``MaxLen``, or pydantic's ``Field(max_length=)``."""
    from orchestrator.dsl.value import Length

    most = _most(tp)
    return None if most is None else Length(most)


def _most(tp: Any) -> int | None:
    for each in getattr(tp, "__metadata__", ()):
        most = getattr(each, "max_length", None)
        if isinstance(most, int):
            return most
        for inner in getattr(each, "metadata", ()):
            if isinstance(found := getattr(inner, "max_length", None), int):
                return found
    return None
