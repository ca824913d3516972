"""Answers to ``ask``: given ahead with ``--answer``, or typed at the terminal."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import click

from orchestrator.cli.keyboard import Keyboard
from orchestrator.cli.screen import printable, say
from orchestrator.errors import Diagnostic, RunError, UsageError
from orchestrator.running.questions import Question, questions_of, unknown_question
from orchestrator.runtime.human import Answers, accepted

if TYPE_CHECKING:
    from orchestrator.runtime.human import Human
    from orchestrator.runtime.program.program import Program

CASE: Final[ContextVar[str]] = ContextVar("case", default="")
"""Which of several runs asks."""


def is_interactive() -> bool:
    """Whether somebody sits at a terminal, who sees questions and may answer them."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def human_for(
    program: Program,
    pairs: Sequence[str],
    terminal: Callable[[], AbstractContextManager[object]],
    *,
    may_wait: bool = False,
) -> Human:
    """Whoever answers the runs of ``program``; ``terminal`` keeps everything else off the terminal meanwhile.

    Runs that ``may_wait`` are suspended at a question that nobody here answers.
    Raises ``UsageError``: ORCH-U012 for an answer that nobody asks for or that its question does not take, ORCH-U013
    when a question has no answer, there is no terminal to ask at, and the runs may not wait.
    """
    asked = questions_of(program)
    answers: dict[str, object] = {}
    problems: list[Diagnostic] = []
    answered: set[str] = set()
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            problems.append(Diagnostic("ORCH-U012", f"`--answer {pair}` has no `=`", fix="write --answer name=value"))
            continue
        if name in answers:
            problems.append(Diagnostic("ORCH-U012", f"`--answer {name}` is given twice", fix="leave one out"))
        meant = [each for each in asked if each.is_meant_by(name)]
        if not meant:
            problems.append(unknown_question(name, asked))
        answers[name] = text
        for each in meant:
            answered.add(each.id)
            answers[name] = typed(each, text)
            try:
                accepted(each.id, answers[name], each.type, each.choices, each.where)
            except RunError as wrong:
                (told,) = wrong.diagnostics
                message = f"`--answer {pair}` is no answer to `{each.id}`"
                problems.append(Diagnostic("ORCH-U012", message, each.where, why=told.why, fix=_fix(name, each)))
    interactive = is_interactive()
    missing = [each for each in asked if each.id not in answered]
    if missing and not (interactive or may_wait or problems):
        listed = ", ".join(f"`{each.id}`" for each in missing)
        fix = " ".join(f"--answer {each.name}={_example(each)}" for each in missing)
        problems.append(
            Diagnostic("ORCH-U013", f"the workflow asks a human: {listed}", why="there is no terminal here", fix=fix)
        )
    if problems:
        raise UsageError.collect(problems)
    return Answers(answers, Terminal(terminal) if interactive else None)


def typed(question: Question, text: str) -> object:
    """What somebody means who types ``text``: one of the choices, text as it is, and anything else also as JSON."""
    from pydantic import ValidationError

    from orchestrator.runtime.values.at_run_time import adapter, from_json
    from orchestrator.runtime.values.decimals import takes_decimals

    if question.choices:
        return text.strip()
    if question.type is str:
        return text
    validator = adapter(question.type)
    try:
        return validator.validate_python(text)
    except ValidationError:
        if takes_decimals(validator):
            with suppress(ValidationError):
                return from_json(question.type, text)
        try:
            return json.loads(text)
        except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, or nested too deep
            return text


class Terminal:
    """Asks whoever sits at the terminal, one question at a time, until the answer is one."""

    def __init__(
        self, terminal: Callable[[], AbstractContextManager[object]], keyboard: Keyboard | None = None
    ) -> None:
        self._terminal = terminal
        self._keyboard = keyboard or Keyboard()
        self._one_at_a_time = asyncio.Lock()

    async def ask(self, id: str, question: str, type: Any, choices: Sequence[str] | None) -> object:  # noqa: A002
        """The answer that was typed. Raises ``RunError`` ORCH-R030 where the input ends instead."""
        async with self._one_at_a_time:
            with self._terminal():
                label = " ".join(each for each in (CASE.get(), id) if each)
                asked = click.style(printable(question), bold=True)
                click.echo(f"{click.style(printable(label), fg='cyan')}  {asked}", err=True)
                try:
                    return await self._answer(Question(id, type, choices))
                except asyncio.CancelledError:
                    click.echo(err=True)
                    raise

    async def _answer(self, question: Question) -> object:
        while True:
            click.echo(f"  {printable(_expected(question))}> ", nl=False, err=True)
            line = await self._keyboard.line()
            if line is None:
                click.echo(err=True)
                raise RunError(
                    "ORCH-R030",
                    f"`{question.id}` has no answer: the input ended",
                    fix=f"type one, or give it ahead with --answer {question.name}={_example(question)}",
                )
            try:
                answer = typed(question, line)
                accepted(question.id, answer, question.type, question.choices)
                return answer
            except RunError as wrong:
                say(f"  {wrong.diagnostics[0].why}", colour="yellow")


def _fix(name: str, question: Question) -> str:
    if question.choices:
        options = [f"--answer {shlex.quote(f'{name}={each}')}" for each in question.choices]
        return f"write {' or '.join(options)}"
    return f"write --answer {name}=… with a value of that type, as JSON where it is no text"


def _example(question: Question) -> str:
    return shlex.quote(question.choices[0]) if question.choices else "…"


def _expected(question: Question) -> str:
    if question.choices:
        return f"({' / '.join(question.choices)}) "
    if question.type is str:
        return ""
    from orchestrator.dsl.types.typing import type_string

    return f"({type_string(question.type)}) "
