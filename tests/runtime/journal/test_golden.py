"""Logs of every version of the lines are read, and go on to the same result; `golden/write.py` has written them."""

from __future__ import annotations

import json
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.artifacts.folder import Folder
from orchestrator.runtime.journal.lines.line import VERSION, upgraded
from orchestrator.runtime.journal.lines.readers import READERS
from orchestrator.runtime.journal.lines.stored import loads
from orchestrator.runtime.journal.stores.base import Change, Claim, NewRun
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.runner import Runner
from tests.runtime.journal.golden import write
from tests.runtime.journal.golden.flow import DID, Answering, everything, reply
from tests.runtime.journal.lines.test_wire import EVENTS, program_of
from tests.runtime.journal.text import Codec

VERSIONS = sorted(int(file.stem.removeprefix("run_v")) for file in write.FOLDER.glob("run_v*.json"))
_KEY = re.compile(r"\b[0-9a-f]{8}\b")


def lines_of(version: int) -> list[str]:
    return (write.FOLDER / f"lines_v{version}.txt").read_bytes().decode(errors="surrogatepass").split("\n")[:-1]


def kept(version: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((write.FOLDER / f"run_v{version}.json").read_text())
    if found["python"] != list(sys.version_info[:2]):
        pytest.skip("the code of a tool is hashed as this version of Python compiles it, and the log is of another one")
    return found


def test_there_is_a_log_of_the_version_that_is_written_now() -> None:
    assert VERSIONS[-1:] == [VERSION]


def test_a_line_has_another_form_only_in_another_version() -> None:
    """Who fails here raises ``VERSION``, adds to ``UPGRADES`` how to read what was written, and runs `golden/write.py`;
    what lies there is never written again."""
    forms = [[_KEY.sub("KEY", line) for line in lines] for lines in (write.lines(), lines_of(VERSION))]
    assert forms[0] == forms[1]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_lines_of_a_version_say_what_they_said(version: int) -> None:
    texts = lines_of(version)
    assert {json.loads(text.partition("\t")[0])[0] for text in texts} | {"wrote"} == set(READERS)
    for (flow, event), text in zip(EVENTS[: len(texts)], texts, strict=True):  # later versions have more at the end
        codec = Codec(program_of(flow))
        head, tab, state = text.partition("\t")
        kind, at, _, *rest = upgraded(loads(head), version)
        path = loads(codec.dumps(event).partition("\t")[0])[2]  # by the keys of this version of Python
        line = json.dumps([kind, at, path, *rest])
        assert codec.loads(f"{line}\t{state}" if tab else line) == event


@pytest.mark.parametrize("version", VERSIONS)
def test_the_log_of_a_run_has_what_logs_have(version: int) -> None:
    found = kept(version)
    texts = "\n".join(text for _, _, text in found["rows"])
    assert any(is_snapshot for is_snapshot, _, _ in found["rows"])
    assert found["artifacts"]
    assert {text[:1] for text in texts.splitlines()} >= {str(version)[:1], "m", "M", "["}
    kinds = {json.loads(text.partition("\t")[0])[0] for text in texts.splitlines() if text[:1] == "["}
    assert kinds >= {
        "run", "started", "done", "wrote", "turn", "item", "cleanup", "failed", "caught", "unfit", "asked", "answered",
        "timer", "reserved", "spent", "totals", "result",
    }  # fmt: skip
    assert "\t@" in texts or version < 5, "what a turn hands on"
    assert "\t" in texts


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_run_of_a_version_goes_on_from_any_row_to_the_same_result(version: int, tmp_path: Path) -> None:
    found = kept(version)
    compiled = compile_workflow(everything)
    assert compiled.program.fingerprint == found["program"], "runs that are under way would be of another version"
    artifacts = Folder(tmp_path)
    for name, text in found["artifacts"].items():
        artifacts.put(text.encode(), name)
    did: list[int] = []
    for cut in range(1, len(found["rows"]) + 1):
        store = MemoryStore()
        (_, _, first), *others = found["rows"][:cut]
        head = await store.create(
            NewRun("golden", "everything", found["program"], "acme"), first.encode(), owner="gone"
        )
        claim = Claim("golden", head.epoch)
        for is_snapshot, _, text in others:
            (store.snapshot if is_snapshot else store.append)(claim, text.encode())
        store.append(claim, b"", change=Change("ready"))
        store.barrier("golden")
        DID.clear()
        async with Runner(
            {"main": ScriptedEngine(reply)}, store=store, artifacts=artifacts, human=Answering()
        ) as runner:
            assert await settled(runner, compiled) == found["value"], cut
        did.append(len(DID))
    assert did[-1] == 0
    assert did[0] > 30
    assert all(later <= before + 1 for before, later in pairwise(did)), did


async def settled(runner: Runner, compiled: Any) -> object:
    """The result, where somebody says that a payment which was under way did not happen."""
    from orchestrator.errors import UnsettledError

    try:
        return (await runner.resume(compiled, "golden")).value
    except UnsettledError:
        await runner.settle(compiled, "golden", "pay_1", did_not_happen=True)
        return (await runner.resume(compiled, "golden")).value


def test_every_kind_of_line_is_in_the_table_of_the_documentation() -> None:
    page = (Path(__file__).parents[3] / "docs" / "durable-runs.md").read_text()
    table = page.split("| kind | it says |")[1].split("\n\n")[0]
    listed = {kind for row in table.splitlines()[2:] for kind in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert listed == {*READERS, "m", "M"}
