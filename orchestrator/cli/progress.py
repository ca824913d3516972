"""What is going on, on stderr: a live display at a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from orchestrator.planner.figures import duration
from orchestrator.runtime.events import Feed, OpsDone, OpStarted
from orchestrator.runtime.observe import Subscription

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from orchestrator.planner.plan import Plan

BAR = 24
"""Characters of the bar."""
SHOWN_CASE = 48
"""Characters of a case's name in the display."""


class Progress:
    """Told by a command what happens; a :class:`~orchestrator.cli.session.Starting`.

    The live display is one spinner while something starts, then a bar over the runs and what each of them is doing.
    """

    def __init__(self, plan: Plan, *, live: bool | None = None) -> None:
        self._shown_ops = {op.id for op in plan.ops if op.place != "inline"}
        self._live = sys.stderr.isatty() if live is None else live
        self._bars: Bars | None = None
        self._start: TaskID | None = None
        self._all: TaskID | None = None
        self._cases: dict[str, TaskID] = {}
        self._total = self._ended = 0

    def starting(self, what: str) -> None:
        """Something that takes a while begins."""
        if not self._live:
            click.echo(f"starting {what} …", err=True)
            return
        bars = self._shown()
        self._forget(self._start)
        self._start = bars.add_task(f"starting {what} …", total=None)

    def started(self, what: str, seconds: float) -> None:
        """It is there."""
        self._forget(self._start)
        self._start = None
        self.note(f"started {what} in {duration(seconds)}")

    def note(self, text: str) -> None:
        """A line that stays."""
        if self._bars is not None:
            self._bars.console.print(text, style="dim", markup=False, highlight=False)
        else:
            click.secho(text, dim=True, err=True)

    def running(self, cases: int) -> None:
        """So many runs are about to begin."""
        self._forget(self._start)
        self._total = cases
        if self._live and cases > 1:
            self._all = self._shown().add_task(self._summary(), total=cases)

    def began(self, case: str) -> Subscription | None:
        """A run begins; gives what should observe it, if anything."""
        if not self._live:
            return None
        bars = self._shown()
        task = self._cases[case] = bars.add_task(_cut(case), total=None)
        return _Watch(bars, task, _cut(case), self._shown_ops)

    def ended(self, case: str, seconds: float, problem: str | None) -> None:
        """A run has ended, with a problem or without."""
        self._ended += 1
        self._forget(self._cases.pop(case, None))
        if self._all is not None and self._bars is not None:
            self._bars.update(self._all, completed=self._ended, description=self._summary())
        if not self._live and self._total > 1:
            state = f"failed: {problem}" if problem else duration(seconds)
            click.echo(f"[{self._ended}/{self._total}] {case}  {state}", err=True)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep off the terminal meanwhile."""
        if self._bars is None:
            yield
            return
        self._bars.stop()
        try:
            yield
        finally:
            self._bars.start()

    def close(self) -> None:
        """Remove the display."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _summary(self) -> str:
        done = round(BAR * self._ended / self._total)
        return f"{'━' * done}{'─' * (BAR - done)} {self._ended} of {self._total} runs"

    def _shown(self) -> Bars:
        if self._bars is None:
            from rich.console import Console
            from rich.progress import Progress as Bars
            from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
            from rich.table import Column

            text = TextColumn(
                "{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")
            )
            console = Console(stderr=True)
            self._bars = Bars(SpinnerColumn(), text, TimeElapsedColumn(), console=console, transient=True)
            self._bars.start()
        return self._bars

    def _forget(self, task: TaskID | None) -> None:
        if task is not None and self._bars is not None:
            self._bars.remove_task(task)


class _Watch(Subscription):
    """Shows in the display which ops of a run are under way."""

    def __init__(self, bars: Bars, task: TaskID, name: str, ops: set[str]) -> None:
        super().__init__(limit=1)
        self._bars, self._task, self._name, self._ops = bars, task, name, ops
        self._running: set[tuple[str, str]] = set()

    def push(self, entry: Feed) -> None:
        """Note one event."""
        if isinstance(entry, OpStarted) and entry.op in self._ops:
            self._running.add((entry.frame, entry.op))
        elif isinstance(entry, OpsDone) and entry.op is not None:
            self._running.discard((entry.frame, entry.op))
        else:
            return
        counts = Counter(op for _, op in self._running)
        doing = ", ".join(f"{op} ×{n}" if n > 1 else op for op, n in sorted(counts.items()))
        self._bars.update(self._task, description=f"{self._name}  {doing}")


def _cut(name: str) -> str:
    return name if len(name) <= SHOWN_CASE else name[: SHOWN_CASE - 1] + "…"
