"""How many items a list may have: what is known of its length, and what its type says of it."""

from __future__ import annotations

from typing import Any, NamedTuple


class Length(NamedTuple):
    """What tracing knows about the length of a list: its bounds."""

    most: int
    least: int = 0

    @property
    def exact(self) -> bool:
        """Whether it is known."""
        return self.least == self.most


def length_by_type(tp: Any) -> Length | None:
    """What an ``Annotated`` type says of the length of its lists: ``MaxLen``, or pydantic's ``Field(max_length=)``."""
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
