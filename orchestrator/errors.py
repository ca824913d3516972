"""One error hierarchy for the whole project.

Every error a user can meet carries a stable code, what happened, where in *their* code, why, and what to do next::

    error[ORCH-D004]: `if` needs a concrete value, but `verdict` is only known when the workflow runs
      --> examples/review.py:14 in review
      why: the workflow is traced once, before any model has answered
      fix: branch(verdict, then=..., otherwise=...)

The letter names the stage: D front end, I IR, C passes, P planner, R runtime, E engine, L learning, U usage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.leaving import passes_through


@dataclass(frozen=True, slots=True)
class SourceLoc:
    """A place in the user's code."""

    file: str
    line: int
    function: str | None = None
    column: int = 0
    """In a text that was read, counted from 1; 0 where only the line is known."""

    def __str__(self) -> str:
        try:
            file = str(Path(self.file).relative_to(Path.cwd()))
        except (ValueError, OSError):
            file = self.file
        inside = f" in {self.function}" if self.function else ""
        column = f":{self.column}" if self.column else ""
        return f"{file}:{self.line}{column}{inside}"


class UnrepresentableError(ValueError):
    """A Python value that the IR cannot hold; the message says what it is, ``fix`` what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem: a coded message with its place, reason and remedy."""

    code: str
    message: str
    where: SourceLoc | None = None
    why: str | None = None
    fix: str | None = None

    def __str__(self) -> str:
        lines = [f"error[{self.code}]: {self.message}"]
        if self.where:
            lines.append(f"  --> {self.where}")
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """A JSON-ready form, as printed by ``--json``."""
        where: dict[str, object] | None = None
        if self.where:
            where = {"file": self.where.file, "line": self.where.line}
            where |= {"column": self.where.column} if self.where.column else {}
        return {"code": self.code, "message": self.message, "where": where, "why": self.why, "fix": self.fix}


@dataclass(frozen=True, slots=True, repr=False)
class Error:
    """A failure as a value: what ``attempt`` and ``except`` give, and a ``map_`` that collects failures.

    It reads as the exception does: as its message in an f-string, and as its class with its arguments by ``repr``.
    """

    code: str
    """Of the failure: ``ORCH-R001`` for what a tool raised."""
    message: str
    """What went wrong: the text of the exception, where there was one."""
    kind: str
    """The qualified name of the exception's class, such as ``builtins.ValueError``; or ``timeout``, ``validation``,
    ``model``, ``tool``, ``race`` or ``budget``."""
    bases: tuple[str, ...] = ()
    """Qualified names of the classes by which it can be caught, besides ``kind``; the same in every process."""
    written: str | None = None
    """The ``repr`` of the exception, where that is not its class with its text."""

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        return self._with_text() if self.written is None else self.written

    @classmethod
    def of(cls, code: str, error: BaseException) -> Error:
        """What is kept of an exception."""
        made = cls(code, text_of(error), qualified(type(error)), bases_of(type(error)))
        try:
            written = repr(error)
        except BaseException as second:
            if passes_through(second):
                raise
            return made
        return made if written == made._with_text() else replace(made, written=written)

    @property
    def class_name(self) -> str:
        """The ``__name__`` of the exception's class; of what is none, that of the one in Python that says the same."""
        names = [name for name in self.bases if "." in name and not name.startswith("orchestrator.")]
        name = self.kind if "." in self.kind or not names else names[0]
        return name.rpartition(".")[2]

    def _with_text(self) -> str:
        """The ``repr`` of an exception whose one argument is its text; the text of a ``KeyError`` is written so."""
        is_written = "builtins.KeyError" in (self.kind, *self.bases) or not self.message
        return f"{self.class_name}({self.message if is_written else repr(self.message)})"


class OrchError(Exception):
    """Base of every error raised on purpose; holds one or more diagnostics."""

    raised: Error | None = None
    """What a handler is given, where that is more than the code says: the exception behind it."""
    run_id: str | None = None
    """The run that has ended or stopped with it, which ``resume`` takes."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        where: SourceLoc | None = None,
        why: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.diagnostics: list[Diagnostic] = [Diagnostic(code, message, where, why, fix)]
        super().__init__(code, message)

    @classmethod
    def collect(cls, diagnostics: Sequence[Diagnostic]) -> OrchError:
        """One error out of all the diagnostics of a stage; ``diagnostics`` must not be empty."""
        first = diagnostics[0]
        error = cls(first.code, first.message, where=first.where, why=first.why, fix=first.fix)
        error.diagnostics = list(diagnostics)
        return error

    @property
    def code(self) -> str:
        return self.diagnostics[0].code

    @property
    def message(self) -> str:
        return self.diagnostics[0].message

    def __str__(self) -> str:
        return "\n\n".join(str(d) for d in self.diagnostics)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.diagnostics, self.raised))


def _rebuild(cls: type[OrchError], diagnostics: list[Diagnostic], raised: Error | None = None) -> OrchError:
    made = cls.collect(diagnostics)
    made.raised = raised
    return made


def qualified(cls: type) -> str:
    """The name of a class that means the same in every process: ``builtins.ValueError``."""
    return f"{cls.__module__}.{cls.__qualname__}"


def bases_of(cls: type) -> tuple[str, ...]:
    """The qualified names of the classes that a class derives from, the most special first."""
    return tuple(qualified(base) for base in cls.__mro__[1:] if base is not object)


def text_of(error: BaseException) -> str:
    """The text of an exception; some have one that cannot be made."""
    try:
        return str(error)
    except BaseException as second:
        if passes_through(second):
            raise
        return f"(its text cannot be made: {type(second).__name__})"


def described(error: BaseException) -> str:
    """The type and the text of an exception."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class TraceError(OrchError):
    """The workflow's Python could not be turned into a graph (ORCH-D)."""


class IRError(OrchError):
    """The IR is malformed or could not be read (ORCH-I)."""


class CompileError(OrchError):
    """A pass broke its contract (ORCH-C)."""


class PlanError(OrchError):
    """No plan satisfies the request (ORCH-P)."""


class RunError(OrchError):
    """A run failed (ORCH-R)."""

    undecided: Sequence[str] = ()
    """The paths of ops of which a person has to say something before the run can go on (ORCH-R020, ORCH-R104)."""


class BudgetError(RunError):
    """The next op would have broken a budget, so it was not started (ORCH-R010)."""

    ledger: object = None
    """The budget that had no room for it, where it was not the op's own."""


class UnsettledError(RunError):
    """A tool that must run at most once was started, and nobody knows whether it happened (ORCH-R020)."""


class JournalError(RunError):
    """A journal cannot be written to or read (ORCH-R048)."""


class SuspendedError(JournalError):
    """A run is not over, and is not executed here any more (ORCH-R034): it waits for an answer or a moment, was paused,
    or handed over. This is no failure: whoever claims it goes on with it.
    """

    status: str = "waiting"
    """It is ``waiting``, ``paused`` or ``ready``."""
    questions: Sequence[str] = ()
    """The paths of what is asked."""
    wake_at: float | None = None
    """Unix time in seconds at which it goes on by itself, where somebody claims it then."""


class EngineError(OrchError):
    """A serving engine is missing, did not start, or failed (ORCH-E)."""


class LostReplyError(EngineError):
    """A replica of an engine stopped amid a reply, and another one serves: the whole call may be made again there."""


class UsageError(OrchError):
    """The command line or a configuration file is wrong (ORCH-U); exit code 2."""
