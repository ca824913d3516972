"""What the compiler and the runtime tell an engine about the KV cache of a session, and how it travels.

A *program* is one run of a workflow, a *session* one conversation of it whose KV prefix grows from *turn* to turn, and
a *pause* the time between the end of a turn and the arrival of the next one, while tools run. Hints change speed, never
results.

OpenAI-compatible servers take hints as flat extra arguments (vLLM: ``vllm_xargs``), so a hint is written as
``{"orch_program": "run-7", "orch_tool": "run_sql", …}``: strings, numbers and lists of numbers only. The session
travels beside it (``X-Session-ID``, or ``orch_session``).

>>> KvHint.from_args(KvHint(program="run-7", turns_left=2.0).to_args()) == KvHint(program="run-7", turns_left=2.0)
True
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from math import inf, isfinite, isnan
from typing import Any, Final

PREFIX: Final = "orch_"
SESSION_ARGUMENT: Final = "orch_session"
MOST_QUANTILES: Final = 64
MOST_NAME_CHARS: Final = 512
"""Longer names are cut: a hostile client must not fill the engine's memory with them."""
MOST_SUPERSEDED: Final = 256
MOST_FEATURES: Final = 16
MOST_FEATURE_CHARS: Final = 128

Scalar = str | int | float
Argument = Scalar | list[str] | list[float]


@dataclass(frozen=True, slots=True)
class PauseKey:
    """What the compiler knows about a pause before it begins: where to look for pauses like it."""

    workflow: str = ""
    tool: str = ""
    """The tools that run in it, in order, joined by ``+``."""
    features: tuple[str, ...] = ()
    """Argument features the user named, as ``name=value``."""


@dataclass(frozen=True, slots=True)
class KvHint:
    """What is known about the KV cache of a session after this request. Advisory; ``None`` is no opinion."""

    program: str | None = None
    """Identity of the program the session belongs to."""
    program_arrival_s: float | None = None
    """Unix time at which the program arrived: work is ordered by program, not by request."""
    turns_left: float | None = None
    """Expected turns of the session after this one."""
    deadline_s: float | None = None
    """Unix time by which the whole program should be done; None without an SLO."""
    call_s: float | None = None
    """Expected seconds of this turn, alone on its engine."""
    critical_path_s: float | None = None
    """Expected seconds from the end of this turn to the end of the program, along its longest path."""
    workflow: str | None = None
    tool: str | None = None
    """The tools that run before the next turn: the key of the pause."""
    features: tuple[str, ...] = ()
    pause_s: tuple[float, ...] = ()
    """The forecast of the pause: equally likely quantiles in ascending order, ``inf`` for "may never end"."""
    pin_ttl_s: float | None = None
    """Keep the session's blocks for at most this long after the reply; ``0``: not worth keeping."""
    release: bool = False
    """The session ends with this reply."""
    supersedes: tuple[str, ...] = ()
    """Sessions whose KV is not needed any more: compacted into this one, or of a branch that ended."""
    prefetch: bool = False
    """Nobody waits for the reply: the request warms a prefix that a later turn begins with."""
    tenant: str | None = None
    """It says on whose behalf the request is; shares of an engine are fair between tenants."""

    @property
    def key(self) -> PauseKey:
        """Where to look for pauses like the one after this turn."""
        return PauseKey(self.workflow or "", self.tool or "", self.features)

    @property
    def ends(self) -> bool:
        """Whether no turn of the session follows, as far as is known."""
        return self.release or self.turns_left == 0

    @property
    def median_s(self) -> float | None:
        """Of the forecast; ``inf`` where the pause is as likely to end as not to."""
        return self.pause_s[len(self.pause_s) // 2] if self.pause_s else None

    @property
    def longest_s(self) -> float | None:
        """A pause that is longer than this is not expected to end."""
        return max(filter(isfinite, self.pause_s), default=None)

    def to_args(self) -> dict[str, Argument]:
        """The hint as flat arguments; what has its default value is left out."""
        args: dict[str, Argument] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or value is False or value == ():
                continue
            args[PREFIX + field.name] = _written(value)
        return args

    @classmethod
    def from_args(cls, args: Mapping[str, object]) -> KvHint:
        """Read flat arguments. Anything malformed is dropped, field by field: input comes from clients."""
        read: dict[str, Any] = {}
        for field in fields(cls):
            found = args.get(PREFIX + field.name)
            value = None if found is None else _READERS[field.name](found)
            if value is not None:
                read[field.name] = value
        return cls(**read)


NO_HINT: Final = KvHint()


def has_hint(args: Mapping[str, object]) -> bool:
    """Whether any argument is a hint's."""
    return any(name.startswith(PREFIX) for name in args)


def _written(value: object) -> Argument:
    if value is True:
        return 1
    if isinstance(value, tuple):
        return [_finite(each) if isinstance(each, float) else each for each in value]
    assert isinstance(value, str | int | float)
    return value


def _finite(value: float) -> float:
    return value if isfinite(value) else -1.0  # JSON has no infinity


def _name(value: object) -> str | None:
    return value[:MOST_NAME_CHARS] if isinstance(value, str) and value else None


def _names(value: object, most: int = MOST_SUPERSEDED, most_chars: int = MOST_NAME_CHARS) -> tuple[str, ...] | None:
    many = value.split(",", most)[:most] if isinstance(value, str) else value
    if not isinstance(many, list | tuple):
        return None
    return tuple(each[:most_chars] for each in many[:most] if isinstance(each, str) and each)


def _features(value: object) -> tuple[str, ...] | None:
    return _names(value, MOST_FEATURES, MOST_FEATURE_CHARS)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) and number >= 0 else None


def _flag(value: object) -> bool:
    return value in (1, True, "1", "true")


def _quantiles(value: object) -> tuple[float, ...] | None:
    if not isinstance(value, list | tuple) or not value or len(value) > MOST_QUANTILES:
        return None
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in value):
        return None
    try:
        times = [inf if each < 0 else float(each) for each in value]
    except OverflowError:
        return None
    return tuple(times) if times == sorted(times) and not any(map(isnan, times)) else None


_READERS: Final[Mapping[str, Callable[[object], object]]] = {
    "program": _name,
    "program_arrival_s": _number,
    "turns_left": _number,
    "deadline_s": _number,
    "call_s": _number,
    "critical_path_s": _number,
    "workflow": _name,
    "tool": _name,
    "features": _features,
    "pause_s": _quantiles,
    "pin_ttl_s": _number,
    "release": _flag,
    "supersedes": _names,
    "prefetch": _flag,
    "tenant": _name,
}
