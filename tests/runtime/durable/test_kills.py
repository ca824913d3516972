"""Processes that are killed with ``kill -9`` lose nothing, and do nothing again that was written."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.arms.effects import NOTES
from benchmarks.durability.kills import judge, play

CONCURRENT = 5 + 12 + 3
"""Ops that may be under way at once: of the map with five at a time, of the one with twelve, and of the others."""


def command(folder: Path) -> Sequence[str]:
    folder.mkdir()
    return [sys.executable, "-m", "tests.runtime.durable.child", str(folder)]


def outlive(folder: Path, kills: int) -> None:
    """Five runs in a process that is killed up to five times, and that again until there were so many kills."""
    rng = random.Random(7)
    alone = play(command(folder / "alone"), folder / "alone", ())
    wanted = {effect.op for effect in alone.effects if effect.kind not in NOTES}
    killed = number = 0
    while killed < kills and number < kills:
        number += 1
        place = folder / str(number)
        moments = [rng.uniform(0, alone.wall_s / 2) for _ in range(min(5, kills - killed))]
        played = play(command(place), place, moments)
        killed += played.kills
        assert played.value == alone.value
        verdict = judge(played.effects, wanted)
        assert not verdict.lost
        assert not verdict.repeated
        assert verdict.in_flight <= CONCURRENT * played.kills
    assert killed == kills


@pytest.mark.slow
def test_five_runs_outlive_many_kills(tmp_path: Path) -> None:
    outlive(tmp_path, 12)
