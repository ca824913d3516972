"""Pickling what a worker cannot import: functions, classes and names of types of a script or a notebook.

cloudpickle sends functions and classes by value, and names of types (``NewType``, ``type X = ...``) by name, which no
other process finds where it stands in a script.
"""

from __future__ import annotations

import importlib.util
import io
import sys
from collections import ChainMap
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, NewType

import typing_extensions


def dumps(value: object) -> bytes:
    """``value`` as a pickle for another process. Raises whatever the code of its parts raises."""
    buffer = io.BytesIO()
    _pickler()(buffer).dump(value)
    return buffer.getvalue()


@cache
def is_importable(module: str) -> bool:
    """Whether importing the module elsewhere gives this very module."""
    found = sys.modules.get(module)
    if found is None or module == "__main__":
        return False
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None and spec.origin == getattr(found, "__file__", None)


@cache
def _pickler() -> Callable[[io.BytesIO], Any]:
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc, unused-ignore]
        dispatch_table: ClassVar[Any] = ChainMap(
            {NewType: _new_type, typing_extensions.TypeAliasType: _alias}, cloudpickle.Pickler.dispatch_table
        )

    return Pickler


def _is_found(tp: Any) -> bool:
    """Whether another process finds it under its name."""
    return is_importable(tp.__module__) and getattr(sys.modules[tp.__module__], tp.__name__, None) is tp


def _new_type(tp: Any) -> str | tuple[Any, ...]:
    return str(tp.__name__) if _is_found(tp) else (NewType, (tp.__name__, tp.__supertype__))


def _alias(tp: Any) -> str | tuple[Any, ...]:
    if _is_found(tp):
        return str(tp.__name__)
    return _made_alias, (type(tp), tp.__name__, tp.__value__, tp.__type_params__)


def _made_alias(kind: Any, name: str, value: Any, params: tuple[Any, ...]) -> Any:
    return kind(name, value, type_params=params)
