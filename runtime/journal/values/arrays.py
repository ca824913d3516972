"""Numpy's arrays and scalars as their bytes, with dtype, shape and order. numpy loads when one is read."""

from __future__ import annotations

import sys
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from orchestrator.runtime.journal.values.tree import NotKeptError, NotReadError, Read, Reader, Writer

if TYPE_CHECKING:
    import numpy as np

_KINDS: Final = frozenset("biufcSUmM")
"""Of dtypes that are all told by their name and the bytes: no objects, no records."""


def is_numpy(cls: Any) -> bool:
    """Whether it is the class of arrays, or one of numpy's scalars."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(cls, type):
        return False
    return cls is numpy.ndarray or (issubclass(cls, numpy.generic) and cls.__module__ == "numpy")


def write(_w: Writer, value: np.ndarray[Any, Any] | np.generic, _depth: int) -> Any:
    """The tree of an array or a scalar."""
    if value.dtype.kind not in _KINDS:
        raise NotKeptError(f"an array of dtype `{value.dtype}`: it holds objects or records")
    order: Any = "F" if value.flags.fnc else "C"
    data = b64encode(value.tobytes(order)).decode()
    if type(value) is sys.modules["numpy"].ndarray:
        return {"~array": [value.dtype.str, list(value.shape), order, data]}
    return {"~scalar": [value.dtype.str, data]}


def _array(_r: Reader, held: list[Any]) -> Any:
    name, shape, order, data = held
    return _made(name, shape, order, b64decode(data, validate=True))


def _scalar(_r: Reader, held: list[Any]) -> Any:
    name, data = held
    return _made(name, (), "C", b64decode(data, validate=True) or b"\0")[()]  # an empty text has no bytes


def _made(name: str, shape: Sequence[int], order: Any, data: bytes) -> Any:
    import numpy as np

    dtype = np.dtype(name)
    if dtype.kind not in _KINDS:
        raise NotReadError(f"`{dtype}` is no dtype of stored arrays")
    return np.ndarray(tuple(shape), dtype, bytearray(data), order=order)


READS: Final[dict[str, Read]] = {"~array": _array, "~scalar": _scalar}
"""How they are read."""
