"""No program corrupts memory, whatever ends its compilation: see ``tests/ir/soak.py``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ir.soak import SOAKS

ROUNDS = {"traced": 3_000, "compiled": 60, "together": 60, "forked": 30, "at_exit": 40}
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", SOAKS)
def test_survives(name: str) -> None:
    """With an allocator that overwrites what is freed, so that its use shows."""
    rounds = ROUNDS.get(name, 300)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONMALLOC": "debug", "MALLOC_PERTURB_": "165"}
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.ir.soak", name, str(rounds)]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, str(rounds)), done.stderr[-4000:]
