"""Whether checking values of a type calls functions of the user's: validators, ``model_post_init``, factories.

Such a function may take any time, so it is no step of the event loop. Pydantic's own checks are quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Final

_NOT_CHECKS: Final = frozenset({"metadata", "serialization"})
_BUILDING: Final = frozenset({"model", "dataclass", "named-tuple"})
_QUICK: Final = frozenset({"pydantic", "pydantic_core", "annotated_types", "orchestrator"})
"""Packages whose functions take no time worth a thread."""


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
    """Whether building an instance of a model, dataclass or tuple calls none; not of what is not yet defined."""
    if not getattr(cls, "__pydantic_complete__", True):
        return False
    factories = [each.default_factory for each in fields(cls)] if is_dataclass(cls) else []
    return not (
        _has_own_maker(cls)
        or any(_is_own(made) for made in factories if made is not MISSING)
        or has_own_code(getattr(cls, "__pydantic_core_schema__", None))
    )


def _has_own_maker(cls: type) -> bool:
    """Whether a call of the class calls a function that is written, not generated for a dataclass or named tuple."""
    if hasattr(cls, "__post_init__") or type(cls).__call__ is not type.__call__:
        return True
    return any(_is_written(cls, name) for name in ("__new__", "__init__", "__setattr__"))


def _is_written(cls: type, name: str) -> bool:
    owner = next(each for each in cls.__mro__ if name in vars(each))
    options = vars(owner).get("__dataclass_params__")
    is_generated = {
        "__new__": "_fields" in vars(owner),
        "__init__": options is not None and options.init,
        "__setattr__": options is not None and options.frozen,
    }
    return owner.__module__ != "builtins" and not is_generated[name] and not _is_quick(vars(owner)[name])


def _is_called(schema: Mapping[str, Any]) -> bool:
    """Whether it calls what stands there as a class, or by its name."""
    made, after = schema.get("default_factory"), schema.get("post_init")
    if after is True or schema.get("custom_init") is True or (isinstance(made, type) and _is_own(made)):
        return True
    if schema.get("type") in _BUILDING and _is_allocated_by_own(schema["cls"]):
        return True
    return isinstance(after, str) and not _is_quick(getattr(schema.get("cls"), after, None))


def _is_allocated_by_own(cls: type) -> bool:
    """Whether ``__new__`` or the factory of a private attribute is the user's; the schema does not name them."""
    private = [each.default_factory for each in getattr(cls, "__private_attributes__", {}).values()]
    return _is_written(cls, "__new__") or any(_is_own(made) for made in private if made is not None)


def _is_own(factory: object) -> bool:
    return factory.__module__ != "builtins" if isinstance(factory, type) else not _is_quick(factory)


def _is_quick(function: object) -> bool:
    module = getattr(function, "__module__", None)
    return isinstance(module, str) and module.partition(".")[0] in _QUICK
