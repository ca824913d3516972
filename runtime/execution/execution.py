"""What one run of a program has while it is executed, what it says, and what it has used.

Everything that happens in a run is an event: :meth:`Execution.emit` journals it and shows it to whoever listens. What
executes the program is in :mod:`.dataflow`.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from time import time
from typing import Final

from orchestrator.cached import cached_property
from orchestrator.runtime.execution.activity import Activity
from orchestrator.runtime.execution.at_most_once.unsettled import Occurrences
from orchestrator.runtime.execution.model_calls.budget import Ledger
from orchestrator.runtime.execution.model_calls.correction import Correction
from orchestrator.runtime.execution.model_calls.prefetching import Prefetches
from orchestrator.runtime.execution.model_calls.sessions import Sessions
from orchestrator.runtime.execution.model_calls.spread import Spread
from orchestrator.runtime.execution.starts import Starts
from orchestrator.runtime.execution.taking_over import TakingOver
from orchestrator.runtime.journal.base import Journal
from orchestrator.runtime.journal.events import Event, Feed, RunStarted
from orchestrator.runtime.journal.recorder import Recorder
from orchestrator.runtime.journal.records import Spending, forget
from orchestrator.runtime.journal.replay import State
from orchestrator.runtime.journal.run_log import RunLog
from orchestrator.runtime.journal.value_digest import value_digest
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.observe import Listeners
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import NO_LIMITS, Limits
from orchestrator.runtime.services import Services

MOST_EVENTS: Final = 100_000
"""So many events of a run in a store are kept in memory, about 50 MB, before the older half is dropped."""


class Execution:
    """See the module's docstring."""

    def __init__(
        self,
        program: Program,
        services: Services,
        journal: Journal,
        run_id: str,
        *,
        listeners: Sequence[Callable[[Feed], None]] = (),
        state: State | None = None,
        budget: Limits | None = None,
        tenant: str | None = None,
        within: Ledger | None = None,
        depth: int = 0,
        deadline_s: float | None = None,
        seed: int | None = None,
        started: RunStarted | None = None,
        taking_over: TakingOver | None = None,
    ) -> None:
        self.program = program
        self.depth = depth
        """How many runs wait for this one."""
        self.services = services
        self.run_id = run_id
        self.tenant = tenant
        """It says on whose behalf the run is; engines are shared fairly between tenants."""
        self.warnings: dict[str, None] = {}
        """The warnings of the run, in order and without repetitions."""
        self.listeners = Listeners(listeners, self.warnings)
        self.simulated = False
        """Whether a simulated engine has answered."""
        self.earlier = Spending() if state is None else replace(state.spending)
        """What the part of the run before this one used, as far as its own events say, and what was forgotten."""
        self.arrival_s = state.started.at if state is not None and state.started is not None else time()
        slo_s = program.slo_s
        own_s = None if slo_s is None else self.arrival_s + slo_s
        self.deadline_s = min((each for each in (own_s, deadline_s) if each is not None), default=None)
        """Unix time by which it should be done: by its own SLO, or that of a run that waits for it."""
        self.budget = budget
        """It takes the place of the budget that the run had before, or the workflow's own."""
        before = None if state is None else state.budget
        self.ledger = Ledger(budget or before or program.budget or NO_LIMITS, within)
        said = KvHint(
            program=run_id,
            program_arrival_s=self.arrival_s,
            deadline_s=self.deadline_s,
            tenant=tenant,
            workflow=program.name,
        )
        self.sessions = Sessions(said, services, self.warn)
        self.spread = Spread(program, services.engines)
        """Where calls go whose op several engines share."""
        self.prefetches = Prefetches(program, services, self.sessions, self.spread, emit=self.emit, warn=self.warn)
        self.corrections: dict[tuple[str, str], Correction] = {} if state is None else dict(state.corrections)
        """It has, for each op, what a failed attempt leaves to the next one."""
        self.resumed = state
        """None for a run that is not resumed."""
        self.activity = Activity()
        self.once = Occurrences(program, state)
        """What has become of tools that must run at most once."""
        self._seed = seed
        self.taking_over = taking_over
        """What earlier versions of the workflow have done in this run."""
        self.started = started
        """The first event, where the journal has it already."""
        self.within: Within | None = None
        """Where the tool is that waits for this run; None for a run that no tool waits for."""
        self.bill: Callable[[Event], None] | None = None
        """Takes this run's events to the outer one, which journals what this one uses."""
        self.log = RunLog(journal, run_id)
        self.events = self.log.events
        """What has happened; of a run in a store the latest of it."""
        self._most_events = MOST_EVENTS if isinstance(journal, Recorder) else inf
        self.starts = Starts(self.log, services.background.spawn)

    @cached_property
    def rng(self) -> random.Random:
        """For the jitter of retries; most runs need none, and to seed one takes as long as a small op."""
        return random.Random(self._seed)

    @property
    def name(self) -> str:
        """What names the run, and one that a tool waits for in every attempt of that tool."""
        return self.run_id if self.within is None else self.within.name

    def emit(self, event: Event, *, seen: Listeners | None = None) -> None:
        """Journal an event and show it to whoever listens, but not to ``seen``, who know it already."""
        self.log.append(event)
        if len(self.events) > self._most_events:
            self._forget()
        if self.bill is not None:
            self.bill(event)
        if self.listeners.present:
            self.listeners.tell(event, seen)

    def _forget(self) -> None:
        """A run may go on for ever, and its store has all that happened."""
        forget(self.events, self.earlier)
        self._most_events = len(self.events) + MOST_EVENTS // 2
        self.warn("its result has a record of the latest of its ops alone; `orch runs show` has those of all")

    def note(self, event: Event) -> None:
        """Show an event that need not be journaled: what it says is found again without it."""
        self.events.append(event)
        if self.bill is not None:
            self.bill(event)
        if self.listeners.present:
            self.listeners.tell(event)

    def show(self, feed: Feed) -> None:
        """Show something to whoever listens, without journaling it."""
        self.listeners.tell(feed)

    def warn(self, said: str) -> None:
        """Have the result say so."""
        self.warnings[said] = None

    def barrier(self) -> Awaitable[None] | None:
        """What to wait for until everything emitted so far is durable; None if it is."""
        return self.log.barrier()

    async def durable(self) -> None:
        """Return when everything emitted so far is durable."""
        execution: Execution | None = self
        while execution is not None:
            waiting = execution.log.barrier()
            if waiting is not None:
                await waiting
            execution = None if execution.within is None else execution.within.outer


@dataclass(frozen=True)
class Within:
    """Where a run stands that a tool of another one waits for."""

    outer: Execution
    """The run of that tool."""
    root: Execution
    """The outermost run."""
    frame: str
    op: str
    """It is the path in the root's journal: the tool there, and the workflows and tools down to this run."""
    retried: str | None
    """An op around it that has a retry."""
    was_begun: bool
    """Whether the tool there was started before the root was resumed."""
    called: str
    """The path in the run of that tool: the tool and the workflow, the same in every attempt at what is around them."""
    inputs: Sequence[object]
    number: Callable[[str], int]
    """It counts the calls of the same attempt that are written alike."""

    @cached_property
    def name(self) -> str:
        """The same one for this call in every attempt, and for no other. Only tools that run at most once need it."""
        call = f"{self.outer.name}\n{self.called}.{value_digest(self.inputs)}"
        return f"{call}.{self.number(call)}"
