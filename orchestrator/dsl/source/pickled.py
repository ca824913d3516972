"""Tools and workflows in pickles: by where they are defined, as functions are.

cloudpickle, which Ray uses, takes functions of scripts by value, and these with them, so what it asks for is left to
it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from orchestrator.dsl.source.location import underlying


def is_by_value() -> bool:
    """Whether cloudpickle is asking, for the method that calls this."""
    return "cloudpickle" in str(sys._getframe(2).f_globals.get("__name__", ""))


def named_like(fn: Any) -> Any:
    """What bears the name of ``fn`` in its module; None where that is nothing, or nothing that can be found again."""
    fn = fn if isinstance(fn, type) else underlying(fn)
    found: Any = sys.modules.get(getattr(fn, "__module__", None) or "")
    for part in (getattr(fn, "__qualname__", None) or "?").split("."):
        found = getattr(found, part, None)
    return found


def reference(fn: Any) -> tuple[Any, tuple[str, str]]:
    """How to pickle what bears the name of ``fn``."""
    return find, (fn.__module__, fn.__qualname__)


def find(module: str, name: str) -> Any:
    """What a pickle refers to."""
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def not_pickled(what: str, fn: Any) -> TypeError:
    """It cannot be found by its name."""
    name = f"{getattr(fn, '__module__', '?')}.{getattr(fn, '__qualname__', type(fn).__qualname__)}"
    return TypeError(
        f"cannot pickle {what}: it goes by its name, and `{name}` is something else or not at the top of a module; "
        "define it there, or use cloudpickle"
    )
