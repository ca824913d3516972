"""What a tool raises, without the secrets that it was given.

An exception goes into the journal, into logs and to whoever catches it in the workflow. Its class is what it was, as
that decides whether it is caught and repeated; its text is without the secrets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel

from orchestrator.errors import OrchError, text_of
from orchestrator.leaving import passes_through
from orchestrator.redaction import Redaction
from orchestrator.runtime.journal.lines.secrets import SECRETS, MissingSecretError
from orchestrator.runtime.tools.raised import RAISED_AT

_OF_OS_ERRORS = ("strerror", "filename", "filename2")


def without_secrets(error: BaseException, arguments: Iterable[object]) -> BaseException:
    """``error`` itself where it says none of the secrets among a tool's arguments, or can be made to say none; else one
    that stands for it, of a class that is caught as its own is.
    """
    texts = {each for value in secrets_among(arguments) for each in _texts(value)}
    return _Redacting(Redaction(texts)).of(error) if texts else error


def secrets_among(values: Iterable[object]) -> Iterator[object]:
    """What the secrets are that values consist of, however they are nested."""
    todo, seen = list(values), set[int]()
    while todo:
        each = todo.pop()
        if isinstance(each, SECRETS):
            try:
                yield each.get_secret_value()
            except MissingSecretError:
                continue
        elif id(each) not in seen:
            seen.add(id(each))
            todo += _parts(each)


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    if isinstance(value, BaseModel):
        return vars(value).values()
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, each.name, None) for each in fields(value)]
    return ()


def _texts(secret: object) -> Iterator[str]:
    """How a secret may stand in a text."""
    text = secret.decode("utf-8", "replace") if isinstance(secret, bytes) else str(secret)
    yield from (text, quote(text), quote(text, safe=""), repr(text)[1:-1], repr(secret))


class _Redacting:
    """Takes the secrets out of an exception and of those behind it."""

    def __init__(self, redaction: Redaction) -> None:
        self._clean = redaction
        self._seen: dict[int, BaseException] = {}

    def of(self, error: BaseException) -> BaseException:
        """The exception without them."""
        if id(error) in self._seen:
            return self._seen[id(error)]
        self._seen[id(error)] = error
        self._change(error)
        made = self._group(error) if isinstance(error, BaseExceptionGroup) else error
        made = self._stand_in(made) if self._shows(made) else made
        self._seen[id(error)] = made
        suppressed = error.__suppress_context__
        made.__cause__ = None if error.__cause__ is None else self.of(error.__cause__)
        made.__context__ = None if error.__context__ is None else self.of(error.__context__)
        made.__suppress_context__ = suppressed
        return made

    def _change(self, error: BaseException) -> None:
        """Change what can be changed."""
        error.args = tuple(self._clean(each) if isinstance(each, str) else each for each in error.args)
        if isinstance(error, OrchError):
            self._clean.coded(error)
            if (behind := error.raised) is not None:
                written = None if behind.written is None else self._clean(behind.written)
                error.raised = replace(behind, message=self._clean(behind.message), written=written)
        for name in _OF_OS_ERRORS if isinstance(error, OSError) else ():
            if isinstance(text := getattr(error, name), str):
                setattr(error, name, self._clean(text))
        if notes := getattr(error, "__notes__", None):
            error.__notes__ = [self._clean(each) if isinstance(each, str) else each for each in notes]

    def _group(self, error: BaseExceptionGroup[Any]) -> BaseException:
        """A group of the same exceptions without them."""
        members = [self.of(each) for each in error.exceptions]
        message = self._clean(error.message)
        if message == error.message and tuple(members) == error.exceptions:
            return error
        made = BaseExceptionGroup(message, members) if message != error.message else error.derive(members)
        return made.with_traceback(error.__traceback__)

    def _shows(self, error: BaseException) -> bool:
        text = f"{text_of(error)} {_written(error)}"
        return self._clean(text) != text

    def _stand_in(self, error: BaseException) -> BaseException:
        kind = type(error)
        text, written = self._clean(text_of(error)), self._clean(_written(error))
        own = {
            "__module__": kind.__module__,
            "__qualname__": kind.__qualname__,
            "__str__": lambda _: text,
            "__repr__": lambda _: written,
            "__reduce__": lambda _: (RuntimeError, (text,)),
        }
        bases: tuple[Any, ...] = kind.__mro__
        for base in bases:
            try:
                made = base.__new__(type(kind.__name__, (base,), own))
            except TypeError:  # of a class that cannot be derived from, or made like this
                continue
            made.args = (text,)
            if (at := getattr(error, RAISED_AT, None)) is not None:
                setattr(made, RAISED_AT, at)
            return made.with_traceback(error.__traceback__)  # type: ignore[no-any-return]
        raise AssertionError("BaseException can be derived from")


def _written(error: BaseException) -> str:
    try:
        return repr(error)
    except BaseException as second:
        if passes_through(second):
            raise
        return type(error).__name__
