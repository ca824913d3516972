"""``orch check``: trace workflows and report everything that is wrong with them at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.against_live import live_runs
from orchestrator.cli.command import Command
from orchestrator.cli.keeping import store_option, store_url
from orchestrator.cli.options import debug_option, json_option
from orchestrator.cli.screen import printable
from orchestrator.cli.streams import deliver, deliver_json
from orchestrator.errors import Diagnostic, OrchError

if TYPE_CHECKING:
    from orchestrator.dsl.code_hash import Covered, Unseen
    from orchestrator.dsl.workflow import Workflow

_PLUMBING = ("agent.const", "agent.prompt", "agent.chat", "agent.field")


@dataclass(frozen=True, slots=True)
class Hashed:
    """A tool's hash, and what is beside it; see docs/tools.md."""

    code: str
    versions: dict[str, str]
    """These are the versions of the third-party distributions that it uses."""
    unseen: list[Unseen]
    """What it reads that is not part of its hash."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a correct workflow is made of."""

    workflow: str
    signature: str
    source: str
    ops: int
    """It counts the ops without prompts, constants and projections."""
    model_calls: int
    models: list[str] = field(default_factory=list)
    tools: dict[str, str] = field(default_factory=dict)
    """Effects by tool."""
    asks_a_human: bool = False
    hashes: dict[str, Hashed] = field(default_factory=dict)
    """It has the hash of each tool."""
    warnings: list[Diagnostic] = field(default_factory=list)
    """What is right as it stands, and would mean something else in plain Python, or cannot be kept in a store."""

    def __str__(self) -> str:
        calls = f"{self.model_calls} model call{'s' * (self.model_calls != 1)}"
        named = [model for model in self.models if model != "default"]
        parts = [f"{self.ops} op{'s' * (self.ops != 1)}", calls + (f" ({', '.join(named)})" if named else "")]
        parts += (
            [f"tools {', '.join(f'{name} ({effects})' for name, effects in self.tools.items())}"] if self.tools else []
        )
        parts += ["asks a human"] if self.asks_a_human else []
        unseen = dict.fromkeys(str(each) for hashed in self.hashes.values() for each in hashed.unseen)
        left_out = [f"not in a tool's hash: {each}" for each in unseen]
        warned = [str(each).replace("error", "warning", 1).replace("\n", "\n  ") for each in self.warnings]
        return "\n  ".join([self.signature, "; ".join(parts), *left_out, *warned])


@click.command(cls=Command, name="check", epilog="Examples:  orch check flow.py  |  orch check flow.py:answer --json")
@click.argument("target")
@click.option("--show-rewritten", is_flag=True, help="Print what each workflow's source is rewritten into.")
@click.option("--against-live", is_flag=True, help="Say what becomes of runs that are not over.")
@store_option
@json_option
@debug_option
def command(  # noqa: PLR0917 - click gives them by name
    target: str, show_rewritten: bool, against_live: bool, store: str | None, as_json: bool, debug: bool
) -> None:
    """Trace TARGET without running anything; report all its errors at once.

    --against-live says of each run that is not over what TARGET as it is now would do with it.

    TARGET is FILE.py[:workflow], package.module:workflow, FILE.mlir, or a directory with an app.py. Of a file,
    every workflow is checked.
    """
    from orchestrator.cli.target import load_targets

    del debug
    checked: list[Checked] = []
    problems: list[Diagnostic] = []
    kind: type[OrchError] = OrchError
    targets = list(load_targets(target))
    for each in targets:
        if show_rewritten and not as_json:
            deliver(printable(_rewritten(each.workflow)))
        try:
            checked.append(summary(each.workflow))
        except OrchError as error:
            kind = type(error)
            problems += [one for one in error.diagnostics if one not in problems]
    if not as_json:
        for found in checked:
            deliver(f"{click.style('ok', fg='green')} {printable(str(found))}", is_styled=True)
    if problems:
        raise kind.collect(problems)
    live = {each.workflow.name: live_runs(each.workflow, store_url(store)) for each in targets} if against_live else {}
    if as_json:
        told = {"live": {name: [asdict(run) for run in runs] for name, runs in live.items()}} if against_live else {}
        deliver_json({"ok": True, "workflows": [asdict(found) for found in checked], **told})
        return
    for name, runs in live.items():
        deliver(printable(f"{name}: {len(runs)} run{'s' * (len(runs) != 1)} not over"))
        for run in runs:
            deliver(printable(f"  {run}"))


def summary(workflow: Workflow[..., Any]) -> Checked:
    """Trace and verify a workflow; where static parameters have no defaults, for each of their values, and tell of the
    first. Raises :class:`TraceError` or :class:`IRError` with everything wrong."""
    from orchestrator.dsl.declared.arguments_changed import changed_arguments
    from orchestrator.dsl.questions_within import questions_within
    from orchestrator.dsl.static import shown_parameter
    from orchestrator.dsl.types.typing import type_string
    from orchestrator.ir.verify import verify
    from orchestrator.ir.walk import attr, bodies, tree

    *others, traced = [each.trace() for each in reversed(list(workflow.variants()))]
    for each in (traced, *others):
        verify(each.module)
    ops = [node.op for body in bodies(tree(traced.module)) for node in body.nodes]
    generates = [op for op in ops if op.name == "agent.generate"]
    tools = {
        attr(op, "callee"): attr(op, "effects")
        for op in ops
        if op.name in ("agent.tool", "agent.retrieve") and not attr(op, "callee").startswith("builtin.")
    }
    params = ", ".join(shown_parameter(name, tp) for name, tp in workflow.boundary.params.items())
    return Checked(
        workflow.name,
        f"{workflow.name}({params}) -> {type_string(traced.returns)}",
        str(workflow.where),
        sum(op.name not in _PLUMBING for op in ops),
        len(generates),
        sorted({attr(op, "model") for op in generates}),
        tools,
        any(op.name == "agent.ask" for op in ops),
        {name: _hashed(traced.bindings.tools[name].covered) for name in tools},
        [
            *(
                warning
                for name in tools
                for warnings in (changed_arguments, questions_within)
                for warning in warnings(traced.bindings.tools[name])
            ),
            *_not_kept(next(iter(workflow.variants()))),
        ],
    )


def _not_kept(workflow: Workflow[..., Any]) -> list[Diagnostic]:
    """ORCH-C092: the values that keep runs of it from being kept, which ``orch run --ephemeral`` does not need."""
    from orchestrator.compiler import compile as compile_workflow
    from orchestrator.runtime.program.kept import check_kept

    return check_kept(compile_workflow(workflow).program)


def _rewritten(workflow: Workflow[..., Any]) -> str:
    """The source that is traced, of which :mod:`orchestrator.dsl.rewrite` says what its operators do."""
    from orchestrator.dsl.rewrite.function import source_of

    source = source_of(workflow.fn) if workflow.rewrite else None
    return f"# {workflow.name} is traced as it is\n" if source is None else f"{source}\n"


def _hashed(covered: Covered) -> Hashed:
    return Hashed(covered.hash, covered.versions, list(covered.unseen))
