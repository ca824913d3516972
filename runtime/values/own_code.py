"""Of which slots the values are checked apart (:mod:`orchestrator.runtime.tools.apart`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.runtime.values.at_run_time import runs_own_code


class OwnCode(dict[int, bool]):
    """By slot, whether checking its values calls functions of the user's; looked into when first asked for."""

    def __init__(self, types: Sequence[Any]) -> None:
        self._types = types

    def __missing__(self, slot: int) -> bool:
        found = self[slot] = runs_own_code(self._types[slot])
        return found
