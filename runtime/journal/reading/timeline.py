"""The history of a run, for people: what each op did and waited for, read from its log without the workflow's code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from orchestrator.errors import JournalError
from orchestrator.runtime.journal.lines.line import VERSION, upgraded
from orchestrator.runtime.journal.reading.described import Described, Versions
from orchestrator.runtime.journal.stores.base import Row, Store
from orchestrator.runtime.journal.stores.failed import DAMAGED

Status = str
"""``running``, ``done``, ``failed``, ``waiting``, ``unsettled``, or ``stopped`` where its run has ended before it."""
_WITH_SECONDS: Final = 3
"""A result without usage has so many parts at most, of which the last is the seconds since its attempt began."""
_RETRY: Final = "a retry"
_DOWN: Final = "a process"


@dataclass(slots=True)
class Step:
    """One execution of an op, attempts included."""

    path: str
    """By the keys of ops."""
    name: str
    """By their ids, where those are known, in the latest version that has the op: ``turns[3]/verdict``."""
    kind: str | None
    place: str | None
    where: str | None
    began: float
    """Unix time in seconds."""
    ended: float | None = None
    status: Status = "running"
    attempts: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    waited_s: dict[str, float] = field(default_factory=dict)
    """For how long it waited, by cause: ``a retry``, ``a sleep``, ``a person``, ``a process`` to go on."""
    waits_for: str | None = None
    """What it waits for now."""
    said: str | None = None
    """What went wrong last."""
    inputs: str | None = None
    """The digest of what it was given."""
    gave: str | None = None
    """A digest of what it gave."""
    predicted_s: float | None = None
    predicted_usd: float | None = None

    @property
    def seconds(self) -> float | None:
        """From its first attempt to its end."""
        return None if self.ended is None else max(self.ended - self.began, 0.0)


@dataclass(slots=True)
class Timeline:
    """A run."""

    steps: list[Step] = field(default_factory=list)
    """In the order in which they began."""
    began: float | None = None
    """Unix time in seconds of the first that is known of it."""
    down_s: float = 0.0
    """For so long nobody executed it."""
    resumed: int = 0
    """So often somebody went on with it."""
    problems: list[str] = field(default_factory=list)
    """What of the log could not be read."""


async def timeline(store: Store, run_id: str) -> Timeline:
    """What the rows say that are kept of a run, as far as none is lost; what a snapshot says again is left out."""
    reading, versions = Reading(), Versions(store)
    try:
        async for row in store.history(run_id):
            reading.row(row, await versions.of(row))
    except JournalError as error:  # what is behind rows that are lost cannot be understood without them
        if error.code != DAMAGED:
            raise
        reading.timeline.problems.append(error.message)
    return reading.timeline


class Reading:
    """A timeline while it is read, row by row."""

    def __init__(self) -> None:
        self.timeline = Timeline()
        self._described = Described()
        self._steps: dict[str, Step] = {}
        self._since: dict[str, tuple[str, float]] = {}
        """Since when a step waits, and for what."""
        self._version = VERSION
        self._last = 0.0
        self._is_first = True

    def row(self, row: Row, described: Described) -> list[Step]:
        """Read a row that the version has written which is described; the steps that it says something of."""
        if described is not self._described:
            self._rename(described)
        if row.is_snapshot and not self._is_first:
            return []
        self._is_first = False
        touched: dict[int, Step] = {}
        for text in row.data.decode(errors="replace").split("\n"):
            try:
                step = self._line(text)
            except (ValueError, TypeError, LookupError, RecursionError, AttributeError) as error:
                self.timeline.problems.append(f"row {row.number}: {type(error).__name__}")
                continue
            if step is not None:
                touched[id(step)] = step
        return list(touched.values())

    def _rename(self, described: Described) -> None:
        """Call what was done before as this version does, as far as it has it."""
        self._described = described
        for step in self.timeline.steps:
            name, op = described.named(step.path)
            step.name = step.name if op is None else name

    def _line(self, text: str) -> Step | None:
        if text[:1] in ("", "m", "M"):
            return None
        if text[:1] != "[":
            self._version = int(text)
            return None
        data = json.loads(text.partition("\t")[0])
        kind, at, path, *rest = data if self._version == VERSION else upgraded(data, self._version)
        at = float(at)
        if kind == "resumed":
            self._resumed(max(at - self._last, 0.0))
        elif kind == "failure":
            for step in self.timeline.steps:
                step.status = "stopped" if step.status == "running" else step.status
        self._last = max(self._last, at)
        if self.timeline.began is None:
            self.timeline.began = at
        read = _READERS.get(kind)
        if read is None or not path:
            return None
        step = self._step(path, at)
        read(self, step, at, rest)
        return step

    def _resumed(self, down_s: float) -> None:
        self.timeline.resumed += 1
        self.timeline.down_s += down_s
        for step in self.timeline.steps:
            if step.status in ("running", "stopped"):
                step.waited_s[_DOWN] = step.waited_s.get(_DOWN, 0.0) + down_s

    def _step(self, path: str, at: float) -> Step:
        found = self._steps.get(path)
        if found is None:
            name, op = self._described.named(path)
            found = Step(path, name, None, None, None, at)
            if op is not None:
                found.kind, found.place, found.where = op.kind, op.place, op.where
                found.predicted_s, found.predicted_usd = op.seconds, op.cost_usd
            self._steps[path] = found
            self.timeline.steps.append(found)
        return found

    def waits(self, step: Step, at: float, cause: str) -> None:
        """It waits from now on."""
        self._since[step.path] = cause, at
        step.status, step.waits_for = "waiting", cause

    def goes_on(self, step: Step, at: float, status: Status) -> None:
        """It waits no more."""
        cause, since = self._since.pop(step.path, ("", at))
        if cause:
            step.waited_s[cause] = step.waited_s.get(cause, 0.0) + max(at - since, 0.0)
        step.status, step.waits_for = status, None


def _started(reading: Reading, step: Step, at: float, rest: list[Any]) -> None:
    reading.goes_on(step, at, "running")
    step.attempts = max(step.attempts, int(rest[0]))


def _done(reading: Reading, step: Step, at: float, rest: list[Any]) -> None:
    reading.goes_on(step, at, "done")
    step.ended, step.said = at, None
    values, step.inputs, *_ = [*rest, None]
    step.gave = blake2b(json.dumps(values, sort_keys=True).encode(errors="surrogatepass"), digest_size=8).hexdigest()
    if len(rest) > _WITH_SECONDS:
        _used(step, rest[2], rest[3])
    elif len(rest) == _WITH_SECONDS:  # nothing else says that this attempt was made
        step.attempts += 1
        step.began = min(step.began, at - float(rest[2]))


def _used(step: Step, usage: list[Any], cost_usd: float | None) -> None:
    step.input_tokens = (step.input_tokens or 0) + int(usage[0])
    step.output_tokens = (step.output_tokens or 0) + int(usage[2])
    if cost_usd is not None:
        step.cost_usd = (step.cost_usd or 0.0) + float(cost_usd)


def _failed(reading: Reading, step: Step, at: float, rest: list[Any]) -> None:
    reading.goes_on(step, at, "failed")
    step.attempts, step.said = max(step.attempts, int(rest[0])), f"{rest[1]}: {_text(rest[2])}"
    if rest[3] is None:
        step.ended = at
    else:
        reading.waits(step, at, _RETRY)


def _unsettled(reading: Reading, step: Step, at: float, rest: list[Any]) -> None:
    reading.goes_on(step, at, "unsettled")
    step.ended, step.said = at, _text(rest[1])


def _settled(reading: Reading, step: Step, at: float, rest: list[Any]) -> None:
    status = {"happened": "done", "failed": "failed"}.get(rest[0], "running")
    reading.goes_on(step, at, status)
    step.ended, step.said = at, f"{rest[0]}, says {rest[1]}"


def _text(said: Any) -> str:
    return f"(over 64 KB, in artifact {next(iter(said.values()))})" if isinstance(said, dict) else str(said)


def _timer(reading: Reading, step: Step, at: float, _rest: list[Any]) -> None:
    reading.waits(step, at, "a sleep")


def _asked(reading: Reading, step: Step, at: float, rest: list[Any]) -> None:
    reading.waits(step, at, "a person")
    step.said = str(rest[1])


def _answered(reading: Reading, step: Step, at: float, _rest: list[Any]) -> None:
    reading.goes_on(step, at, "running")


def _spent(_reading: Reading, step: Step, _at: float, rest: list[Any]) -> None:
    _used(step, rest[0], rest[1])


_READERS: Final[dict[str, Callable[[Reading, Step, float, list[Any]], None]]] = {
    "started": _started,
    "done": _done,
    "wrote": _done,
    "failed": _failed,
    "unsettled": _unsettled,
    "settled": _settled,
    "timer": _timer,
    "asked": _asked,
    "answered": _answered,
    "spent": _spent,
}
