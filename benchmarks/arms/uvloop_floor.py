"""The same floor on uvloop, the event loop that our runtime runs on."""

from __future__ import annotations

import uvloop

from benchmarks.arms.asyncio_floor import on
from benchmarks.arms.serve import serve
from benchmarks.harness.machine import versions

if __name__ == "__main__":
    serve("asyncio+uvloop", versions("uvloop"), on(uvloop.run))
