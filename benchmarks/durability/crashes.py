"""Runs whose processes are killed at random moments: coordinators, engine, workers, and the database itself.

Programs are played (:mod:`.plays`), undisturbed at first. Moments of kills are memoryless, so that each one is as
likely as any other, in an outage, too. Everything that is done stands in one file, with the kills;
:func:`~benchmarks.durability.kills.judge` reads it.
"""

from __future__ import annotations

import random
import shutil
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.arms.effects import KILL, NOTES, Effect, read
from benchmarks.durability.kills import Verdict, VictimError, judge
from benchmarks.durability.nursery import Nursery
from benchmarks.durability.parts import EFFECTS
from benchmarks.durability.plays import OF_DATABASE, Play, Store
from benchmarks.durability.programs import BUDGETS, PROGRAMS, asking, scraping, sleeping, working
from benchmarks.durability.synced import Syncs

GAP: Final = 0.4
"""Between two kills are so many times what a program takes alone, in the mean: on a busy machine all is slower."""
MOST_KILLS: Final = 12
"""Of one play; then it may come to its end."""
LOOK_S: Final = 0.004
WITH_WORKERS: Final = 4
"""Every so manieth play has the program whose tools are in processes of their own, which take long to start."""
WAITING: Final = (asking.name, sleeping.name)
"""Programs that nobody owns while they wait."""
SETTLING_S: Final = 8.0
"""For so long after the start of a database the store does not see deaths, and takes over what was silent."""


@dataclass
class Tally:
    """Everything that was played in one store."""

    kills: Counter[str] = field(default_factory=Counter)
    plays: int = 0
    runs: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    wrong: int = 0
    """Runs that gave something else than undisturbed."""
    over_budget: int = 0
    """Runs that took more of the engine than their budget, or than they know of."""
    resumed_s: list[float] = field(default_factory=list)
    """From a coordinator's readiness to the first new op, where none was left."""
    taken_over_s: list[float] = field(default_factory=list)
    """From a coordinator's death to the first new op of a run that it had, in another one."""
    silent_s: list[float] = field(default_factory=list)
    """The same, from the moment that it was stopped and not killed."""
    syncs: Syncs = field(default_factory=Syncs)
    """Where they are counted."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing happened that may not happen."""
        ops = self.verdict.lost + self.verdict.repeated.total()
        return not (ops or self.wrong or self.over_budget or self.syncs.unsynced)


@dataclass(frozen=True)
class Alone:
    """What a program does when nobody is killed."""

    value: Any
    ops: frozenset[str]


class Theatre:
    """Plays programs in one store, again and again, and counts what goes wrong."""

    def __init__(
        self,
        nursery: Nursery,
        store: Store,
        folder: Path,
        seed: int,
        *,
        programs: Sequence[str] = tuple(PROGRAMS),
        play: Callable[..., Play] = Play,
    ) -> None:
        self._nursery, self._store, self._folder, self._programs = nursery, store, folder, programs
        self._play = play
        self._rng = random.Random(seed)
        self._alone: dict[str, Alone] = {}
        self._walls_s: list[float] = []
        self._of: dict[str, str] = {}
        """The program that an op is of."""
        self.tally = Tally()

    def rehearse(self) -> None:
        """Play each program alone, undisturbed. Raises VictimError."""
        for name in self._programs:
            self._rehearse(name)

    def kill_at_random(self, kills: int) -> Tally:
        """Play until that many kills have hit. Raises VictimError where a play does not come to its end."""
        while self.tally.kills.total() < kills:
            number = self.tally.plays
            names = self._cast(with_workers=number % WITH_WORKERS == WITH_WORKERS - 1)
            with self._playing(f"play{number}", names) as play:
                self._disturb(play, min(MOST_KILLS, kills - self.tally.kills.total()))
                self._count(play, names, play_folder := self._folder / f"play{number}")
            if self.tally.is_clean:
                for path in (play_folder, *play_folder.parent.glob(f"{play_folder.name}-*")):
                    shutil.rmtree(path, ignore_errors=True)
            print(f"\r  {self.tally.kills.total()} of {kills} kills", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        return self.tally

    def be_silent(self) -> None:
        """Play once with a coordinator that is stopped for longer than its lease, and then goes on."""
        names = self._cast(with_workers=False)
        folder = self._folder / f"silent{len(self.tally.silent_s)}"
        with self._playing(folder.name, names) as play:
            while not (owners := self._owners(folder, play.coordinators)):
                time.sleep(LOOK_S)
            stopped = next(iter(owners.values()))
            play.stop(stopped)
            self._finished(play)
            play.go_on(stopped)
            self._count(play, names, folder)

    def _cast(self, *, with_workers: bool) -> list[str]:
        return [name for name in self._programs if with_workers or name != working.name]

    def _playing(self, name: str, names: Sequence[str]) -> closing[Play]:
        return closing(self._play(self._nursery, self._store, self._folder / name, names, self._rng))

    def _rehearse(self, name: str) -> None:
        began = time.monotonic()
        folder = self._folder / f"alone-{name}"
        with self._playing(folder.name, [name]) as play:
            result = self._finished(play)[name]
        ops = frozenset(effect.op for effect in read(folder / EFFECTS) if effect.kind not in NOTES)
        verdict = judge(tuple(read(folder / EFFECTS)), ops)
        if "value" not in result or verdict.repeated or verdict.in_flight or ops & self._of.keys():
            raise VictimError(f"{name}, undisturbed: {result}, {verdict}")
        self._walls_s.append(time.monotonic() - began)
        self._alone[name] = Alone(result["value"], ops)
        self._of.update(dict.fromkeys(ops, name))
        shutil.rmtree(folder, ignore_errors=True)

    def _disturb(self, play: Play, most: int) -> None:
        """Kill now and then, at most so often, before the play is over."""
        until, gap_s = time.monotonic() + play.life_s, GAP * statistics.median(self._walls_s)
        while play.results() is None and play.kills.total() < most:
            after = time.monotonic() + self._rng.expovariate(1 / gap_s)
            while time.monotonic() < after and play.results() is None:
                time.sleep(LOOK_S)
            if time.monotonic() > until:
                raise VictimError(f"not at its end within {play.life_s:.0f} s: {play.unfinished()}")
            if play.results() is None:
                play.kill()
        self._finished(play)

    @staticmethod
    def _finished(play: Play) -> dict[str, Any]:
        """What all runs have come to. Raises VictimError."""
        until = time.monotonic() + play.life_s
        while (results := play.results()) is None:
            if time.monotonic() > until:
                raise VictimError(f"not at its end within {play.life_s:.0f} s: {play.unfinished()}")
            time.sleep(LOOK_S)
        return results

    def _count(self, play: Play, names: Iterable[str], folder: Path) -> None:
        results = self._finished(play)
        effects = tuple(read(folder / EFFECTS))
        wanted: set[str] = set()
        for name in names:
            alone, result = self._alone[name], results[name]
            if name == scraping.name and str(result.get("failed")).startswith("ORCH-R010"):
                pass  # what was lost counts at its worst, and so its budget may be exhausted
            elif result.get("value") != alone.value:
                self.tally.wrong += 1
                print(f"\n{folder}: {name} gave {result} and not {alone.value}", file=sys.stderr)
            else:
                wanted |= {op for op in alone.ops if not op.startswith("race")}
            if name in BUDGETS:
                took, at_most = _taken(effects, alone.ops)
                is_told = "value" not in result or result["tokens"] >= took
                self.tally.over_budget += at_most > BUDGETS[name] or not is_told
            self.tally.runs += 1
        self.tally.verdict.add(judge(effects, wanted))
        for folder_of_syncs in play.synced:
            self.tally.syncs.read(folder_of_syncs)
        self.tally.kills.update(play.kills)
        self.tally.plays += 1
        for found, what in _gone_on(effects, self._of):
            {"coordinator": self.tally.taken_over_s, "silent": self.tally.silent_s}.get(
                what, self.tally.resumed_s
            ).append(found)
        if not self.tally.is_clean:
            print(f"\n{folder}: {self.tally}", file=sys.stderr)

    def _owners(self, folder: Path, pids: Sequence[int]) -> dict[str, int]:
        """Who has done something for a program last, of those processes, by what they have done so far."""
        effects = read(folder / EFFECTS)
        return {self._of[effect.op]: effect.pid for effect in effects if effect.pid in pids and effect.op in self._of}


def _taken(effects: Iterable[Effect], ops: frozenset[str]) -> tuple[int, int]:
    """Tokens that calls took which have ended, and those that all took at most."""
    begun: dict[tuple[str, int], list[int]] = {}
    took = 0
    for effect in effects:
        if effect.kind != "model" or effect.op not in ops:
            continue
        if effect.ended:
            begun[effect.op, effect.pid].pop()
            took += effect.tokens
        else:
            begun.setdefault((effect.op, effect.pid), []).append(effect.tokens)
    return took, took + sum(map(sum, begun.values()))


def _gone_on(effects: Sequence[Effect], of: Mapping[str, str]) -> Iterator[tuple[float, str]]:
    """How long it took after each death of coordinators until something new was done, and the kind of the death."""
    ready = {effect.pid: effect.at for effect in effects if effect.kind == "ready" and effect.op == "coordinator"}
    owner: dict[str, int] = {}
    database_at = -SETTLING_S
    for place, effect in enumerate(effects):
        if effect.kind != KILL:
            if effect.pid in ready and effect.op in of:
                owner[of[effect.op]] = effect.pid
            continue
        kind, *which = effect.op.split()
        if kind in OF_DATABASE:
            database_at = effect.at
        if effect.at < database_at + SETTLING_S or not which or (kind != "silent" and which[1:] != ["gone"]):
            continue
        held = {program for program, pid in owner.items() if pid == int(which[0]) and program not in WAITING}
        first = _first_new(effects[place + 1 :], ready, {op for op, program in of.items() if program in held})
        if first is not None and kind in ("coordinator", "silent"):
            yield first.at - effect.at, kind
        elif first is not None and kind == "coordinators":
            yield first.at - ready[first.pid], kind


def _first_new(effects: Sequence[Effect], ready: Mapping[int, float], ops: set[str]) -> Effect | None:
    """The first op of these that begins; None where another coordinator, or the database, is killed before."""
    for effect in effects:
        if effect.kind == KILL and not effect.op.startswith(("engine", "worker")) and not effect.op.endswith("gone"):
            return None
        if effect.op in ops and not effect.ended and effect.pid in ready:
            return effect
    return None
