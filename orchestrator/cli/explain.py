"""``orch explain``: where each op will run, how long it should take and what it should cost, before it runs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import debug_option, engine_options, json_option

if TYPE_CHECKING:
    from orchestrator.cli.engines import Kind
    from orchestrator.planner.explain import Format
    from orchestrator.planner.plan import Objective

LEAST_WIDTH = 60


@click.command(
    name="explain",
    epilog="Examples:  orch explain flow.py --model ./model  |  orch explain flow.py --cluster c.toml --format dot",
)
@click.argument("target")
@click.option("--format", "form", type=click.Choice(["text", "json", "dot"]), help="text (default), json or graphviz.")
@click.option("--objective", type=click.Choice(["latency", "cost"]), default="latency", help="What to plan for.")
@click.option("--every-op", is_flag=True, help="Also list prompts, projections and constants.")
@engine_options
@json_option
@debug_option
def command(  # noqa: PLR0917 - one parameter an option
    target: str,
    form: Format | None,
    objective: Objective,
    every_op: bool,
    model: str | None,
    engine: Kind | None,
    base_url: str | None,
    cluster_file: Path | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Plan TARGET and print the plan: every op's place, predicted time, tokens and cost.

    TARGET is FILE.py[:workflow], package.module:workflow, or a directory with an app.py. Nothing is started. What is
    unknown is shown as `?`, never as 0.
    """
    from orchestrator.cli.engines import EngineChoice
    from orchestrator.cli.target import load_target
    from orchestrator.compiler import compile as compile_workflow
    from orchestrator.planner.explain import render

    del debug
    found = load_target(target)
    app = found.app
    default = app.model if app and not (base_url or cluster_file) else None
    choice = EngineChoice(model or default, engine, base_url, cluster_file, app.engine_options if app else {})
    plan = compile_workflow(found.workflow, choice.cluster(), objective).plan
    text = render(plan, "json" if as_json else form or "text", every_op=every_op, width=_width())
    click.echo(text, nl=False)


def _width() -> int:
    """The terminal's, where there is one and it is narrower than the report."""
    from orchestrator.planner.explain import WIDTH

    return min(WIDTH, max(LEAST_WIDTH, shutil.get_terminal_size().columns)) if sys.stdout.isatty() else WIDTH
