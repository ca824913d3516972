"""Writes the logs of the version of lines that there is now, beside those of the earlier ones, which stay as they are:

python -m tests.runtime.journal.golden.write
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal import recorder
from orchestrator.runtime.journal.artifacts import apart
from orchestrator.runtime.journal.artifacts.folder import Folder
from orchestrator.runtime.journal.lines.line import VERSION
from orchestrator.runtime.journal.lines.live import Live
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.runner import Runner
from tests.runtime.journal.golden.flow import Answering, everything, reply
from tests.runtime.journal.lines.test_wire import EVENTS, program_of
from tests.runtime.journal.text import Codec

FOLDER = Path(__file__).parent
LARGE, LARGE_STATE, OFTEN = 60, 12, 3000
"""Values of more characters are artifacts, as is what loops hand on, and snapshots are taken behind so many bytes: a
small log has them all."""


def lines() -> list[str]:
    """The line of every kind of event, as it is written now."""
    return [Codec(program_of(flow)).dumps(event) for flow, event in EVENTS]


async def run() -> dict[str, Any]:
    """A whole run, as its log has it."""
    compiled, store = compile_workflow(everything), MemoryStore()
    written = Live._written

    def state_written(live: Live, text: str) -> str:
        with patch.object(apart, "LARGEST_INLINE", LARGE_STATE):
            return written(live, text)

    with (
        TemporaryDirectory() as folder,
        patch.object(apart, "LARGEST_INLINE", LARGE),
        patch.object(Live, "_written", state_written),
        patch.object(recorder, "SNAPSHOT_BYTES", OFTEN),
        patch.object(recorder.Recorder, "_halves", lambda *_: True),
    ):
        artifacts = Folder(Path(folder))
        async with Runner(
            {"main": ScriptedEngine(reply)}, store=store, artifacts=artifacts, human=Answering()
        ) as runner:
            done = await runner.run(compiled, {"start": "the start"}, run_id="golden", tenant="acme")
        rows = [[row.is_snapshot, row.at, row.data.decode()] async for row in store.history("golden")]
        kept = {name: artifacts.get(name).decode() for name in artifacts.names(float("inf"))}
    about = {"python": list(sys.version_info[:2]), "program": compiled.program.fingerprint, "value": done.value}
    return {**about, "rows": rows, "artifacts": kept}


def main() -> None:
    (FOLDER / f"lines_v{VERSION}.txt").write_bytes("\n".join([*lines(), ""]).encode(errors="surrogatepass"))
    text = json.dumps(asyncio.run(run()), indent=1, ensure_ascii=False)
    (FOLDER / f"run_v{VERSION}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
