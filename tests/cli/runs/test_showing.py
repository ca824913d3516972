"""What ``orch runs show`` makes of a history."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from orchestrator.runtime.journal.stores.base import Change, Claim, NewRun
from orchestrator.runtime.journal.stores.opened import open_store
from tests.cli.conftest import Orch

HOSTILE = "\x1b[2Jgone\nnew line\r\x07" + "x" * 5000


def hostile(path: Path) -> None:
    """A run whose names, messages and description somebody has made up, and whose log is damaged."""

    async def make() -> None:
        store = await open_store(str(path))
        await store.put_program("v1", b'{"format": 1, "ops": 7}')
        head = await store.create(NewRun("r1", HOSTILE, "v1", HOSTILE), b"4\n", owner="o")
        failed = json.dumps(["failed", 2.0, HOSTILE, 1, "E", HOSTILE, None, True, None])
        text = f'["started",1.0,{json.dumps(HOSTILE)},1]\n{failed}\n["done"\n[[[[\n99\n["done",1.0,"a",[]]\n'
        store.append(Claim("r1", head.epoch), text.encode(), change=Change("failed", HOSTILE))
        if (waiting := store.barrier("r1")) is not None:
            await waiting
        await store.close()

    asyncio.run(make())


def test_nothing_that_stands_in_a_log_is_obeyed_or_fills_the_screen(orch: Orch, tmp_path: Path) -> None:
    hostile(tmp_path / "runs.db")
    for words in (("show", "r1"), ("watch", "r1"), ("list",)):
        ended = orch("runs", *words, "--store", str(tmp_path / "runs.db"))
        assert ended.code in (0, 1)
        assert not {"\x1b", "\r", "\x07"} & set(ended.out)
        assert "new line" in ended.out and "\nnew line" not in ended.out
        assert max(map(len, ended.out.splitlines())) < 1000
    data = json.loads(orch("runs", "show", "r1", "--store", str(tmp_path / "runs.db"), "--json").out)
    assert data["steps"][0]["said"] == f"E: {HOSTILE}"
    assert len(data["problems"]) == 3
