"""What comes of a program as plain Python and as a workflow, and in what the two differ."""

from __future__ import annotations

import asyncio
import inspect
import re
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from random import Random
from typing import Any

from orchestrator.cli.stored import load_stored, stored_text
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.trace import Traced
from orchestrator.dsl.workflow import Workflow, workflow
from orchestrator.errors import OrchError, RunError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.graph import read
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.lowering import lower
from orchestrator.runtime.program import Program
from orchestrator.runtime.run import Runtime
from tests.fuzz import surface
from tests.fuzz.programs import HEADER, INPUTS

CLUSTER = Cluster(engines=(EngineSpec(name="main", kind="scripted", model="main"),))
SAID = frozenset({"DeniedError", "MissingError", "BusyError", "ValueError", "RuntimeError", "AssertionError"})
"""What programs raise on purpose."""
BOUNDS = frozenset({"ORCH-R005", "ORCH-R055"})
"""Codes of runs that meet a bound that Python does not have."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a program on some inputs."""

    value: object
    raised: str | None
    done: tuple[object, ...]
    """Reads and writes, those that may change places in one order."""
    asked: Counter[str]
    failed: bool = False
    """Whether anything was raised, caught or not."""


@dataclass
class Verdict:
    """What came of a program in all ways; ``fault`` is empty where nothing is wrong."""

    fault: str = ""
    detail: str = ""
    refused: tuple[str, ...] = ()
    invalid: str = ""
    skipped: int = 0
    ran: int = 0
    messages: list[str] = field(default_factory=list)


def _in_order(done: Sequence[tuple[str, str, object]]) -> tuple[object, ...]:
    """Effects in their order; reads between two writes have none among themselves."""
    found: list[object] = []
    reads: list[str] = []
    for kind, name, given in done:
        if kind == "reads":
            reads.append(f"{name}({given!r})")
        else:
            found += [*sorted(reads), f"{name}({given!r})"]
            reads = []
    return (*found, *sorted(reads))


def plainly(function: Callable[..., Any], inputs: Sequence[Any]) -> Outcome:
    """The outcome as plain Python."""
    surface.DONE.clear()
    surface.ASKED.clear()
    value, raised = None, None
    surface.RAISED.clear()
    vars(sys.modules[function.__module__]).update(surface.PLAIN)
    try:
        made = function(*_copied(inputs))
        value = asyncio.run(made) if inspect.iscoroutine(made) else made
    except (Exception, MemoryError) as error:  # noqa: BLE001 - whatever it is, the workflow must raise it too
        raised = type(error).__name__
    failed = raised is not None or bool(surface.RAISED)
    return Outcome(value, raised, _in_order(surface.DONE), Counter(surface.ASKED), failed)


def _copied(inputs: Sequence[Any]) -> list[Any]:
    return [list(each) if isinstance(each, list) else each for each in inputs]


class Run:
    """Runs of one program in one way."""

    def __init__(self, program: Program) -> None:
        self.program = program

    async def outcome(self, inputs: Sequence[Any], journal: MemoryJournal | None = None) -> Outcome:
        surface.DONE.clear()
        engine = ScriptedEngine(lambda request: surface.shout(request.messages[-1].content))
        value, raised = None, None
        async with Runtime({"main": engine}, journal=journal or MemoryJournal()) as runtime:
            try:
                value = (await runtime.run_program(self.program, tuple(_copied(inputs)), run_id="r")).value
            except RunError as error:
                raised = _kind(error)
        asked = Counter(str(request.messages[-1].content) for request in engine.requests)
        return Outcome(value, raised, _in_order(surface.DONE), asked)

    async def resumed(self, events: Sequence[Any]) -> Outcome:
        surface.DONE.clear()
        journal = MemoryJournal()
        for event in events:
            journal.append("r", event)
        engine = ScriptedEngine(lambda request: surface.shout(request.messages[-1].content))
        value, raised = None, None
        async with Runtime({"main": engine}, journal=journal) as runtime:
            try:
                value = (await runtime.resume_program(self.program, "r")).value
            except RunError as error:
                raised = _kind(error)
        return Outcome(value, raised, _in_order(surface.DONE), Counter())


def _kind(error: RunError) -> str:
    if error.raised is not None:
        return error.raised.kind.rpartition(".")[2]
    cause: BaseException | None = error.__cause__
    while isinstance(cause, RunError):
        cause = cause.__cause__
    return type(cause).__name__ if cause is not None else error.code


def loaded(source: str, folder: Path, name: str) -> Callable[..., Any]:
    """The function ``program`` of a module in a file of its own."""
    file = folder / f"{name}.py"
    file.write_text(HEADER + source, encoding="utf-8")
    spec = spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    found: Callable[..., Any] = module.program
    return found


def _find(place: str, name: str) -> Any:
    found: Any = sys.modules["tests.fuzz.surface" if place.endswith("surface.py") else place]
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _ways(flow: Workflow[..., Any], traced: Traced, folder: Path) -> Iterator[tuple[str, Callable[[], Program]]]:
    def plain() -> Program:
        return lower(read(traced.module), traced.bindings, returns=traced.returns, program_hash="plain")

    def passed() -> Program:
        return compile_workflow(flow, CLUSTER).program

    def again() -> Program:
        file = folder / "flow.mlir"
        file.write_text(stored_text(traced, {}, file), encoding="utf-8")
        return compile_workflow(load_stored(file, _find), CLUSTER).program

    yield "without passes", plain
    yield "with passes", passed
    yield "from text", again


def judge(source: str, seed: int = 0, inputs: Sequence[Sequence[Any]] = INPUTS) -> Verdict:
    """What comes of the program of a source."""
    verdict = Verdict()
    with tempfile.TemporaryDirectory() as folder:
        name = f"fuzzed_{abs(hash(source))}"
        try:
            _judge(verdict, source, Random(seed), inputs, Path(folder), name)
        finally:
            sys.modules.pop(name, None)
    return verdict


def _judge(  # noqa: C901 - a way to go wrong each
    verdict: Verdict, source: str, random: Random, inputs: Any, folder: Path, name: str
) -> None:
    program = loaded(source, folder, name)
    expected: list[Outcome] = []
    for each in inputs:
        outcome = plainly(program, each)
        if outcome.raised is not None and outcome.raised not in SAID:
            verdict.invalid = outcome.raised
            return
        expected.append(outcome)
    program.__globals__.update(surface.COMPILED)
    flow = workflow(program)
    try:
        traced = flow.trace()
    except OrchError as error:
        verdict.refused = tuple(sorted({each.code for each in error.diagnostics}))
        verdict.messages = [str(each) for each in error.diagnostics]
        raw = [each.message for each in error.diagnostics if each.code == "ORCH-D001"]
        own = {f"the workflow raised {each}" for each in SAID}  # a `raise` that is always reached, if anything is
        if len(raw) == len(error.diagnostics) and not any(raw[0].startswith(each) for each in own):
            _fault(verdict, f"raw exception {raw[0]}", str(error), error)
        return
    except Exception as error:  # noqa: BLE001 - any other is a fault
        _fault(verdict, f"tracing: {type(error).__name__}", repr(error), error)
        return
    all_asked = not re.search(r"\b(raise|assert)\b", source)  # what is behind a call may end before the call does
    for way, lowered in _ways(flow, traced, folder):
        try:
            run = Run(lowered())
        except Exception as error:  # noqa: BLE001 - what was traced compiles
            _fault(verdict, f"{way}: {type(error).__name__} {getattr(error, 'code', '')}", str(error), error)
            return
        for given, outcome in zip(inputs, expected, strict=True):
            journal = MemoryJournal()
            try:
                found = asyncio.run(run.outcome(given, journal))
            except Exception as error:  # noqa: BLE001
                _fault(verdict, f"{way}: {type(error).__name__}", repr(error), error)
                return
            if found.raised in BOUNDS:
                verdict.skipped += 1
                continue
            verdict.ran += 1
            if difference := _difference(outcome, found, exactly=all_asked and way == "without passes"):
                detail = f"on {given!r}\nas Python:   {outcome}\nas workflow: {found}"
                _fault(verdict, f"{way}: {difference}", detail)
                return
            if way == "with passes" and random.randrange(4) == 0:
                _resume(verdict, run, random, journal, outcome, given)
                if verdict.fault:
                    return


def _resume(verdict: Verdict, run: Run, random: Random, journal: MemoryJournal, outcome: Outcome, given: Any) -> None:
    async def events() -> list[Any]:
        return list(await journal.load("r"))

    every = asyncio.run(events())
    cut = random.randrange(1, len(every)) if len(every) > 1 else 1
    found = asyncio.run(run.resumed(every[:cut]))
    if found.raised == "ORCH-R020" or found.raised in BOUNDS:
        return
    if (found.value, found.raised) != (outcome.value, outcome.raised):
        _fault(verdict, "resumed: value or raised", f"on {given!r}, after {cut} of {len(every)}\n{outcome}\n{found}")
    elif not outcome.failed and Counter(found.done) - Counter(outcome.done):
        _fault(verdict, "resumed: effects", f"on {given!r}, after {cut} of {len(every)}\n{outcome}\n{found}")


def _difference(expected: Outcome, found: Outcome, *, exactly: bool) -> str:
    """In what an outcome differs."""
    if expected.raised != found.raised:
        return f"raised {expected.raised} {found.raised}"
    if expected.value != found.value or type(expected.value) is not type(found.value):
        return "value"
    if expected.done != found.done:
        return "effects"
    if not expected.failed and found.asked - expected.asked:
        return "more asked"
    if not expected.failed and exactly and found.asked != expected.asked:
        return "less asked"
    return ""


def _fault(verdict: Verdict, kind: str, detail: str, error: BaseException | None = None) -> None:
    verdict.fault = re.sub(r"\d+", "N", kind)
    if error is not None:
        detail += "\n" + "".join(traceback.format_exception(error)[-14:])
    verdict.detail = detail
