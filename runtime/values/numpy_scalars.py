"""Numbers of numpy where plain ones are declared: ``np.int64(3)`` is what a tool that computes returns for ``int``."""

from __future__ import annotations

import sys
from typing import Any


def plain(value: Any) -> Any:
    """``value`` as a Python object if it is a scalar of numpy; else itself. Loads no numpy."""
    numpy = sys.modules.get("numpy")
    return value.item() if numpy is not None and isinstance(value, numpy.generic) else value


def plain_within(value: Any) -> Any:
    """:func:`plain`, also for what lists, tuples, sets and dicts hold."""
    kind = type(value)
    if kind is dict:
        return {plain_within(key): plain_within(each) for key, each in value.items()}
    if kind in (list, tuple, set, frozenset):
        return kind(plain_within(each) for each in value)
    return plain(value)
