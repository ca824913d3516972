"""How a run asks a human."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pydantic import ValidationError

from orchestrator.errors import RunError, SourceLoc
from orchestrator.runtime.failures import first_line
from orchestrator.runtime.journal.events import region_key
from orchestrator.runtime.values.at_run_time import adapter
from orchestrator.runtime.values.by_value import by_value


class Human(Protocol):
    """Whoever answers ``ask``."""

    async def ask(self, id: str, question: str, type: Any, choices: Sequence[str] | None) -> object:  # noqa: A002
        """The answer to ``question`` of op ``id`` (with its frame), of the given type and one of ``choices``."""


class Nobody:
    """Refuses: the run is not interactive."""

    async def ask(self, id: str, question: str, type: Any, choices: Sequence[str] | None) -> object:  # noqa: A002
        """Raises ``RunError`` ORCH-R030."""
        raise RunError(
            "ORCH-R030",
            f"`{id}` asks: {question}",
            why="this run is not interactive, and no answer was given with it",
            fix=f"answer ahead, by answers={{{id!r}: ...}} or --answer '{id}=...', or run it at a terminal",
        )


class Answers:
    """Answers given ahead, by the op's id: with the frame of one execution, with its region, or alone."""

    def __init__(self, answers: Mapping[str, object], otherwise: Human | None = None) -> None:
        self._answers = dict(answers)
        self._otherwise: Human = otherwise or Nobody()

    async def ask(self, id: str, question: str, type: Any, choices: Sequence[str] | None) -> object:  # noqa: A002
        """The answer given for ``id``; else whoever else may be asked."""
        frame, slash, name = id.rpartition("/")
        for key in (id, f"{region_key(frame + slash)}{name}", name):
            if key in self._answers:
                return self._answers[key]
        return await self._otherwise.ask(id, question, type, choices)


def accepted(
    id: str,  # noqa: A002
    answer: object,
    type: Any,  # noqa: A002
    choices: Sequence[str] | None,
    where: SourceLoc | None = None,
) -> object:
    """``answer`` as the question ``id`` takes it; raises ``RunError`` ORCH-R031, whose ``why`` says what is wrong."""
    if choices is not None and answer not in choices:
        why = f"the choices are {', '.join(choices)}"
        raise RunError("ORCH-R031", f"the answer to `{id}` is {answer!r:.100}", where=where, why=why)
    try:
        return by_value(adapter(type).validate_python(answer))
    except ValidationError as error:
        raise RunError("ORCH-R031", f"the answer to `{id}` does not fit", where=where, why=first_line(error)) from error
