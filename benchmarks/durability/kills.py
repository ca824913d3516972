"""Runs that are killed with ``kill -9`` at random moments and started again until they return.

A victim is a process that begins a run in a folder, or goes on with the one that it finds there, and writes what its
ops do to the world to a file outside of its store (:mod:`benchmarks.arms.effects`). Judged is only what that file says:

- *lost*: an op that an undisturbed run has, and this one has not;
- *repeated in flight*: an op that began again behind a kill, or was still on its way when its process was killed, while
  nothing had been done with its result yet. That may happen to whatever may be done twice (reads, idempotent and keyed
  tools, model calls), once a kill, and never to a bare ``once`` tool;
- *repeated*: an op that began again after another one had begun with its result in hand, with other inputs or another
  key than before, or although nothing was killed meanwhile. That may happen to nothing.
"""

from __future__ import annotations

import json
import random
import select
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.arms.effects import KILL, NOTES, Effect, Effects, read
from benchmarks.harness.process import ROOT

LIFE_S = 120.0
"""A victim that has not returned by then has failed."""
MOST_KILLS = 3
"""Of one run."""
OWN_FILES = ("effects", "stderr")
"""In a victim's folder, what is not its store's."""


class VictimError(RuntimeError):
    """A victim failed by itself, or never returned; the message is the reason to print."""


@dataclass
class Verdict:
    """What went wrong, by the effects."""

    lost: int = 0
    repeated: Counter[str] = field(default_factory=Counter)
    """By kind of op, those that may not be: a bare ``once`` op always counts."""
    in_flight: int = 0
    """Repetitions that are allowed."""

    def add(self, other: Verdict) -> None:
        """Count what went wrong elsewhere, too."""
        self.lost += other.lost
        self.in_flight += other.in_flight
        self.repeated.update(other.repeated)


def judge(effects: Sequence[Effect], wanted: Collection[str]) -> Verdict:
    """Hold the effects of one run against the ops that an undisturbed run has."""
    begun: dict[str, tuple[Effect, int]] = {}
    used: set[str] = set()
    dead: set[int] = set()
    repeated: Counter[str] = Counter()
    in_flight = kills = 0
    for effect in effects:
        if effect.kind == KILL:
            kills += 1
            dead.update(int(word) for word in effect.op.split() if word.isdigit())
        if effect.ended or effect.kind in NOTES:
            continue
        if effect.op in begun:
            before, kills_before = begun[effect.op]
            is_excused = (kills_before < kills or before.pid in dead) and before.seen == effect.seen
            if effect.kind == "once" or effect.op in used or not is_excused:
                repeated[effect.kind] += 1
            else:
                in_flight += 1
        begun[effect.op] = effect, kills
        used.update(effect.seen)
    return Verdict(lost=len(set(wanted) - begun.keys()), repeated=repeated, in_flight=in_flight)


@dataclass(frozen=True)
class Played:
    """One run, from its first start to its value."""

    value: Any
    kills: int
    wall_s: float
    """From the last start's readiness to the value."""
    resumed_s: tuple[float, ...]
    """From readiness to the first new op, of each start but the first that had one left to do."""
    effects: tuple[Effect, ...]


class _Process:
    """A started victim."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._log = log
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
            )
        self.ready = float(self.said("ready", LIFE_S))

    def said(self, name: str, timeout_s: float) -> Any:
        """The next line, which has that name; None where it has not come in time. Raises VictimError."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], max(0.0, timeout_s))[0]:
            return None
        line = self._process.stdout.readline()
        if not line:
            tail = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise VictimError(f"exit {self._process.wait()}: {''.join(tail)[:300] or 'no message'}")
        return json.loads(line)[name]

    def peak_mib(self) -> float:
        """The most memory that it has had."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def kill(self) -> None:
        """End it and whatever it has started, at once."""
        assert self._process.stdout is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()


def play(command: Sequence[str], folder: Path, kills_after_s: Iterable[float]) -> Played:
    """Start the victim, kill it that long after it is ready, start it again; in the end let it return.

    Raises VictimError.
    """
    resumed: list[float] = []
    noted = Effects(folder / "effects")
    had_begun = any(read(folder / "effects"))
    for kills, after in enumerate((*kills_after_s, LIFE_S)):
        before = len(tuple(read(folder / "effects")))
        process = _Process(command, folder / "stderr")
        try:
            value = process.said("value", after)
        finally:
            process.kill()
            noted.record("victim", KILL)
        effects = tuple(read(folder / "effects"))
        if had_begun and effects[before].kind not in NOTES:
            resumed.append(effects[before].at - process.ready)
        had_begun = had_begun or effects[before].kind not in NOTES
        if value is not None:
            wall = time.monotonic() - process.ready
            return Played(value, kills, wall, tuple(resumed), effects)
    raise VictimError(f"no value within {LIFE_S:.0f} s")


def reopened(command: Sequence[str], folder: Path, timeout_s: float) -> tuple[Played, float]:
    """Kill a victim when it does something for the first time, and start it again: that, and the MiB by which the
    memory of the first one had grown since it was ready. Raises VictimError."""
    process = _Process(command, folder / "stderr")
    try:
        before = process.peak_mib()
        until = time.monotonic() + timeout_s
        while not any(read(folder / "effects")):
            if time.monotonic() > until:
                raise VictimError(f"nothing done within {timeout_s:.0f} s")
            if process.said("value", 0.05) is not None:
                raise VictimError("it returned, and did nothing")
        grown = process.peak_mib() - before
    finally:
        process.kill()
    return play(command, folder, ()), grown


@dataclass
class Tally:
    """Everything that was played of one arm."""

    kills: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    resumed_s: list[float] = field(default_factory=list)

    def add(self, played: Played, verdict: Verdict) -> None:
        """Count one run."""
        self.kills += played.kills
        self.verdict.add(verdict)
        self.resumed_s += played.resumed_s


def kill_at_random(
    programs: Sequence[str], command: Callable[[str, Path], Sequence[str]], folder: Path, kills: int, seed: int
) -> Tally:
    """Play the programs in turn until that many kills have hit them.

    ``command(program, folder)`` starts a victim. Each program is played once undisturbed, which says what it returns,
    what it does, and how long it takes; kills are spread evenly over that time, and over that of what is left then.
    Raises VictimError, also where a killed run returns anything else.
    """
    rng, tally = random.Random(seed), Tally()
    undisturbed: dict[str, Played] = {}
    for number in range(10 * kills + len(programs)):
        if tally.kills >= kills:
            break
        program = programs[number % len(programs)]
        place = folder / str(number)
        place.mkdir(parents=True)
        if program not in undisturbed:
            undisturbed[program] = play(command(program, place), place, ())
            continue
        alone = undisturbed[program]
        moments = [rng.uniform(0, alone.wall_s) for _ in range(rng.randint(1, MOST_KILLS))]
        played = play(command(program, place), place, moments[: kills - tally.kills])
        if played.value != alone.value:
            raise VictimError(f"{program} returned {played.value!r} instead of {alone.value!r}")
        wanted = {effect.op for effect in alone.effects if effect.kind not in NOTES}
        tally.add(played, judge(played.effects, wanted))
    if tally.kills < kills:
        raise VictimError(f"only {tally.kills} of {kills} kills hit a run")
    return tally


def arm_command(python: Path, script: str, size: int) -> Callable[[str, Path], Sequence[str]]:
    """What starts an arm with a program, of that size, in a folder."""
    return lambda program, folder: [str(python), "-m", f"benchmarks.arms.{script}", str(folder), program, str(size)]
