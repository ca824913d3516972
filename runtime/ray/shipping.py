"""Sending the user's code to Ray workers.

A worker cannot import a file that was loaded by its path, so a module that belongs to the user's script rather than to
an installed package is pickled by value, with everything in it.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import ToolCall

_by_value: set[str] = set()


def ship(definition: object) -> None:
    """Make a function or class pickle by value where workers cannot import its module."""
    name = getattr(definition, "__module__", None)
    module = sys.modules.get(name) if isinstance(name, str) else None
    if name in _by_value or module is None or _is_importable(module):
        return
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(module)
    _by_value.add(module.__name__)


def ship_program(program: Program) -> None:
    """:func:`ship` for every tool and every type of a program."""
    _ship_type(program.returns)
    for region in program.regions.values():
        for value in region.env.values():
            ship(value)
        for tp in region.types:
            _ship_type(tp)
        for op in region.ops():
            if isinstance(op.spec, ToolCall):
                ship(op.spec.fn)


def _ship_type(tp: Any) -> None:
    ship(tp)
    for part in get_args(tp):
        _ship_type(part)


def _is_importable(module: ModuleType) -> bool:
    """Part of Python, of an installed package, or of this package: every worker has it too."""
    file = getattr(module, "__file__", None)
    if file is None or module.__name__.split(".")[0] == "orchestrator":
        return True
    roots = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return any(Path(file).is_relative_to(root) for root in roots)
