"""Turning a directory into something ``orch run`` can run: an ``app.py`` that defines ``app``.

An :class:`App` wraps one workflow with what a command line needs around it: extra options, the cases to run (each a set
of inputs, perhaps with the expected result), a default model, and a report of the outcomes::

    app = App(
        workflow=answer,
        options=[click.Option(["--limit"], type=int, help="Only the first N questions.")],
        prepare=lambda options, words: Job([Case("one", {"question": "How many?"})]),
        report=lambda job, outcomes, facts: Report({"answers": [...]}, view=table),
    )

``orch run DIR`` parses the options (``orch run DIR --help`` shows them), calls ``prepare``, runs the cases with bounded
concurrency and live progress, and prints the report: ``view`` on a terminal or pipe, ``data`` with ``--json``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click
    from rich.console import RenderableType

    from orchestrator.dsl.workflow import Workflow
    from orchestrator.errors import OrchError
    from orchestrator.planner.plan import Plan
    from orchestrator.runtime.journal.records import Spending
    from orchestrator.runtime.result import RunResult

Options = Mapping[str, Any]
"""Parsed values of the app's own options, by parameter name."""


@dataclass(frozen=True, slots=True)
class Case:
    """One run of the workflow; ``name`` stands for it in the progress display."""

    name: str
    inputs: Mapping[str, object]
    expected: Any = None
    """Whatever ``report`` compares with; None where nothing is known."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to run, and sentences to say first (on stderr)."""

    cases: Sequence[Case]
    notes: Sequence[str] = ()
    close: Callable[[], None] = lambda: None
    """Called when the runs are over, whatever happened: removes temporary files."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one case ended: exactly one of ``result`` and ``error`` is set."""

    case: Case
    result: RunResult | None
    error: OrchError | None = None
    run_id: str | None = None
    """By which its store knows the run; None where it is kept nowhere, or never began."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What every run of the job shares, for an honest footer."""

    model: str
    """It is the model as the user would write it: a path or id."""
    engine: str
    """Kind and version, such as ``vLLM 0.32.0 (CPU)``."""
    simulated: bool
    seconds: float
    """Wall time of all the runs, engine start not included."""
    start_seconds: float
    plan: Plan
    """It is the plan of one run of the workflow."""
    spent: Spending
    """All runs have spent so much, failed and cancelled ones included."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a job: JSON-ready ``data``, and what people read."""

    data: Mapping[str, Any]
    view: RenderableType
    failed: bool = False
    """Makes the exit code 1."""


@dataclass(frozen=True, kw_only=True)
class App:
    """A workflow with a command line around it; see the module's example."""

    workflow: Workflow[..., Any]
    prepare: Callable[[Options, Sequence[str]], Job]
    """It leads from the app's options and the words after the target to the runs. Raises ``UsageError``."""
    report: Callable[[Job, Sequence[Outcome], Facts], Report]
    options: Sequence[click.Parameter] = ()
    model: str | None = None
    """Used when the user names none; an absolute path or an id."""
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the local engine that suit this app, such as ``max_model_len``."""
    concurrency: int = 4
    """Runs in flight at once, unless ``--concurrency`` says otherwise."""
