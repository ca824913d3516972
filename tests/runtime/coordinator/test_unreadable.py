"""A log that was damaged, or that somebody else has written, is called that by whoever reads it."""

from __future__ import annotations

import pytest

from orchestrator import tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.coordinator.forking import fork
from orchestrator.runtime.journal.lines.line import VERSION
from orchestrator.runtime.journal.stores.base import NewRun
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.rehearsal import rehearse
from orchestrator.runtime.runner import Runner


@tool(effects="reads")
async def look(what: str) -> str:
    return what


@workflow
def flow(what: str) -> str:
    return look(what)


LINES = {
    "deep": f'["done",1.0,"{"loop[0]/" * 3000}a",[1],"d"]',
    "nested": "[" * 100_000,
    "short": '["done"]',
    "a kind that is none": '[{"a":1},1.0,"a",[1],"d"]',
    "a path that is none": '["done",1.0,{"a":1},[1],"d"]',
    "a time that is none": '["done","x","a",[1],"d"]',
    "a usage that is none": '["spent",1.0,"a",[[1]],0.1]',
    "a change of nothing": '["turn",1.0,"loop",1,0]\t~5,5,x',
    "seconds that are none": '["totals",1.0,"","x"]',
    "parts that are missing": '["settled",1.0,"a"]',
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
async def test_whoever_reads_it_says_that_it_cannot_be_read(line: str) -> None:
    store, compiled = MemoryStore(), compile_workflow(flow)
    program = compiled.program
    about = f'{{"run":"r","workflow":"flow","version":"{program.fingerprint}"}}'
    rows = f'{VERSION}\n["run",1.0,"",{about},["a"],null]\n{line}\n'
    await store.create(NewRun("r", "flow", program.fingerprint), rows.encode())
    found = await rehearse(program, store, "r")
    assert found.problem is not None
    assert found.problem.code == "ORCH-R102"
    async with Runner(store=store) as runtime:
        with pytest.raises(RunError) as caught:
            await runtime.resume(compiled, "r")
        assert caught.value.code == "ORCH-R102"
        try:  # it need not read everything
            await fork(store, program, "r", "another")
        except RunError as error:
            assert error.code == "ORCH-R102"
        assert (await runtime.run(compiled, {"what": "a"}, run_id="other")).value == "a"
