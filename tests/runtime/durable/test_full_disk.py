"""A disk that is full stops runs until there is space again, and nothing is lost by it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.durable.chain import did

MOUNTS = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=1m none "$0" && exec "$@"')
"""A disk of 1 MiB that only the command sees; any user may have one where the system lets users have namespaces."""


@pytest.mark.parametrize("how", ["a small disk", "a limit"])
def test_a_run_waits_for_space_and_goes_on_by_itself(how: str, tmp_path: Path) -> None:
    disk, steps = tmp_path / "disk", tmp_path / "did"
    disk.mkdir()
    command = [sys.executable, "-m", "tests.runtime.durable.on_small_disk", str(disk), str(steps)]
    environment = dict(os.environ)
    if how == "a small disk":
        mounts = [*MOUNTS, str(disk)]
        if (
            shutil.which("unshare") is None
            or subprocess.run([*mounts, "true"], capture_output=True, check=False).returncode
        ):
            pytest.skip("this user may not mount a disk of its own here")
        command, environment["SMALL_DISK"] = [*mounts, *command], "1"
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["before"].split("\n")[:-1] == ["r 1 ", "r 2 "], "nothing is started while nothing can be written"
    assert told["shown"] == ["r"], "what is there can be read"
    assert "ORCH-R097" in told["refused"]
    assert ("free some space" in told["refused"]) == (how == "a small disk")
    assert any("run r goes on: its store is back" in each for each in told["said"])
    assert told["value"].startswith("r 4 ")
    assert did(steps) == ["r 1", "r 2", "r 3", "r 4"]
