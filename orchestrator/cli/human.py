"""Answers to ``ask``: given ahead with ``--answer``, or typed at the terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from orchestrator.errors import Diagnostic, UsageError

if TYPE_CHECKING:
    from orchestrator.planner.plan import Plan
    from orchestrator.runtime.human import Human


def human_for(plan: Plan, pairs: Sequence[str], paused: Callable[[], AbstractContextManager[object]]) -> Human:
    """Whoever answers a run of ``plan``; ``paused`` keeps the progress display off the terminal meanwhile.

    Raises ``UsageError``: ORCH-U012 for an answer that nobody asks for, ORCH-U013 when a question has no answer and
    there is no terminal to ask at.
    """
    from orchestrator.runtime.human import Answers

    asked = [op.id for op in plan.ops if op.place == "human"]
    names = {each.rpartition("/")[2]: each for each in asked}
    answers: dict[str, object] = {}
    problems: list[Diagnostic] = []
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            problems.append(Diagnostic("ORCH-U012", f"`--answer {pair}` has no `=`", fix="write --answer name=value"))
        elif name not in names and name not in asked:
            near = get_close_matches(name, asked, n=1, cutoff=0.5)
            listed = ", ".join(f"`{each}`" for each in asked)
            fix = f"did you mean `{near[0]}`?" if near else f"it asks {listed}" if asked else "it asks nobody anything"
            problems.append(Diagnostic("ORCH-U012", f"the workflow asks no question `{name}`", fix=fix))
        answers[name] = text
    interactive = sys.stdin.isatty() and sys.stderr.isatty()
    missing = [each for each in asked if each not in answers and each.rpartition("/")[2] not in answers]
    if missing and not interactive and not problems:
        listed = ", ".join(f"`{each}`" for each in missing)
        fix = " ".join(f"--answer {each}=…" for each in missing)
        problems.append(
            Diagnostic("ORCH-U013", f"the workflow asks a human: {listed}", why="there is no terminal here", fix=fix)
        )
    if problems:
        raise UsageError.collect(problems)
    return Answers(answers, Terminal(paused) if interactive else None)


class Terminal:
    """Asks whoever sits at the terminal, one question at a time."""

    def __init__(self, paused: Callable[[], AbstractContextManager[object]]) -> None:
        self._paused = paused
        self._one_at_a_time = asyncio.Lock()

    async def ask(self, id: str, question: str, type: Any, choices: Sequence[str] | None) -> object:  # noqa: A002
        """The line that was typed, after a prompt with the question and its choices."""
        from rich.console import Console
        from rich.prompt import Prompt

        async with self._one_at_a_time:
            with self._paused():
                console = Console(stderr=True)
                return await asyncio.to_thread(
                    Prompt.ask, f"[bold]{question}[/]", console=console, choices=list(choices) if choices else None
                )
