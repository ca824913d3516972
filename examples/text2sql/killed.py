"""``make demo``: the questions about this machine, everything killed when six are answered, and the same command again.

By hand::

    orch run examples/text2sql --key mine    # kill -9 it whenever you like
    orch run examples/text2sql --key mine    # what was answered or paid for is taken from .orch/runs.db
    orch runs list
    orch runs show ID                        # the model calls of a question
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

import click

from orchestrator.cli.runs.opening import with_store
from orchestrator.runtime.journal.reading.timeline import Step, timeline
from orchestrator.runtime.journal.stores.base import Store

AFTER: Final = 6
"""So many questions are answered when everything is killed."""
LOOK_S: Final = 0.5
Calls = dict[tuple[str, str], Step]
"""Model calls by run and path in it."""


def main(options: Sequence[str]) -> int:
    """The exit code: that of the second command, and 1 if a call was made again that had been paid for."""
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C ends the command, which says what is kept
    key = f"demo-{time.time():.0f}"
    words = ["run", "examples/text2sql", "--key", key, *options]
    command, shown = [sys.executable, "-m", "orchestrator.cli.main", *words], f"$ {shlex.join(['orch', *words])}"
    _say(shown)
    first = subprocess.Popen(command)
    while answered(key) < AFTER:
        if first.poll() is not None:
            _say("It was over before it could be killed.")
            return first.returncode
        time.sleep(LOOK_S)
    first.kill()
    first.wait()
    killed_at, before = time.time(), calls_of(key)
    paid = {call: step for call, step in before.items() if step.status == "done"}
    under_way = len(before) - len(paid)
    _say(f"\nkill -9: {answered(key)} questions are answered, {len(paid)} model calls paid for, {under_way} under way.")
    _say(shown)
    code = subprocess.call(command)
    after = calls_of(key)
    again = [step.name for call, step in paid.items() if after.get(call) != step]
    ended = [step.ended for step in after.values() if step.ended is not None and step.ended > killed_at]
    _say(f"{len(after)} model calls, {len(paid)} of them before the kill: {len(again)} of those were made again.")
    if ended:
        _say(f"The kill cost {min(ended) - killed_at:.0f} s, from it to the next reply.")
    return code or min(len(again), 1)


def answered(key: str) -> int:
    """So many questions have their answer in the store."""

    async def count(store: Store) -> int:
        return sum(head.key.startswith(f"{key}/") for head in await store.heads(status=["done"], limit=100) if head.key)

    return with_store(None, count, may_make=True)


def calls_of(key: str) -> Calls:
    """The model calls of all questions, as `orch runs show` has them."""

    async def look(store: Store) -> Calls:
        found = {}
        for head in await store.heads(limit=100):
            if head.key and head.key.startswith(f"{key}/"):
                history = await timeline(store, head.run_id)
                found |= {(head.run_id, step.path): step for step in history.steps if step.kind == "decode"}
        return found

    return with_store(None, look, may_make=True)


def _say(text: str) -> None:
    click.secho(text, bold=True, err=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
