"""Which values of a run are written down, and whether they can be: what comes from outside is never asked for twice.

What a tool that is not pure, a model or a person has said is read back from the journal when the run goes on, and so
are the run's inputs. Such a value must have a text from which it comes back as it is
(:mod:`orchestrator.runtime.journal.lines.stored`), and its type says whether it has, before anything is run. What pure
tools make may be anything: what cannot be written is made again. So is what holds a secret that a tool has returned,
which is never written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final
from weakref import WeakSet

from orchestrator.dsl.types.secret import holds_secret
from orchestrator.errors import CompileError, Diagnostic, SourceLoc
from orchestrator.runtime.journal.lines.stored import why_not
from orchestrator.runtime.program.program import Op, Program, Region
from orchestrator.runtime.program.specs import Ask, Generate, ToolCall

_FIX: Final = (
    "return data: Python's own types, pydantic models, dataclasses, named tuples and enumerations; or, where making it "
    'again does no harm, say effects="pure"'
)
_FIX_OF_INPUTS: Final = "pass data, such as a path or an address, and let a pure tool make the object of it"
_kept: Final[WeakSet[Region]] = WeakSet()
"""The bodies of programs of which nothing was found: a run costs nothing for ops that it may never reach."""


def must_be_kept(op: Op) -> bool:
    """Whether the results of an op are from outside the run."""
    return isinstance(op.spec, (Generate, Ask)) or (isinstance(op.spec, ToolCall) and op.spec.effects != "pure")


def is_made_again(op: Op, types: Sequence[Any]) -> bool:
    """Whether an op whose results, of these types, could not be written is executed again when the run goes on.

    A tool that must run at most once never returns a secret (ORCH-D060).
    """
    return not must_be_kept(op) or (isinstance(op.spec, ToolCall) and any(map(holds_secret, types)))


def has_written(op: Op) -> bool:
    """Whether a result of the op means that something outside has changed, or that a person has answered."""
    return isinstance(op.spec, Ask) or (isinstance(op.spec, ToolCall) and op.spec.effects in {"idempotent", "once"})


def require_kept(program: Program) -> None:
    """Raises ``CompileError`` with everything that :func:`check_kept` finds."""
    if program.body in _kept:
        return
    found = check_kept(program)
    if found:
        raise CompileError.collect(found)
    _kept.add(program.body)


def check_kept(program: Program) -> list[Diagnostic]:
    """All values of a program that are to be written down and cannot be (ORCH-C092), in the order of its lines."""
    inputs = zip(program.params, program.body.types[: program.body.n_inputs], strict=False)
    found = [*(_input(name, tp) for name, tp in inputs), *_results(program)]
    return [each for each in found if each is not None]


def _input(name: str, tp: Any) -> Diagnostic | None:
    return _problem(f"the argument `{name}` of the workflow", tp, None, _FIX_OF_INPUTS)


def _results(program: Program) -> Iterator[Diagnostic | None]:
    for region in program.regions.values():
        for op in filter(must_be_kept, region.ops()):
            for tp in region.types[op.first : op.first + op.count]:
                yield _problem(f"what `{op.id}` returns", tp, op.where, _FIX)


def _problem(what: str, tp: Any, where: SourceLoc | None, fix: str) -> Diagnostic | None:
    reason = why_not(tp)
    if reason is None:
        return None
    why = f"{reason}; a run that goes on elsewhere reads it from the journal, where it would be missing"
    return Diagnostic("ORCH-C092", f"{what} cannot be written into the journal of a run", where, why, fix)
