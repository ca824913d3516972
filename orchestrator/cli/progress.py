"""What is going on, on stderr: a live display at a terminal, plain lines elsewhere.

At a terminal there is a spinner while something starts, then a bar over the runs and a line for each of them: what it
is doing, how many items of its maps are done, tokens, cost, and about how much time is left. Elsewhere each run that
ends is a line where there are several, and so is each tenth of a map of twenty items or more.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import ProgressColumn, SpinnerColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from orchestrator.cli.by_path import ByPath
from orchestrator.cli.screen import Screen, printable
from orchestrator.planner.figures import dollars, duration, tokens
from orchestrator.planner.table import cut
from orchestrator.runtime.journal.events import (
    Feed,
    MapProgress,
    OpCaught,
    OpDone,
    OpFailed,
    OpStarted,
    Spent,
    TimerSet,
)
from orchestrator.runtime.journal.records import Spending
from orchestrator.runtime.observe import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Task, TaskID

    from orchestrator.planner.plan import Plan

BAR: Final = 24
"""Characters of the bar."""
SHOWN_CASE: Final = 48
"""Cells of a case's name in the display."""
LOGGED_ITEMS: Final = 20
"""A map of fewer items says nothing where there is no terminal."""
LOGGED_TIMES: Final = 10
"""Lines that a larger one takes there."""


class Said(ProgressColumn):
    """What a task says of itself at the moment it is drawn, which is not as often as something happens."""

    def get_table_column(self) -> Column:
        """One line, cut where it is too long."""
        return Column(no_wrap=True, overflow="ellipsis")

    def render(self, task: Task) -> Text:
        """The line."""
        say: Callable[[], str] = task.fields["say"]
        return Text(say())


@dataclass(slots=True)
class Advance:
    """How far something has come."""

    done: int
    of: int
    began: float

    def left(self, now: float) -> str:
        """About how long the rest takes, at the pace so far; empty where that is not known."""
        if not 0 < self.done < self.of or now <= self.began:
            return ""
        return f"~{duration((now - self.began) / self.done * (self.of - self.done))} left"


class Progress:
    """Told by a command what happens; a :class:`~orchestrator.running.opened.Starting`."""

    def __init__(self, plan: Plan, screen: Screen) -> None:
        self.spent = Spending()
        """All runs have spent so much, failed and cancelled ones included."""
        self.shown_ops = {op.id for op in plan.ops if op.place != "inline"}
        self.races = {op.id for op in plan.ops if op.kind == "race"}
        self._screen = screen
        self._bars: Bars | None = None
        self._start: TaskID | None = None
        self._cases: dict[str, TaskID] = {}
        self._all = Advance(0, 0, 0.0)

    @property
    def several(self) -> bool:
        """Whether there is more than one run."""
        return self._all.of > 1

    def starting(self, what: str) -> None:
        """Something that takes a while begins."""
        if self._screen.live:
            self._forget(self._start)
            self._start = self._task(lambda: f"starting {what} …")
        else:
            self._screen.line(f"starting {what} …")

    def started(self, what: str, seconds: float) -> None:
        """It is there."""
        self._forget(self._start)
        self._start = None
        self.note(f"started {what} in {duration(seconds)}")

    def note(self, text: str) -> None:
        """A line that stays."""
        self._screen.line(text, dim=True)

    def running(self, cases: int) -> None:
        """So many runs are about to begin."""
        self._forget(self._start)
        self._start = None
        self._all = Advance(0, cases, time.time())
        if self._screen.live and self.several:
            self._task(self._summary)

    def began(self, case: str) -> Subscription:
        """A run begins; gives what is to observe it."""
        watch = _Watch(self, cut(printable(case), SHOWN_CASE), alone=not self.several)
        if self._screen.live:
            self._cases[case] = self._task(watch.say)
        return watch

    def ended(self, case: str, seconds: float, problem: str | None) -> None:
        """A run has ended, with a problem or without."""
        self._all.done += 1
        self._forget(self._cases.pop(case, None))
        if not self._screen.live and self.several:
            state = f"failed: {problem}" if problem else duration(seconds)
            self._screen.line(f"[{self._all.done}/{self._all.of}] {case}  {state}")

    def spending(self) -> str:
        """Tokens and cost so far; empty where there are none."""
        usage = self.spent.usage
        if not usage.input_tokens + usage.output_tokens:
            return ""
        cost = f", {dollars(self.spent.cost_usd)}" if self.spent.cost_usd and not self.spent.unpriced else ""
        return f"{tokens(usage.input_tokens)} in, {tokens(usage.output_tokens)} out{cost}"

    def _summary(self) -> str:
        share = round(BAR * self._all.done / self._all.of)
        bar = f"{'━' * share}{'─' * (BAR - share)} {self._all.done}/{self._all.of} runs"
        return " · ".join(each for each in (bar, self.spending(), self._all.left(time.time())) if each)

    def advanced(self, name: str, entry: MapProgress, advance: Advance) -> None:
        """Another item of a map is done. Maps inside loops and other maps are not worth a line."""
        tenth = entry.done and entry.done * LOGGED_TIMES // entry.items > (entry.done - 1) * LOGGED_TIMES // entry.items
        if self._screen.live or not tenth or entry.items < LOGGED_ITEMS or "[" in entry.frame:
            return
        parts = [f"{name} {entry.op} {entry.done}/{entry.items}".strip(), self.spending(), advance.left(entry.at)]
        self._screen.line(" · ".join(part for part in parts if part))

    def _task(self, say: Callable[[], str]) -> TaskID:
        if self._bars is None:
            self._bars = Bars(
                SpinnerColumn(), Said(), TimeElapsedColumn(), console=Console(stderr=True), transient=True
            )
            self._screen.draw(self._bars)
        return self._bars.add_task("", total=None, say=say)

    def _forget(self, task: TaskID | None) -> None:
        if task is not None and self._bars is not None:
            self._bars.remove_task(task)


class _Watch(Subscription):
    """Follows one run: which ops are under way, how far its maps are, and what it spends."""

    def __init__(self, progress: Progress, name: str, *, alone: bool) -> None:
        super().__init__(limit=1)
        self._progress, self._name, self._alone = progress, name, alone
        self._running: dict[tuple[str, str], None] = {}
        self._inside: ByPath[tuple[str, str]] = ByPath()
        """The same, by their frames."""
        self._maps: dict[tuple[str, str], Advance] = {}
        self._wakes: dict[tuple[str, str], float] = {}
        """Sleeps, and when they are over."""

    def push(self, entry: Feed) -> None:
        """Note one event."""
        progress = self._progress
        if isinstance(entry, (OpDone, Spent)) and entry.usage is not None:
            progress.spent.add(entry.usage, entry.cost_usd)
        if isinstance(entry, OpStarted) and entry.op in progress.shown_ops:
            if (entry.frame, entry.op) not in self._running:
                self._running[entry.frame, entry.op] = None
                self._inside.add(entry.frame, (entry.frame, entry.op))
        elif isinstance(entry, MapProgress):
            self._advance(entry)
        elif isinstance(entry, TimerSet):
            self._wakes[entry.frame, entry.op] = entry.wake_at
        elif isinstance(entry, OpCaught):  # what ran beside the failure has no end of its own
            for key in self._inside.within(entry.frame + entry.op):
                self._ended(key)
        elif isinstance(entry, (OpDone, OpFailed)):
            self._maps.pop((entry.frame, entry.op), None)
            losers = self._inside.within(entry.frame + entry.op) if entry.op in progress.races else []
            for key in ((entry.frame, entry.op), *losers):  # what losers did has no end of its own
                self._ended(key)

    def _ended(self, key: tuple[str, str]) -> None:
        self._running.pop(key, None)
        self._wakes.pop(key, None)
        self._inside.remove(key[0], key)

    def say(self) -> str:
        """The line of the run in the display, what may be cut at its end."""
        now = time.time()
        maps = [(op, each) for (_, op), each in list(self._maps.items())[:1]]
        counts = Counter(op for _, op in list(self._running))
        done = [f"{op} {each.done}/{each.of}" for op, each in maps]
        wakes = sorted(self._wakes.items(), key=lambda each: -each[1])
        names = {op: f"{op} ({duration(max(at - now, 0.0))} left)" for (_, op), at in wakes}  # the first to be over
        doing = ", ".join(names.get(op, op) + (f" ×{n}" if n > 1 else "") for op, n in sorted(counts.items()))
        spent = self._progress.spending() if self._alone else ""
        parts = [self._name, *done, spent, *(each.left(now) for _, each in maps), doing]
        return " · ".join(part for part in parts if part)

    def _advance(self, entry: MapProgress) -> None:
        key = (entry.frame, entry.op)
        if entry.done == 0 or key not in self._maps:
            self._maps[key] = Advance(0, entry.items, entry.at)
        self._maps[key].done = entry.done
        self._progress.advanced("" if self._alone else self._name, entry, self._maps[key])
