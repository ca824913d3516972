"""Python values as MLIR attributes; the inverse of :func:`orchestrator.ir.walk.to_python`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.errors import UnrepresentableError
from orchestrator.ir._mlir import ir

_INTEGERS: Final = range(-(2**63), 2**63)


def to_attribute(value: object) -> Any:
    """bool, int (i64), float (f64), str, list or mapping, in the current context.

    Raises :class:`UnrepresentableError` for integers beyond 64 bits and text that is no Unicode.
    """
    match value:
        case str():
            return _text(value)
        case bool():
            return ir.BoolAttr.get(value)
        case int():
            if value not in _INTEGERS:
                fix = "use a number below 2**63, or pass it as text"
                raise UnrepresentableError(f"the integer {value} does not fit into 64 bits", fix)
            return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), value)
        case float():
            return ir.FloatAttr.get_f64(value)
        case list() | tuple():
            return ir.ArrayAttr.get([to_attribute(item) for item in value])
        case dict() | Mapping():  # an abstract class takes several times as long to ask
            return ir.DictAttr.get({_key(key): to_attribute(item) for key, item in value.items()})
    raise TypeError(f"no attribute for a {type(value).__name__}")


def _text(value: str) -> Any:
    try:
        return ir.StringAttr.get(value)
    except TypeError:
        lone = next(character for character in value if "\ud800" <= character <= "\udfff")
        fix = 'replace it: text.encode("utf-8", "replace").decode()'
        raise UnrepresentableError(f"text with the lone surrogate {lone!a}, which is no character", fix) from None


def _key(name: str) -> str:
    if not name or "\0" in name:
        raise UnrepresentableError(f"the key {name!r} of a mapping", "name it with text that is not empty")
    return name
