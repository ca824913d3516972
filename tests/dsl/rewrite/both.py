"""The oracle of the rewriting: the same function as plain Python and as a workflow, on the same inputs.

A program calls ``say(prompt)`` for a model and functions made by :func:`noting` for tools. As plain Python both answer
at once; as a workflow they are ops. What they give, what they did, in which order, and what was raised
must be the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.dsl.models.llm import llm
from orchestrator.dsl.tool import Tool, tool
from orchestrator.dsl.workflow import workflow
from orchestrator.errors import RunError, TraceError
from orchestrator.testing import fake

_done: ContextVar[list[Any]] = ContextVar("done")
Answer = Callable[[str], str]


def shout(prompt: str) -> str:
    """What the model says: something that depends on all of the prompt."""
    return f"{prompt.upper()[:40]}!{len(prompt)}"


_answer: ContextVar[Answer] = ContextVar("answer", default=shout)


def say(prompt: Any) -> Any:
    """A model call, or as plain Python its answer."""
    try:
        return llm(prompt)
    except TraceError as error:
        assert error.code == "ORCH-D034"  # not in a workflow
        return _answer.get()(prompt)


def noting(function: Callable[..., Any], **options: Any) -> Tool[..., Any]:
    """A tool that notes its calls."""

    def noted(*args: Any, **kwargs: Any) -> Any:
        if options.get("effects") != "pure":
            _log.append((function.__name__, args, tuple(sorted(kwargs.items()))))
        return function(*args, **kwargs)

    noted.__name__ = function.__name__
    noted.__qualname__ = function.__qualname__
    noted.__module__ = function.__module__
    noted.__annotations__ = function.__annotations__
    noted.__wrapped__ = function  # type: ignore[attr-defined]
    return tool(noted, name=function.__name__, **options)


_log: list[Any] = []


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a program."""

    value: Any
    raised: str | None
    calls: list[Any]

    def __str__(self) -> str:
        return f"value {self.value!r}, raised {self.raised}, calls {self.calls}"


@contextmanager
def _calls() -> Iterator[list[Any]]:
    _log.clear()
    found: list[Any] = []
    yield found
    found += _log


def plainly(program: Callable[..., Any], *args: Any, answer: Answer = shout) -> Outcome:
    """The outcome as plain Python."""
    token = _answer.set(answer)
    value, raised = None, None
    with _calls() as calls:
        try:
            value = program(*args)
        except Exception as error:  # noqa: BLE001 - whatever it is, the workflow must raise it too
            raised = type(error).__name__
    _answer.reset(token)
    return Outcome(value, raised, calls)


def compiled(program: Callable[..., Any], *args: Any, answer: Answer = shout, **options: Any) -> Outcome:
    """The outcome as a workflow."""
    value, raised = None, None
    flow = workflow(**options)(program) if options else workflow(program)
    with _calls() as calls, fake(lambda messages: answer(messages[-1].content)):
        try:
            value = flow(*args)
        except RunError as error:
            raised = _kind(error)
    return Outcome(value, raised, calls)


def _kind(error: RunError) -> str:
    """The class of the exception that a run failed with."""
    if error.raised is not None:
        return error.raised.kind.rpartition(".")[2]
    cause: BaseException | None = error.__cause__
    while isinstance(cause, RunError):
        cause = cause.__cause__
    return type(cause).__name__ if cause is not None else error.code


def same(program: Callable[..., Any], *args: Any, answer: Answer = shout, **options: Any) -> Outcome:
    """The outcome, which is asserted to be the same both ways."""
    expected = plainly(program, *args, answer=answer)
    found = compiled(program, *args, answer=answer, **options)
    assert found == expected, f"\nas Python:   {expected}\nas workflow: {found}"
    return found


def refused_at_its_mark(program: Callable[..., Any], code: str) -> None:
    """Assert that a program is refused with this code alone, at a line that the comment ``# D050``, say, marks."""
    with pytest.raises(TraceError) as caught:
        compiled(program, "a b")
    assert {each.code for each in caught.value.diagnostics} == {code}
    first, lines = program.__code__.co_firstlineno, inspect.getsource(program).splitlines()
    where = caught.value.diagnostics[0].where
    assert where is not None
    assert lines[where.line - first].endswith(f"# {code.removeprefix('ORCH-')}")
