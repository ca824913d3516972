"""What the runs of a job gave. It is paid for, so from the moment it is there it is delivered or saved.

That holds for whatever comes between: a stdout that takes nothing, an app's report that fails or exits, Ctrl-C (SIGTERM
and SIGHUP come as that), and a second one while it is being saved.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.cli.failure import as_orch_error
from orchestrator.cli.output import runs_data
from orchestrator.cli.printable import Printable
from orchestrator.cli.saving import save_result
from orchestrator.cli.screen import say
from orchestrator.cli.streams import silence_stdout
from orchestrator.ctrl_c import KeptCtrlC
from orchestrator.errors import Diagnostic, OrchError, RunError, described

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.cli.app import Facts, Outcome


class Results:
    """The outcomes of the runs, once they are over."""

    def __init__(self) -> None:
        self.of_runs: tuple[Sequence[Outcome], Facts] | None = None
        self.interrupted = False
        """Ctrl-C came before they were shown."""

    @property
    def paid_for(self) -> bool:
        """Whether there is one."""
        return self.of_runs is not None and any(each.result is not None for each in self.of_runs[0])


@contextmanager
def kept(workflow: str) -> Iterator[Results]:
    """Within, the job is run and its results are delivered; where that fails, they are saved.

    Raises ORCH-U092, which says where they are; ``KeyboardInterrupt`` when that was the reason, or came meanwhile.
    """
    results = Results()
    try:
        yield results
    except BaseException as failure:  # an app's report may call `sys.exit`, too
        if not results.paid_for:
            raise
        waiting = _no_ctrl_c()
        interrupted = isinstance(failure, KeyboardInterrupt)
        error = _not_shown(failure, _saved(workflow, results))
        if interrupted or waiting.came:
            silence_stdout()  # whose reader may be waiting for ever
            say(str(error))
        waiting.release()
        if interrupted:
            raise
        raise error from failure


def _no_ctrl_c() -> KeptCtrlC:
    """Let the next Ctrl-C wait; two signals that came as one interrupt this too, and are one."""
    try:
        return KeptCtrlC()
    except KeyboardInterrupt:
        return KeptCtrlC()


def _saved(workflow: str, results: Results) -> Path | None:
    assert results.of_runs is not None
    outcomes, facts = results.of_runs
    data = runs_data(workflow, outcomes, facts, many=len(outcomes) != 1, shown=Printable())
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    place = save_result(text)
    if place is None:
        say(text)
    return place


def _not_shown(failure: BaseException, place: Path | None) -> OrchError:
    diagnostics = failure.diagnostics if isinstance(failure, OrchError) else []
    reason = None
    if isinstance(failure, OSError):
        reason = as_orch_error(failure).message
    first = Diagnostic(
        "ORCH-U092",
        "the results could not be shown",
        why=reason or described(failure) if not diagnostics else None,
        fix=f"nothing is lost: they are in {place}" if place else "nothing is lost: they are on stderr, above",
    )
    return RunError.collect([first, *diagnostics])
