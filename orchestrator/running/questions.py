"""What a program asks people, and answers that are given ahead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from orchestrator.errors import Diagnostic, SourceLoc, UsageError
from orchestrator.runtime.human import Answers
from orchestrator.runtime.journal.events import region_key

if TYPE_CHECKING:
    from orchestrator.runtime.human import Human
    from orchestrator.runtime.program.program import Program


@dataclass(frozen=True, slots=True)
class Question:
    """One ``ask`` of a program."""

    id: str
    """It is the op's id with its region: ``turns/verdict``."""
    type: Any
    choices: Sequence[str] | None
    where: SourceLoc | None = None

    @property
    def name(self) -> str:
        """The op's id without its region."""
        return self.id.rpartition("/")[2]

    def is_meant_by(self, name: str) -> bool:
        """Whether an answer to ``name`` is one to it, or to one execution of it: ``turns[3]/verdict``."""
        frame, slash, last = name.rpartition("/")
        return name == self.name or f"{region_key(frame + slash)}{last}" == self.id


def questions_of(program: Program) -> list[Question]:
    """Everything that a program may ask."""
    from orchestrator.runtime.program.specs import Ask

    return [
        Question(f"{key}{op.id}", region.types[op.first], op.spec.choices, op.where)
        for key, region in program.regions.items()
        for op in region.ops()
        if isinstance(op.spec, Ask)
    ]


def unknown_question(name: str, asked: Iterable[Question], where: SourceLoc | None = None) -> Diagnostic:
    """ORCH-U012: an answer that nobody asks for."""
    names = list(dict.fromkeys(each.name for each in asked))
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    listed = ", ".join(f"`{each}`" for each in names)
    fix = f"did you mean `{near[0]}`?" if near else f"it asks {listed}" if names else "it asks nobody anything"
    return Diagnostic("ORCH-U012", f"the workflow asks no question `{name}`", where, fix=fix)


def answering(program: Program, answers: Mapping[str, object], where: SourceLoc | None) -> Human:
    """Gives the answers to the runs of ``program``. Raises ``UsageError`` ORCH-U012 for one that nobody asks for."""
    asked = questions_of(program)
    unknown = [name for name in answers if not any(each.is_meant_by(name) for each in asked)]
    if unknown:
        raise UsageError.collect([unknown_question(name, asked, where) for name in unknown])
    return Answers(answers)
