"""`orch worker` in a process of its own, with the workflows of `chain.py`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FLOW = "from tests.runtime.durable.chain import chain, nap\n"


@contextmanager
def worker(
    folder: Path, url: str, lease_s: float, **environment: str
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The process, and what it says; it is told to end, and must have."""
    (folder / "flow.py").write_text(FLOW)
    said = folder / "said"
    command = [sys.executable, "-m", "orchestrator.cli.main", "worker", str(folder / "flow.py"), "--store", url]
    with said.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--lease", str(lease_s)],
            env={**os.environ, "ORCH_LEARNED": "off", "ORCH_CALIBRATION": "off", **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        yield process, said
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0, said.read_text()
    finally:
        process.kill()
        process.wait()
