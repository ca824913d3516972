"""How a run asks a human."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from orchestrator.errors import RunError


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
            fix=f"give the answer ahead, as in Runtime(human=Answers({{{id!r}: ...}})), or run it at a terminal",
        )


class Answers:
    """Answers given ahead, by the op's id, with or without its frame."""

    def __init__(self, answers: Mapping[str, object], otherwise: Human | None = None) -> None:
        self._answers = dict(answers)
        self._otherwise: Human = otherwise or Nobody()

    async def ask(self, id: str, question: str, type: Any, choices: Sequence[str] | None) -> object:  # noqa: A002
        """The answer given for ``id``; else whoever else may be asked."""
        for key in (id, id.rpartition("/")[2]):
            if key in self._answers:
                return self._answers[key]
        return await self._otherwise.ask(id, question, type, choices)
