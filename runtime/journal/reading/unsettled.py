"""What nobody knows of a run's ``once`` tools, or knows to have failed, read from its log by whoever may settle it: the
workflow's code is not needed, as what is kept of its version says what each gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.runtime.journal.events import occurrence
from orchestrator.runtime.journal.lines.line import RESULTS
from orchestrator.runtime.journal.lines.live import Live
from orchestrator.runtime.journal.reading.described import Described
from orchestrator.runtime.journal.stores.base import Row
from orchestrator.runtime.journal.versions.schema_misfit import Schema, meant, misfit

_FATES = frozenset({*RESULTS, "started", "failed", "unsettled", "settled"})


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A tool that must run at most once, and was started without giving a result."""

    path: str
    """By the keys of ops, the same in every attempt at what is around it."""
    op: str
    """What that is called by the version that executes the run: ``turns[3]/pay_1``."""
    schema: Schema
    """The JSON schema of a result."""

    def is_meant_by(self, name: str) -> bool:
        """Whether somebody who writes ``name`` means it: where it is, in either form, or its id alone."""
        return name in (self.path, self.op, self.op.rpartition("/")[2])

    def wrong(self, result: object) -> str | None:
        """What is wrong with a result, as far as its schema says; None where nothing is."""
        return misfit(self.schema, result)

    def typed(self, text: str) -> object:
        """What somebody means who types ``text``."""
        return meant(self.schema, text)


def unsettled_ops(rows: Sequence[Row], described: Described) -> list[Unsettled] | None:
    """Those behind these rows of a log, which begin with a snapshot or the first one; None where nothing says which
    tools of the version must run at most once. Raises ``ValueError`` for rows that cannot be read."""
    if not any(op.gives is not None for op in described.ops.values()):
        return None

    def is_once(path: str) -> bool:
        op = described.named(path)[1]
        return op is not None and op.gives is not None and "." not in path.rpartition("/")[2]  # or a run that it began

    live = Live(lambda path, _is_lost: is_once(path))
    live.read_rows(rows)
    latest: dict[str, list[Any]] = {}
    for data in live.data():
        if data[0] in _FATES and data[2] and is_once(data[2]):
            path = occurrence("", data[2])
            if path not in latest or data[1] >= latest[path][1]:
                latest[path] = data
    return [_unsettled(path, described) for path, data in latest.items() if _is_open(*data)]


def _is_open(kind: str, _at: float, _path: str, *rest: Any) -> bool:
    if kind == "failed":
        attempt, _code, _message, _retry_in_s, has_begun, *_ = rest
        return bool(has_begun) or attempt > 1
    return kind in ("started", "unsettled") or (kind == "settled" and rest[0] == "failed")


def _unsettled(path: str, described: Described) -> Unsettled:
    name, op = described.named(path)
    assert op is not None and op.gives is not None
    return Unsettled(path, name, op.gives)
