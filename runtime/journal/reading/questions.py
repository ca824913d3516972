"""The questions that a run waits for, read from its log by whoever may answer: the workflow's code is not needed."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.runtime.journal.lines.line import VERSION, upgraded
from orchestrator.runtime.journal.lines.live import Live
from orchestrator.runtime.journal.lines.stored import loads
from orchestrator.runtime.journal.stores.base import Row
from orchestrator.runtime.journal.versions.schema_misfit import meant, misfit


@dataclass(frozen=True, slots=True)
class Question:
    """One that is open."""

    path: str
    """Where it is asked, by the keys of ops, which other versions of the workflow have as well."""
    op: str
    """What that was called by the version that asks: ``turns[3]/verdict``."""
    text: str
    schema: Mapping[str, Any]
    """The JSON schema of an answer."""
    choices: Sequence[str] | None
    expires_at: float | None
    """Unix time in seconds after which nobody waits for an answer; None for never."""
    at: float
    """Unix time in seconds at which it was asked."""

    def is_meant_by(self, name: str) -> bool:
        """Whether somebody who writes ``name`` means it: where it is asked, in either form, or its id alone."""
        return name in (self.path, self.op, self.op.rpartition("/")[2])

    def wrong(self, answer: object) -> str | None:
        """What is wrong with an answer, as far as its schema says; None where nothing is."""
        if self.choices is not None and answer not in self.choices:
            return f"the choices are {', '.join(self.choices)}"
        return misfit(self.schema, answer)

    def typed(self, text: str) -> object:
        """What somebody means who types ``text``: one of the choices, text as it is, and anything else as JSON."""
        if self.choices is not None:
            return text.strip()
        return meant(self.schema, text)


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that a run has taken."""

    question: Question
    by: str
    at: float
    """Unix time in seconds."""


async def answered_questions(rows: AsyncIterable[Row]) -> list[Answered]:
    """The answers that the rows of a log have, from its first one on. Raises ``ValueError`` for what cannot be read."""
    asked: dict[str, Question] = {}
    found: list[Answered] = []
    async for row in rows:
        version = VERSION
        for text in row.data.decode(errors="surrogatepass").split("\n"):
            if text.isdecimal():
                version = int(text)
            elif text.startswith(('["asked"', '["answered"')):
                kind, at, path, *rest = upgraded(loads(text), version)
                if kind == "asked":
                    asked[path] = _question(kind, at, path, *rest)
                elif path in asked:
                    found.append(Answered(asked[path], rest[1], at))
    return found


def open_questions(rows: Sequence[Row]) -> list[Question]:
    """The questions that are open behind these rows of a log, which begin with a snapshot or the first one.

    Raises ``ValueError`` for rows that cannot be read.
    """
    live = Live()
    live.read_rows(rows)
    return [_question(*data) for data in live.data() if data[0] == "asked"]


def _question(  # noqa: PLR0917 - a line's parts
    _kind: str,
    at: float,
    path: str,
    op: str,
    text: str,
    schema: Mapping[str, Any],
    choices: Sequence[str] | None,
    expires_at: float | None,
    _inputs: str,
) -> Question:
    return Question(path, op, text, schema, choices, expires_at, at)
