"""What a scheduling policy sees: requests and replicas, as a router knows them. Nothing here knows the future.

The simulator's and the runtime's own objects satisfy these protocols structurally; a policy is a function of them::

    def shortest_queue(request: RequestView, replicas: Sequence[ReplicaView], now: float) -> int:
        return min(range(len(replicas)), key=lambda i: replicas[i].waiting_count)

Lengths that only the model will decide are *predicted* (from the history of the same step), never the truth. Times are
seconds on one clock, whose value at the call is ``now``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


class StageView(Protocol):
    """What an order knows of a model call, a stage of a program (an instance of a workflow): an engine's queue, too."""

    @property
    def prompt_tokens(self) -> int:
        """Length of the prompt, cached or not."""

    @property
    def predicted_output_tokens(self) -> float:
        """Expected length of the reply."""

    @property
    def ready_s(self) -> float:
        """When everything the stage waits for was done."""

    @property
    def started_s(self) -> float:
        """When the program arrived."""

    @property
    def deadline_s(self) -> float:
        """When the whole program should be done; ``inf`` without an SLO."""

    @property
    def predicted_s(self) -> float:
        """Expected seconds of this stage alone on an average replica."""

    @property
    def remaining_s(self) -> float:
        """Expected seconds of the longest path from the end of this stage to the end of the program, tools included,
        each stage alone on an average replica."""


class RequestView(StageView, Protocol):
    """A model call as a router knows it."""

    @property
    def sequence(self) -> int:
        """How many requests were dispatched before it; unique, in order of readiness."""

    @property
    def program(self) -> int:
        """The program it belongs to."""

    @property
    def step(self) -> str:
        """The workflow's name of the stage; requests of one step resemble each other."""

    @property
    def prefix_ids(self) -> Sequence[int]:
        """Content hashes of the prompt's whole units of ``unit_tokens`` tokens, from its beginning on."""

    @property
    def unit_tokens(self) -> int:
        """Tokens of a prefix unit."""

    @property
    def home(self) -> int | None:
        """Position, among the replicas offered, of the one that ran the stage before; ``None`` for a first stage."""


class SpeedView(Protocol):
    """How fast a replica is."""

    def alone_s(self, prompt_tokens: float, output_tokens: float, cached_tokens: float = 0.0) -> float:
        """Seconds of a call with nothing beside it."""


class ReplicaView(SpeedView, Protocol):
    """One replica of a model with its queue, as of ``now``."""

    @property
    def index(self) -> int:
        """Its number in the whole cluster."""

    @property
    def max_batch(self) -> int:
        """Sequences it runs at the same time at most."""

    @property
    def block_tokens(self) -> int:
        """Tokens of a KV block."""

    @property
    def total_blocks(self) -> int:
        """KV blocks it has."""

    @property
    def kv_bytes_per_token(self) -> float:
        """Bytes of KV of one token."""

    @property
    def link_bytes_per_s(self) -> float:
        """The bytes a second of the link its KV could leave by."""

    @property
    def running_count(self) -> int:
        """Requests that hold KV blocks."""

    @property
    def waiting_count(self) -> int:
        """Requests in its queue."""

    @property
    def waiting_blocks(self) -> int:
        """KV blocks the prompts in its queue need."""

    @property
    def backlog_s(self) -> float:
        """Predicted seconds of all its requests, each alone on this replica, less nothing for what is done."""

    @property
    def prompt_backlog_tokens(self) -> int:
        """Prompt tokens it has still to prefill, queued or running; the queue's cache hits not deducted."""

    def step_s(self, prefill_tokens: float, decodes: float, context_tokens: float) -> float:
        """Seconds of an engine step that processes ``prefill_tokens`` new prompt tokens and one token of each of
        ``decodes`` sequences with ``context_tokens`` in their KV together."""

    def free_blocks(self, now: float) -> int:
        """KV blocks a new request could take: unused, or cached and wanted by nobody."""

    def cached_tokens(self, request: RequestView, now: float) -> int:
        """Leading prompt tokens whose KV it has."""

    def context_tokens(self, now: float) -> int:
        """Tokens in the KV of the sequences it decodes."""

    def waiting(self) -> Iterable[tuple[float, RequestView]]:
        """Its queue, in no order: key and request."""

    def running(self, now: float) -> Iterable[tuple[RequestView, int, int]]:
        """What it runs: request, prompt tokens still to prefill, tokens generated so far."""


Dispatch = Callable[[RequestView, Sequence[ReplicaView], float], int]
"""(request, replicas, now) to a position in ``replicas``."""
Order = Callable[[StageView, SpeedView, float], float]
"""(request, replica, now) to a key of the replica's queue: least first, ties in order of readiness."""
Admit = Callable[[RequestView, Sequence[ReplicaView], float], bool]
"""(request, replicas, now): yes or no. Whether a program is taken on, of its first request; or whether one is held."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The functions a scheduler calls."""

    name: str
    dispatch: Dispatch
    order: Order
    migrate: Dispatch | None = None
    """Where a stage after the first goes; ``None``: ``dispatch`` decides that too."""
    admit: Admit | None = None
    """``None``: every program is taken on."""
    hold: Admit | None = None
    """Whether a request that is ready stays at the router until something finishes, its place decided only then; asked
    again, first in ``order`` first (on the replica it would go to when it became ready), each time a request finishes.
    ``None``: never."""
    reorder: bool = False
    """Whether keys change while requests wait, so that they are asked for again at each admission."""
