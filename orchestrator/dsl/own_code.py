"""Whether checking values of a type calls functions of the user's: validators, ``model_post_init``, factories.

Such a function may take any time, so it is no step of the event loop. Pydantic's own checks are quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_NOT_CHECKS: Final = frozenset({"metadata", "serialization"})
_QUICK: Final = ("pydantic", "annotated_types", "orchestrator.")
"""Modules whose functions take no time worth a thread."""


def has_own_code(schema: object) -> bool:
    """Whether a core schema of pydantic's calls a function of the user's."""
    todo: list[Any] = [schema]
    seen: set[int] = set()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, Mapping):
            if _is_called(each):
                return True
            todo += [value for name, value in each.items() if name not in _NOT_CHECKS]
        elif isinstance(each, (list, tuple)):
            todo += each
        elif callable(each) and not isinstance(each, type) and not _is_quick(each):
            return True
    return False


def is_built_quickly(cls: type) -> bool:
    """Whether building an instance of a model, dataclass or named tuple calls none."""
    if hasattr(cls, "__post_init__"):
        return False
    return not has_own_code(getattr(cls, "__pydantic_core_schema__", None))


def _is_called(schema: Mapping[str, Any]) -> bool:
    """Whether it calls what stands there as a class, or by its name."""
    made = schema.get("default_factory")
    if isinstance(made, type) and made.__module__ != "builtins":
        return True
    after = schema.get("post_init")
    if after is True or schema.get("custom_init") is True:
        return True
    return isinstance(after, str) and not _is_quick(getattr(schema.get("cls"), after, None))


def _is_quick(function: object) -> bool:
    module = getattr(function, "__module__", None)
    return isinstance(module, str) and module.startswith(_QUICK)
