"""An arm's main loop: answer build and run requests on standard input. Standard library only.

==================================== ============================================================
request                              reply
==================================== ============================================================
(none: sent at start)                ``{"arm", "versions", "cases"}``
``{"do": "build", "case", "size"}``  ``{"build_s"}``: graph construction, outside every timed run
``{"do": "run"}``                    ``{"value", "wall_s", "cpu_wait_s"}``
==================================== ============================================================

A failure replies ``{"error": "..."}`` and leaves the arm alive. `cpu_wait_s` is how long the main thread was runnable
without a core: what a busy machine adds to `wall_s`.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.arms.workloads import Factory, Run


def _cpu_wait_s() -> float:
    try:
        return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


class _Arm:
    def __init__(self, cases: Mapping[str, Factory]) -> None:
        self.cases = cases
        self.run: Run | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, object]:
        if request["do"] == "build":
            self.run = None
            gc.collect()
            began = time.perf_counter()
            self.run = self.cases[request["case"]](int(request["size"]))
            return {"build_s": time.perf_counter() - began}
        if self.run is None:
            raise RuntimeError("nothing was built")
        waited, began = _cpu_wait_s(), time.perf_counter()
        value = self.run()
        wall = time.perf_counter() - began
        return {"value": value, "wall_s": wall, "cpu_wait_s": _cpu_wait_s() - waited}


def serve(arm: str, versions: Mapping[str, str], cases: Mapping[str, Factory]) -> None:
    """Talk on the process's original standard output; whatever the framework prints goes to standard error."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(reply: Mapping[str, object]) -> None:
        channel.write(json.dumps(reply) + "\n")
        channel.flush()

    state = _Arm(cases)
    say({"arm": arm, "versions": dict(versions), "cases": list(cases)})
    for line in sys.stdin:
        try:
            say(state.answer(json.loads(line)))
        except Exception as error:  # noqa: BLE001 - an arm reports any failure to the benchmark, which decides
            say({"error": f"{type(error).__name__}: {error}"[:400]})
