"""What an op of a program does, as plain data: the call of a tool or model, a question, a sleep, a hint, a region."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from orchestrator.planner.deadlines import Rest
from orchestrator.runtime.engines.base import Sampling
from orchestrator.runtime.program.cases import Select, by_truth

Effects = Literal["pure", "reads", "idempotent", "once"]


@dataclass(frozen=True, slots=True)
class Limits:
    """A budget: upper bounds, None for unbounded."""

    usd: float | None = None
    tokens: int | None = None
    seconds: float | None = None


NO_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Policy:
    """How often an op is tried, how long it may take, and what it may spend."""

    attempts: int = 1
    backoff_s: float = 0.5
    max_backoff_s: float = 30.0
    jitter: bool = True
    on: tuple[str, ...] | None = None
    """Qualified names of the exceptions that are retried; None for all that are worth it."""
    timeout_s: float | None = None
    budget: Limits | None = None


NO_POLICY: Final = Policy()
AS_THE_ENGINE_LIKES: Final = Sampling()


@dataclass(frozen=True, slots=True)
class Pause:
    """What is known of the pause after a turn: before the turn, or by what starts in the pause.

    The values of ``features`` are arguments of the op that the pause belongs to, behind all others.
    """

    tool: str = ""
    """The key of the wait (:mod:`orchestrator.passes.kv.waits`)."""
    ttl_s: float | None = None
    """Upper bound of what to keep the cache for; 0: it is not worth keeping."""
    typical_s: float | None = None
    """The user's word for how long it takes."""
    features: tuple[str, ...] = ()
    """Names of the arguments that tell how long it takes."""
    is_shared: bool = False
    """Several forks follow; each is a session of its own."""
    is_refined: bool = False
    """An op in the pause will say more about it."""


@dataclass(frozen=True, slots=True)
class Once:
    """What a tool that must run at most once offers for when nobody knows whether it did."""

    key: tuple[str, ...] = ()
    """The parameters that together are an idempotency key, with which repeating a call is harmless."""
    made: tuple[str, ...] = ()
    """Those of them that the runtime makes, because the workflow passes none."""
    params: tuple[str, ...] = ()
    """Names of the call's arguments."""
    check: Callable[..., Any] | None = None
    """Says whether a call has happened."""
    check_params: tuple[str, ...] = ()
    """What it is to be asked with, of ``params`` and ``key``."""

    @property
    def is_repeatable(self) -> bool:
        """Whether there is a way to go on after an attempt without an outcome."""
        return bool(self.key) or self.check is not None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function to call: ``fn(*args)``, or by name where ``names`` is set."""

    fn: Callable[..., Any]
    callee: str
    effects: Effects
    is_async: bool
    place: str
    names: tuple[str, ...] | None = None
    retrieve: bool = False
    memory_bytes: int | None = None
    """What it may take in a process of its own."""
    code: str = ""
    """Hash of the function and of all of the user's that it calls."""
    in_pauses: tuple[Pause, ...] = ()
    """Pauses of which more is known once this starts. Each adds arguments: the conversation, and the features."""
    once: Once | None = None
    """It is what a tool that must run at most once offers; None if it may be repeated."""

    def __post_init__(self) -> None:
        if self.effects == "once" and self.once is None:
            object.__setattr__(self, "once", Once())


@dataclass(frozen=True, slots=True)
class Generate:
    """A model call. Arguments: the prompt, and the conversation it continues if there is one."""

    model: str
    engine: str | None
    """Name of the engine the plan chose; None leaves it to the model's name."""
    returns: Any = str
    """The type of one reply."""
    sampling: Sampling = AS_THE_ENGINE_LIKES
    """How the reply is decoded, as far as that is known before the call."""
    at_least: int | None = None
    """So many samples must fit, and the others may be left out; None: all must."""
    late: tuple[str, ...] = ()
    """Options that are values: ``system``, ``model``, ``temperature``. They are arguments, behind the conversation."""
    pause: Pause | None = None
    """The pause before the next turn; None if there is no next turn, or none is known."""
    shares: tuple[tuple[str, float], ...] = ()
    """Engines that take the op's calls between them, with their shares; empty: ``engine`` takes all."""
    is_fork: bool = False
    """Others continue the same conversation, so this opens a session of its own."""
    turns_left: float | None = None
    """Expected turns on the conversation after this one; None if that is not known."""
    rest: Rest | None = None
    """What the call takes, and what the run still has before it then; None where no plan says it."""
    expected_output_tokens: int | None = None
    """The plan's upper estimate per sample, for budgets, where the sampling has no ``max_tokens``."""

    @property
    def engines(self) -> tuple[str, ...]:
        """Names of the engines that a call may go to; none where the plan chose none."""
        if self.shares:
            return tuple(name for name, _ in self.shares)
        return () if self.engine is None else (self.engine,)

    @property
    def offers_tools(self) -> bool:
        """Whether the model may call tools, so that its reply is a :class:`~orchestrator.dsl.models.messages.Reply`."""
        return bool(self.sampling.tools) and self.sampling.tool_choice != "none"

    @property
    def described(self) -> list[Any]:
        """What of it may stand in the prompt besides."""
        return [each for each in (self.sampling.schema, self.sampling.steps, *self.sampling.tools) if each]


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to a human."""

    choices: tuple[str, ...] | None = None
    in_pauses: tuple[Pause, ...] = ()
    """These are pauses as those of a tool call."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """A wait. Argument: its seconds, or the moment at which it is over, where ``seconds`` says nothing."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """A hint to the engine: the conversation ends here."""


@dataclass(frozen=True, slots=True)
class Supersede:
    """A hint to the engine: the first ``over`` arguments are conversations that end here, unless another argument is
    such a conversation; and so do those whose latest turn was inside the structured op ``scope``."""

    over: int
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Prefetch:
    """A hint to the engine: the call ``call`` will begin with this conversation, or with this text."""

    call: str
    model: str
    engine: str | None
    pause: Pause
    shares: tuple[tuple[str, float], ...] = ()
    """Those of the call."""


@dataclass(frozen=True, slots=True)
class Structure:
    """A structured op whose regions wait for something. ``bound`` is a loop's ``max`` or a map's ``limit``."""

    kind: Literal["branch", "switch", "loop", "map", "race", "attempt"]
    bound: int = 0
    concurrency: int = 0
    select: Select = by_truth
    """It says which region of a branch or switch is for a value."""
    catches: tuple[tuple[str, ...], ...] = ()
    """Each handler of an attempt takes these names; none for every failure. Its regions are the body, these, and then
    what is to be done in the end, if anything is."""
    must_end: bool = False
    """A loop that is not over after ``bound`` turns fails."""


@dataclass(frozen=True, slots=True)
class Raise:
    """An exception of the workflow's; its arguments are the text and how it is written by ``repr``, where that is not
    its class with its text; or the error that is raised again."""

    kind: str
    """Qualified name of its class; empty where something is raised again."""
    bases: tuple[str, ...]


HINTS: Final = (Release, Supersede, Prefetch)
"""Ops that have no result and make no events: nothing depends on them."""

Spec = ToolCall | Generate | Ask | Sleep | Release | Supersede | Prefetch | Structure | Raise
