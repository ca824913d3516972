"""Python values as MLIR attributes; the inverse of :func:`orchestrator.ir.walk.to_python`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.ir._mlir import ir


def to_attribute(value: object) -> Any:
    """bool, int (i64), float (f64), str, list or mapping, in the current context."""
    match value:
        case bool():
            return ir.BoolAttr.get(value)
        case int():
            return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), value)
        case float():
            return ir.FloatAttr.get_f64(value)
        case str():
            return ir.StringAttr.get(value)
        case list() | tuple():
            return ir.ArrayAttr.get([to_attribute(item) for item in value])
        case Mapping():
            return ir.DictAttr.get({key: to_attribute(item) for key, item in value.items()})
    raise TypeError(f"no attribute for a {type(value).__name__}")
