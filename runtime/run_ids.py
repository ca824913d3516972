"""One run for each id: it begins once, and one caller at a time executes it.

Results, idempotency keys and what is known of ``once`` tools go by a run's id. Two executions of one would each start
what neither knows of the other to have started.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from orchestrator.runtime.failures import nobody_is_called, not_a_name, run_exists, run_under_way
from orchestrator.runtime.journal.base import Journal
from orchestrator.runtime.journal.run_log import RunLog

LONGEST_NAME: Final = 200
"""Characters of the id of a run, and of a tenant."""
LONGEST_KEY: Final = 400
"""Characters of a key: with a tenant and a workflow, an entry of an index of PostgreSQL's takes them."""


def require_names(run_id: str, tenant: str = "", key: str | None = None) -> None:
    """Raise ``RunError`` ORCH-R106 for names of a run that a line of text, a command or an index does not take."""
    if not _is_line(run_id, LONGEST_NAME) or not run_id or run_id.startswith("-"):
        fix = f"1 to {LONGEST_NAME} printable characters, the first of which is no `-`, in a line"
        raise not_a_name("id", run_id, fix)
    if not _is_line(tenant, LONGEST_NAME):
        raise not_a_name("tenant", tenant, f"at most {LONGEST_NAME} printable characters, in a line")
    if key is not None and (not _is_line(key, LONGEST_KEY) or not key):
        fix = f"1 to {LONGEST_KEY} printable characters, in a line; a digest stands for what is longer"
        raise not_a_name("key", key, fix)


def require_teller(name: str) -> None:
    """Raise ``RunError`` ORCH-R106 for a name of whoever tells a run something that a line of text does not take."""
    if not _is_line(name, LONGEST_NAME) or not name:
        raise nobody_is_called(name, f"a name is 1 to {LONGEST_NAME} printable characters, in a line")


def _is_line(text: object, longest: int) -> bool:
    return type(text) is str and len(text) <= longest and text.isprintable() and text == text.strip()


class RunIds:
    """The ids in a journal, and which of their runs are under way here."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._taken: set[str] = set()

    @contextmanager
    def taken(self, run_id: str) -> Iterator[None]:
        """Nobody else executes the run meanwhile. Raises ORCH-R022 where somebody does."""
        if run_id in self._taken:
            raise run_under_way(run_id)
        self._taken.add(run_id)
        try:
            yield
        finally:
            self._taken.remove(run_id)

    async def check_new(self, run_id: str) -> None:
        """Raises ORCH-R029 for the id of a run that the journal knows."""
        if await RunLog(self._journal, run_id).load():
            raise run_exists(run_id)
