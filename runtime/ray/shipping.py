"""Sending the user's code to Ray workers.

A worker cannot import a file that was loaded by its path, so a module that belongs to the user's script rather than to
an installed package is pickled by value, with everything in it.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from types import ModuleType

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


def _is_importable(module: ModuleType) -> bool:
    """Part of Python, of an installed package, or of this package: every worker has it too."""
    file = getattr(module, "__file__", None)
    if file is None or module.__name__.split(".")[0] == "orchestrator":
        return True
    roots = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return any(Path(file).is_relative_to(root) for root in roots)
