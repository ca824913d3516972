"""What can be told of an object without asking it: a proxy or a lazy one would do some work."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.util import find_spec
from types import CellType, FunctionType, MemberDescriptorType
from typing import Any

from orchestrator.dsl.source.location import is_user_file


def own_attributes(value: object) -> Mapping[str, Any]:
    """An object's own attributes, those in slots included."""
    own: dict[str, Any] = {}
    with suppress(AttributeError):
        own |= object.__getattribute__(value, "__dict__")
    for base in type(value).__mro__:
        if "__slots__" in vars(base):
            for name, slot in vars(base).items():
                if isinstance(slot, MemberDescriptorType):
                    with suppress(AttributeError):
                        own[name] = slot.__get__(value)
    return own


def is_users(cls: type) -> bool:
    """Whether a class is defined in the user's code."""
    module = cls.__module__
    if not isinstance(module, str) or module.partition(".")[0] in sys.stdlib_module_names:
        return False
    return is_user_file(getattr(sys.modules.get(module), "__file__", None) or "")


def frozen(value: object) -> Mapping[str, Any] | None:
    """The fields of a frozen dataclass or pydantic model; None of anything else, which may change."""
    kind: Any = type(value)
    if is_dataclass(kind) and vars(kind)["__dataclass_params__"].frozen:
        own = own_attributes(value)
        return {each.name: own.get(each.name) for each in fields(kind)}
    config = getattr(kind, "model_config", None)
    if hasattr(kind, "__pydantic_complete__") and isinstance(config, Mapping) and config.get("frozen"):
        own = own_attributes(value)
        apart = [name for name in ("__pydantic_private__", "__pydantic_extra__") if own.get(name)]
        return {name: own.get(name) for name in (*kind.model_fields, *apart)}
    return None


def functions_in(cls: type) -> Iterator[FunctionType]:
    """The functions in a class itself, those of properties and decorated methods included."""
    for each in vars(cls).values():
        behind = each.fget if isinstance(each, property) else getattr(each, "__func__", each)
        if isinstance(behind, FunctionType):
            yield behind


def cells_in(cls: type) -> Mapping[str, CellType]:
    """The cells of the functions around a class, as far as its methods use them."""
    found: dict[str, CellType] = {}
    for each in functions_in(cls):
        found |= zip(each.__code__.co_freevars, each.__closure__ or (), strict=True)
    return found


def globals_of(cls: type) -> Mapping[str, Any]:
    """The names of the module that a class is in."""
    module = sys.modules.get(cls.__module__)
    if module is not None:
        return vars(module)
    return next((each.__globals__ for each in functions_in(cls)), {})


def contents(function: FunctionType) -> Iterator[object]:
    """What a function's closure holds."""
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # not bound yet
            yield cell.cell_contents


def qualified(thing: Any) -> str:
    """The package and name of a class or function; where in a package it is differs between versions."""
    module = getattr(thing, "__module__", None)
    return f"{module.partition('.')[0] if isinstance(module, str) else ''}.{getattr(thing, '__qualname__', '')}"


@cache
def file_of(package: str) -> str:
    """Where a package or module at the top is; empty where it cannot be told. Nothing is imported."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return ""
    if spec is None:
        return ""
    folders = spec.submodule_search_locations
    return spec.origin or next(iter(folders or ()), "") or ""
