"""What runs have learned of pauses: ``orch run`` adds to the store that ``orch explain`` reads.

What was learned is a hint. So the user's own store may be away, damaged or on a full disk, and a command says so and
goes on without it; a store that the command line names has to work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.screen import say
from orchestrator.learning.location import OFF, VARIABLE, default_path
from orchestrator.learning.store import LearningError, LearningStore
from orchestrator.runtime.kv.durations import DurationModel

if TYPE_CHECKING:
    from orchestrator.planner.plan import Plan


@contextmanager
def pauses_to_learn(plan: Plan, named: Path | None) -> Iterator[DurationModel]:
    """What is known of pauses, for runs that add to it; whatever happens to them, what they taught is written.

    The store is the one ``named``, made if it is not there, else the user's if the plan has pauses at all. Raises
    LearningError where the one named cannot be used.
    """
    with ExitStack() as stack:
        yield _model(stack, named, default_path() if plan.pins else None)


def pauses_learned(named: Path | None, *, by_default: bool = True) -> DurationModel:
    """What is known of pauses; ``by_default``: also where no store is named. Raises LearningError as above."""
    users = default_path() if by_default else None
    with ExitStack() as stack:
        is_there = users is not None and os.path.exists(users)  # noqa: PTH110 - false where one may not look
        return _model(stack, named, users if is_there else None)


def _model(stack: ExitStack, named: Path | None, users: Path | None) -> DurationModel:
    path = users if named is None else named
    if path is None:
        return DurationModel()
    try:
        return DurationModel(stack.enter_context(LearningStore(path)))
    except LearningError as error:
        if named is not None:
            raise
        (problem,) = error.diagnostics
        why = f" ({problem.why})" if problem.why else ""
        text = f"what runs have learned of pauses is left aside: [{problem.code}] {problem.message}{why}"
        say(f"{text}; {problem.fix}, or set {VARIABLE}={OFF}", colour="yellow")
        return DurationModel()
