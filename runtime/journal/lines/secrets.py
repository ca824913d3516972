"""Secrets of runs: a journal has their names, and never what they are.

An input of a run that is a secret, or holds some, gives each of them its place as a name: ``key``, ``account.key``,
``keys.0``. That is all that is written. Where a run goes on in another process, the secret is one that looks its value
up when somebody asks for it, and not before: in what was given to whoever resumed the run, then in the environment,
where ``account.key`` is ``ORCH_SECRET_ACCOUNT_KEY``. So a log that somebody has tampered with leads to no other
variable, and a secret that nothing needs any more need not be there.

A secret that a tool returned has no name. What holds one is not written at all, and is had again by calling the tool
again.

>>> again = unsealed(sealed(named(SecretStr("hush"), "key")))
>>> again
SecretStr('**********')
>>> with given({"key": "hush"}):
...     again.get_secret_value()
'hush'
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from copy import copy
from dataclasses import fields, is_dataclass
from operator import is_
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from orchestrator.errors import RunError
from orchestrator.holding import Holding
from orchestrator.runtime.journal.values.tree import NotKeptError

SECRETS: Final = (SecretStr, SecretBytes, Secret)
VARIABLE: Final = "ORCH_SECRET_"
"""How the variables of the environment begin that hold secrets."""
_UNKNOWN: Final = object()
_KINDS: Final[dict[str, type]] = {each.__name__: each for each in (str, bytes, int, float, bool)}
"""What an environment can hold, which has only text."""
_given: ContextVar[Mapping[str, object]] = ContextVar("orchestrator_secrets", default=MappingProxyType({}))


class MissingSecretError(RunError):
    """A secret is needed that this process has not got (ORCH-R092)."""


def given(secrets: Mapping[str, object]) -> AbstractContextManager[None]:
    """Let secrets of these names be these, in this context: texts, or pydantic's secrets."""
    return Holding(_given, {name: _bare(value) for name, value in secrets.items()})


def variable_of(name: str) -> str:
    """The variable of the environment that holds a secret of this name."""
    return VARIABLE + re.sub(r"[^A-Za-z0-9]", "_", name).upper()


def named(value: Any, name: str, found: dict[str, list[object]] | None = None) -> Any:
    """A value of an input whose secrets know their names; containers that hold some are copied. What they are is added
    to ``found``, by name."""
    cls = type(value)
    if cls in _NAMED:
        if found is not None:
            found.setdefault(name, []).append(value.get_secret_value())
        return _NAMED[cls](name, type(value.get_secret_value()).__name__, value.get_secret_value())
    if isinstance(value, dict):
        parts = {key: named(each, f"{name}.{key}", found) for key, each in value.items()}
        changed = {key: each for key, each in parts.items() if each is not value[key]}
        made = copy(value) if changed else value
        made.update(changed)
        return made
    if isinstance(value, (list, tuple)):
        items = [named(each, f"{name}.{n}", found) for n, each in enumerate(value)]
        if all(map(is_, items, value)):
            return value
        return cls(*items) if hasattr(cls, "_fields") else cls(items)
    return _with_named_fields(value, name, found)


def _with_named_fields(value: Any, name: str, found: dict[str, list[object]] | None) -> Any:
    held = vars(value) if isinstance(value, BaseModel) else {}
    if is_dataclass(value):
        held = {each.name: getattr(value, each.name) for each in fields(value) if hasattr(value, each.name)}
    parts = {field: named(each, f"{name}.{field}", found) for field, each in held.items()}
    changed = {field: each for field, each in parts.items() if each is not held[field]}
    if isinstance(value, BaseModel) and changed:
        return value.model_copy(update=changed)
    made = copy(value) if changed else value
    for field, each in changed.items():
        object.__setattr__(made, field, each)
    return made


def confused(found: Mapping[str, Sequence[object]]) -> Iterator[str]:
    """A sentence for each variable of the environment that several secrets have which are not the same; what they are
    is given by name."""
    alike: dict[str, list[tuple[str, object]]] = {}
    for name, values in found.items():
        alike.setdefault(variable_of(name), []).extend((name, each) for each in values)
    for variable, secrets in alike.items():
        if any(value != secrets[0][1] for _, value in secrets):
            names = " and ".join(f"`{name}`" for name, _ in secrets)
            yield f"{names} are not the same secret, and whoever resumes the run has one for them, {variable}"


def sealed(secret: Any) -> list[str]:
    """What a journal has of a secret: its class, its name, and of which class its value is.

    Raises :class:`~orchestrator.runtime.journal.values.tree.NotKeptError` for one without a name.
    """
    if not isinstance(secret, _Named):
        raise NotKeptError("a secret that is no input of the run, and so has no name")
    return [secret.kind.__name__, secret.name, secret.held]


def unsealed(data: Any) -> Any:
    """The secret again, which looks for its value when it is asked for it. Raises ``ValueError`` for what is none."""
    kind, name, held = data
    cls = next((each for each in _NAMED if each.__name__ == kind), None)
    if cls is None or not isinstance(name, str) or not isinstance(held, str):
        raise ValueError(f"{data!r:.100} is no secret")
    return _NAMED[cls](name, held, _UNKNOWN)


class _Named:
    """What is added to one of pydantic's classes: a name, and a value that may have yet to be looked up."""

    kind: type[Any]
    _display: Callable[[], object]

    def __init__(self, name: str, held: str, value: object) -> None:
        self.name = name
        self.held = held
        """The name of the class that its value is of."""
        self._known = value

    @property
    def _secret_value(self) -> Any:
        """Pydantic's own attribute, which its methods go by."""
        return _looked_up(self.name, self.held) if self._known is _UNKNOWN else self._known

    def get_secret_value(self) -> Any:
        """What it is. Raises :class:`MissingSecretError`."""
        return self._secret_value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, self.kind):
            return NotImplemented
        return bool(self.kind(self.get_secret_value()) == self.kind(other.get_secret_value()))

    def __hash__(self) -> int:
        return hash(self.get_secret_value())

    def __repr__(self) -> str:
        return f"{self.kind.__name__}({self._display()!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """Another process has another environment, and was given nothing: it gets the value, where that is known."""
        value = self._known
        if value is _UNKNOWN:
            try:
                value = self.get_secret_value()
            except MissingSecretError:
                return unsealed, (sealed(self),)
        return _restored, (self.kind, self.name, self.held, value)


class _Str(_Named, SecretStr):  # type: ignore[override]
    kind = SecretStr

    def _display(self) -> str:
        return "**********"


class _Bytes(_Named, SecretBytes):  # type: ignore[override]
    kind = SecretBytes

    def _display(self) -> bytes:
        return b"**********"


class _Any(_Named, Secret[Any]):
    kind = Secret

    def _display(self) -> str:
        return "**********"


_NAMED: Final[dict[type, type[Any]]] = {SecretStr: _Str, SecretBytes: _Bytes, Secret: _Any}

WRITTEN: Final = (*_NAMED, *_NAMED.values())
"""The classes of the secrets that have a name, or could have."""


def _restored(kind: type, name: str, held: str, value: object) -> Any:
    return _NAMED[kind](name, held, value)


def _bare(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SECRETS) else value


def _looked_up(name: str, held: str) -> object:
    cls, found = _KINDS.get(held), _given.get().get(name, _UNKNOWN)
    if found is _UNKNOWN:
        text = os.environ.get(variable_of(name))
        if text is None or cls is None:
            raise _missing(name, None if cls is None else variable_of(name))
        return _read(text, cls, name)
    if cls is not None and not isinstance(found, cls):
        raise MissingSecretError("ORCH-R092", f"what is given as the secret `{name}` is no {held}", fix="give one")
    return found


def _read(text: str, cls: type, name: str) -> object:
    if cls is str:
        return text
    if cls is bytes:
        return text.encode("utf-8", "surrogateescape")
    try:
        return cls(json.loads(text))
    except (ValueError, TypeError):
        message = f"the variable {variable_of(name)} holds no {cls.__name__}"
        raise MissingSecretError("ORCH-R092", message, fix="write it as JSON has it") from None


def _missing(name: str, variable: str | None) -> MissingSecretError:
    give = f"give it to whoever resumes the run: resume(…, secrets={{{name!r}: …}})"
    return MissingSecretError(
        "ORCH-R092",
        f"the secret `{name}` is not to be had in this process",
        why="a journal has its name and not its value, and the run goes on in a process that was not given it",
        fix=give if variable is None else f"set {variable} in the environment, or {give}",
    )
