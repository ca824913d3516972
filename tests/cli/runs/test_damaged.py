"""What every command says of a run whose log is damaged, and that the other runs of the file are none the worse."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from orchestrator.runtime.coordinator.coordinator import Coordinator
from orchestrator.runtime.journal.stores.base import Head
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.runner import Runner
from tests.cli.conftest import Orch
from tests.runtime.durable.chain import begun, chaining, mark

STORE = "runs.db"
PAGE = 4096


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the runs `hurt` and `well` in a file, both amid their work."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.py").write_text("from tests.runtime.durable.chain import chain\n")
    for name in ("hurt", "well"):
        asyncio.run(begun(STORE, name, tmp_path / "did", steps=3))
    return tmp_path


def hurt(folder: Path, change: str) -> None:
    """Damage the second step of the run: a bit of its row, or the page that it is in."""
    content = bytearray((folder / STORE).read_bytes())
    at = content.index(mark("hurt", 2).encode())
    if change == "a bit":
        content[at + 3] ^= 4
    else:
        first = at // PAGE * PAGE
        content[first : first + PAGE] = bytes(PAGE)
    (folder / STORE).write_bytes(content)


@pytest.mark.parametrize("change", ["a bit", "a page"])
def test_every_command_says_what_is_lost(
    orch: Orch, folder: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    hurt(folder, change)
    listed = json.loads(orch("runs", "list", "--store", STORE, "--json").out)["runs"]
    assert [(each["run_id"], each["status"]) for each in listed] == [("well", "ready"), ("hurt", "ready")]
    shown = orch("runs", "show", "hurt", "--store", STORE)
    assert shown.code == 0
    assert "damaged: run hurt is damaged: of the" in shown.out
    replayed = orch("runs", "replay", "hurt", "flow.py", "--store", STORE)
    assert (replayed.code, "run hurt is damaged: of the" in replayed.out + replayed.err) == (1, True)
    for words in (("export", "hurt", "-o", "hurt.run"), ("resume", "hurt", "flow.py"), ("fork", "hurt", "flow.py")):
        ended = orch("runs", *words, "--store", STORE)
        assert (ended.code, "ORCH-R095" in ended.err, "ORCH-U099" in ended.err) == (1, True, False), words
        assert "fix: restore the file from a backup" in ended.err
    checked = orch("check", "flow.py", "--against-live", "--store", STORE)
    assert "hurt (ready): must stay; run hurt is damaged" in checked.out + checked.err
    assert "well (ready): same" in checked.out + checked.err
    assert orch("runs", "export", "well", "-o", "well.run", "--store", STORE).code == 0
    assert orch("runs", "cancel", "hurt", "--store", STORE).code == 0
    assert json.loads(orch("runs", "list", "--store", STORE, "--json").out)["runs"][1]["status"] == "cancelled"
    collected = orch("runs", "gc", "--days", "0", "--store", STORE)
    assert collected.code == 0
    left = [each["run_id"] for each in json.loads(orch("runs", "list", "--store", STORE, "--json").out)["runs"]]
    assert (left == ["well"]) == (change == "a bit")
    assert ("run hurt stays" in caplog.text) == (change == "a page")
    ended = orch("runs", "resume", "well", "flow.py", "--store", STORE)
    assert (ended.code, ended.out[:7]) == (0, "well 4 "), ended.err


async def test_a_worker_puts_a_damaged_run_aside_and_goes_on_with_the_others(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hurt(folder, "a bit")
    store = await open_store(STORE)
    async with Runner(store=store) as runtime:
        coordinator = Coordinator(runtime, [chaining()])
        work = asyncio.create_task(coordinator.run())
        heads: dict[str, Head] = {}
        async with asyncio.timeout(60):
            while {each.status for each in heads.values()} != {"done", "suspended"}:
                await asyncio.sleep(0.02)
                heads = {each.run_id: each for each in await store.heads()}
        coordinator.stop()
        await work
    assert heads["well"].status == "done"
    assert str(heads["hurt"].why).startswith("ORCH-R095: run hurt is damaged: of the")
    assert caplog.text.count("run hurt is not executed here") == 1, "it is not claimed again and again"
    await store.close()
