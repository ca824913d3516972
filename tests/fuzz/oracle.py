"""What comes of a program as plain Python and as a workflow, and in what the two differ."""

from __future__ import annotations

import asyncio
import inspect
import re
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

from orchestrator.cli.stored import StoredWorkflow, load_stored, stored_text
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.trace import Traced
from orchestrator.dsl.workflow import workflow
from orchestrator.errors import OrchError, RunError, SourceLoc, UnsettledError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.graph import read
from orchestrator.runtime.engines.base import GenerateRequest
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.program.lowering import lower
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.result import RunResult
from orchestrator.runtime.runner import Runner
from tests.fuzz import surface
from tests.fuzz.programs import HEADER, INPUTS

T = TypeVar("T")
CLUSTER = Cluster(engines=(EngineSpec(name="main", kind="scripted", model="main"),))
SAID = frozenset({"DeniedError", "MissingError", "BusyError", "ValueError", "RuntimeError", "AssertionError"})
"""What programs raise on purpose."""
BOUNDS = frozenset({"ORCH-R005", "ORCH-R055"})
"""Codes of runs that meet a bound that Python does not have."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What a run did to the world, and saw of it."""

    writes: tuple[str, ...]
    """In their order; those of one ``parallel()`` sorted, as they have none."""
    reads: tuple[Counter[str], ...]
    """What was read before each write, and after the last: reads have no order among themselves."""
    blocks: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a program on some inputs."""

    value: object
    raised: str | None
    effects: Effects
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


def _noted(blocks: Sequence[int | None] = ()) -> Effects:
    """The writes of a run in their order, and what was read between them.

    ``blocks`` says of each write which ``parallel()`` it is in, if it is: by plain Python, which comes first.
    """
    writes: list[str] = []
    reads: list[Counter[str]] = [Counter()]
    found: list[int | None] = []
    for kind, name, given, block in surface.DONE.get():
        if kind == "reads":
            reads[-1][f"{name}({given!r})"] += 1
        else:
            writes.append(f"{name}({given!r})")
            reads.append(Counter())
            found.append(block)
    blocks = blocks or found
    for block, start, end in _runs(blocks[: len(writes)]):
        if block is not None:
            writes[start:end] = sorted(writes[start:end])
    for has_order, start, end in _runs([each is None for each in blocks[: len(writes)]]):
        if not has_order:
            reads[start : end + 1] = [sum(reads[start : end + 1], Counter()), *[Counter()] * (end - start)]
    return Effects(tuple(writes), tuple(reads), tuple(blocks))


def _runs(items: Sequence[T]) -> Iterator[tuple[T, int, int]]:
    """Equal items beside each other: what they are, where they start and where they end."""
    start = 0
    for item, members in groupby(items):
        end = start + len(list(members))
        yield item, start, end
        start = end


def plainly(function: Callable[..., Any], inputs: Sequence[Any]) -> Outcome:
    """The outcome as plain Python."""
    surface.DONE.set([])
    surface.ASKED.clear()
    value, raised = None, None
    surface.RAISED.clear()
    vars(sys.modules[function.__module__]).update(surface.PLAIN)
    try:
        made = function(*_copied(inputs))
        value = _completed(made) if inspect.iscoroutine(made) else made
    except (Exception, MemoryError) as error:  # noqa: BLE001 - whatever it is, the workflow must raise it too
        raised = type(error).__name__
    failed = raised is not None or bool(surface.RAISED)
    return Outcome(value, raised, _noted(), Counter(surface.ASKED), failed)


def _copied(inputs: Sequence[Any]) -> list[Any]:
    return [list(each) if isinstance(each, list) else each for each in inputs]


LOOP: Final = asyncio.new_event_loop()
"""One event loop for all runs: a loop each costs more than most of the runs."""


def _completed(running: Coroutine[Any, Any, T]) -> T:
    """What comes of it, in a context of its own."""
    return LOOP.run_until_complete(LOOP.create_task(running, context=copy_context()))


def _asked(request: GenerateRequest) -> str:
    return "|".join(str(each.content) for each in request.messages)


class Runs:
    """Runs of programs on one runtime."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self._engine = ScriptedEngine(lambda request: surface.shout(_asked(request)))
        self._runtime = Runner({"main": self._engine}, journal=self.journal, sleep=surface.slept)

    def outcome(self, program: Program, inputs: Sequence[Any], run_id: str, blocks: Sequence[int | None]) -> Outcome:
        return self._outcome(self._runtime.run_program(program, tuple(_copied(inputs)), run_id=run_id), blocks)

    def resumed(self, program: Program, events: Sequence[Any], run_id: str) -> Outcome:
        for event in events:
            self.journal.append(run_id, event)
        return self._outcome(self._runtime.resume_program(program, run_id))

    def events(self, run_id: str) -> Sequence[Any]:
        return _completed(self.journal.load(run_id))

    def _outcome(self, running: Coroutine[Any, Any, RunResult], blocks: Sequence[int | None] = ()) -> Outcome:
        surface.DONE.set([])
        self._engine.requests.clear()
        value, raised = None, None
        try:
            value = _completed(running).value
        except RunError as error:
            raised = _kind(error)
        asked = Counter(map(_asked, self._engine.requests))
        return Outcome(value, raised, _noted(blocks), asked)

    def close(self) -> None:
        _completed(self._runtime.close())


def _kind(error: RunError) -> str:
    if isinstance(error, UnsettledError):  # whatever else has failed beside it
        return error.code
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


def _ways(traced: Traced, folder: Path, *, has_passes: bool) -> Iterator[tuple[str, Callable[[], Program]]]:
    def plain() -> Program:
        return lower(read(traced.module), traced.bindings, returns=traced.returns, program_hash="plain")

    def passed() -> Program:
        return compile_workflow(StoredWorkflow(traced, SourceLoc(__file__, 1), {}), CLUSTER).program

    def again() -> Program:
        file = folder / "flow.mlir"
        file.write_text(stored_text(traced, {}, file), encoding="utf-8")
        stored = load_stored(file, _find)
        if has_passes:
            return compile_workflow(stored, CLUSTER).program
        known = stored.trace()
        return lower(read(known.module), known.bindings, returns=known.returns, program_hash="text")

    yield "without passes", plain
    yield "with passes", passed
    yield "from text", again


def judge(source: str, seed: int = 0, inputs: Sequence[Sequence[Any]] = INPUTS) -> Verdict:
    """What comes of the program of a source."""
    verdict = Verdict()
    runs = Runs()
    with tempfile.TemporaryDirectory() as folder:
        name = f"fuzzed_{abs(hash(source))}"
        try:
            _judge(verdict, source, Random(seed), inputs, Path(folder), name, runs)
        finally:
            sys.modules.pop(name, None)
            runs.close()
    return verdict


def _judge(  # noqa: C901 - a way to go wrong each
    verdict: Verdict, source: str, random: Random, inputs: Any, folder: Path, name: str, runs: Runs
) -> None:
    try:
        program = loaded(source, folder, name)
    except SyntaxError as error:
        verdict.invalid = repr(error)
        return
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
    for way, lowered in _ways(traced, folder, has_passes=random.randrange(4) == 0):
        try:
            lowered_program = lowered()
        except Exception as error:  # noqa: BLE001 - what was traced compiles
            _fault(verdict, f"{way}: {type(error).__name__} {getattr(error, 'code', '')}", str(error), error)
            return
        for number, (given, outcome) in enumerate(zip(inputs, expected, strict=True)):
            run_id = f"{way} {number}"
            try:
                found = runs.outcome(lowered_program, given, run_id, outcome.effects.blocks)
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
                events = runs.events(run_id)
                cut = random.randrange(1, len(events)) if len(events) > 1 else 1
                again = runs.resumed(lowered_program, events[:cut], f"{run_id} resumed")
                if difference := _difference_resumed(outcome, again):
                    detail = f"on {given!r}, after {cut} of {len(events)}\n{outcome}\n{again}"
                    _fault(verdict, f"resumed: {difference}", detail)
                    return


def _difference_resumed(expected: Outcome, found: Outcome) -> str:
    """In what the rest of a run differs from what the whole one should be."""
    if found.raised == "ORCH-R020" or found.raised in BOUNDS:  # a `once` that may have happened
        return ""
    if (found.value, found.raised) != (expected.value, expected.raised):
        return "value or raised"
    if expected.failed:
        return ""
    return "effects" if _all(found.effects) - _all(expected.effects) else ""


def _all(effects: Effects) -> Counter[str]:
    return sum(effects.reads, Counter(effects.writes))


def _difference(expected: Outcome, found: Outcome, *, exactly: bool) -> str:
    """In what an outcome differs.

    Where something fails, there may be other reads than in Python, and other model calls: they keep their order against
    writes alone, so those of a later item, or a later line, need not wait for a check that fails, nor the check for
    them.
    """
    if expected.raised != found.raised:
        return f"raised {expected.raised} {found.raised}"
    if expected.value != found.value or type(expected.value) is not type(found.value):
        return "value"
    if expected.effects.writes != found.effects.writes:
        return "writes"
    if expected.failed:
        return ""
    if expected.effects.reads != found.effects.reads:
        return "reads"
    if found.asked - expected.asked:
        return "more asked"
    return "less asked" if exactly and found.asked != expected.asked else ""


def _fault(verdict: Verdict, kind: str, detail: str, error: BaseException | None = None) -> None:
    verdict.fault = re.sub(r"\d+", "N", kind)
    if error is not None:
        detail += "\n" + "".join(traceback.format_exception(error)[-14:])
    verdict.detail = detail
