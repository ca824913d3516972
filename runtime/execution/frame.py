"""One execution of a region: its values, and what waits for which of them."""

from __future__ import annotations

from typing import Any

from orchestrator.runtime.execution.group import Group
from orchestrator.runtime.execution.model_calls.budget import Ledger
from orchestrator.runtime.journal.replay import Known
from orchestrator.runtime.journal.value_digest import value_digest
from orchestrator.runtime.program.program import Op, Region


class Frame:
    """One execution of a region."""

    __slots__ = ("after", "group", "known", "ledger", "path", "pending", "records", "region", "v")

    def __init__(
        self, region: Region, v: list[Any], path: str, ledger: Ledger, *, known: Known | None, after: int
    ) -> None:
        self.region = region
        self.v = v
        self.path = path
        self.ledger = ledger
        self.after = after
        """So many events of the log have led to what its ops are given: these are durable before one acts on it."""
        self.known = known
        self.pending = list(region.pending)
        self.group: Group | None = None
        self.records = 0
        """How many results the journal has of it, those inside of its ops included."""

    def given(self, op: Op) -> str:
        """The digest of what an op is given, with what it captures."""
        v = self.v
        values = [v[slot] for slot in op.args]
        for body in op.bodies:
            values += [v[slot] for slot in body.captures]
        return value_digest(values)[:16]
