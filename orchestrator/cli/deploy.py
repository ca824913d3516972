"""``orch deploy``: start what a plan says, say what that would be, or write it down for others who start it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from orchestrator.cli.command import Command
from orchestrator.cli.options import debug_option, json_option
from orchestrator.cli.screen import say
from orchestrator.cli.streams import deliver, deliver_json
from orchestrator.cli.terminal import width
from orchestrator.errors import RunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.runtime.deploy.changes import Change
    from orchestrator.runtime.deploy.layout import EngineGroup, Layout

Form = Literal["vllm", "compose"]
RUNNING: Final = ""
"""What ``--diff`` compares with where it names no file."""
FOLDER: Final = Path("deployment")


@click.command(
    cls=Command,
    name="deploy",
    epilog="\b\nExamples:\n"
    "  orch deploy plan.json --dry-run\n"
    "  orch deploy plan.json --diff older.json\n"
    "  orch deploy plan.json --emit vllm --out serving",
)
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Print what would be started, and start nothing.")
@click.option(
    "--diff",
    "other",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Print what would change from that plan to PLAN, and change nothing.",
)
@click.option(
    "--emit",
    "form",
    type=click.Choice(["vllm", "compose"]),
    help="Write configurations for engines that you start yourself: vLLM's own, or Docker Compose's.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FOLDER", help=f"Where --emit writes; default: {FOLDER}."
)
@click.option("--name", metavar="NAME", help="Name of the deployment; default: the workflow's.")
@json_option
@debug_option
def command(  # noqa: PLR0917 - one parameter an option
    plan_file: Path,
    dry_run: bool,
    other: Path | None,
    form: Form | None,
    out: Path | None,
    name: str | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Start the engines of PLAN, a file that `orch plan TARGET --out PLAN` has written.

    --dry-run prints what that would be, --diff what it would change, and --emit writes it for people who run engines
    themselves.
    """
    del debug
    asked = [option for option, is_given in _ways(dry_run, other, form) if is_given]
    if len(asked) != 1:
        what = " and ".join(asked) + " exclude each other" if asked else "nothing says what is to be done with the plan"
        raise UsageError("ORCH-U002", what, fix="give one of --dry-run, --diff and --emit")
    if out is not None and form is None:
        raise UsageError("ORCH-U002", "--out belongs to --emit", fix=f"add --emit vllm, or leave --out {out} out")
    layout = _layout(plan_file, name)
    if form is not None:
        _emit(layout, form, out or FOLDER, as_json=as_json)
    elif other is not None:
        _diff(_layout(other, name), layout, as_json=as_json)
    else:
        _show(layout, as_json=as_json)


def _ways(dry_run: bool, other: Path | None, form: Form | None) -> tuple[tuple[str, bool], ...]:
    return ("--dry-run", dry_run), ("--diff", other is not None), ("--emit", form is not None)


def _layout(file: Path, name: str | None) -> Layout:
    from orchestrator.planner.plan import Plan
    from orchestrator.planner.portable import located
    from orchestrator.runtime.deploy.layout import layout_of

    return layout_of(located(Plan.load(file), file), name)


def _show(layout: Layout, *, as_json: bool) -> None:
    reasons = [reason for group in layout.groups for reason in group.cannot_start()]
    if as_json:
        groups = [each.model_dump(mode="json") | {"name": each.name, "devices": each.devices} for each in layout.groups]
        deliver_json({"ok": True, **layout.model_dump(mode="json"), "groups": groups, "cannot_start": reasons})
        return
    deliver("\n".join(_text(layout, reasons)))


def _text(layout: Layout, reasons: Sequence[str]) -> list[str]:
    from orchestrator.planner.table import Column, fitted, table

    columns = (
        Column("engine"),
        Column("replicas", right=True),
        Column("devices of each", least=15),
        Column("batch", right=True, rank=1),
        Column("Ray reserves for each", least=10, rank=2),
        Column("model", least=10, keep_end=True, rank=3),
    )
    rows = [
        (
            each.name,
            str(each.replicas),
            _split(each),
            "" if each.batch is None else str(each.batch),
            _reserved(each),
            each.engine.model,
        )
        for each in layout.groups
    ]
    lines = [f"The deployment `{layout.name}` starts:", ""]
    lines += table(columns, rows, width()) if rows else ["no engine"]
    lines.append("")
    for service in layout.services:
        lines.append(f"service     {service.name}: {service.model}, run by somebody else")
    for pool in layout.pools:
        cores = f" of {pool.cores} cores" if pool.cores else ""
        lines.append(f"CPU pool    {pool.count} x {pool.device}{cores}: {', '.join(pool.ops)}")
    for tool in layout.tools:
        busy = "" if tool.busy is None else f", {tool.busy:.2g} calls at once on average"
        limit = "" if tool.limit is None else f", {tool.limit} at once at most"
        lines.append(f"tool        {tool.tool}: {tool.place}{limit}{busy}; started by runs")
    lines += [f"not started {reason}" for reason in reasons]
    return [part for line in lines for part in fitted(line, width())]


def _split(group: EngineGroup) -> str:
    if group.engine.device is None:
        return "none"
    ways = (
        ("tensor", group.tensor_parallel),
        ("pipeline", group.pipeline_parallel),
        ("data", group.data_parallel),
        ("experts", group.expert_parallel),
    )
    split = ", ".join(f"{name} {count}" for name, count in ways if count > 1)
    return f"{group.devices} x {group.engine.device}" + (f" ({split})" if split else "")


def _reserved(group: EngineGroup) -> str:
    reserved = group.reserved
    parts = [] if reserved.device is None else [f"{reserved.device}: {reserved.count}"]
    parts += [f"GPU: {reserved.gpus}"] if reserved.gpus else []
    parts += [f"memory: {reserved.memory_bytes / 2**30:.3g} GiB"] if reserved.memory_bytes else []
    return ", ".join(parts) or "nothing"


def _diff(before: Layout | None, after: Layout, *, as_json: bool) -> None:
    from orchestrator.runtime.deploy.changes import changes

    found = changes(before, after)
    if as_json:
        deliver_json({"ok": True, "changes": [each.as_dict() for each in found]})
    else:
        deliver("\n".join(map(_change, found)) or "nothing runs, and nothing would")


def _change(change: Change) -> str:
    parts = [f"{change.started} started"] if change.started else []
    parts += [f"{change.stopped} drained and stopped"] if change.stopped else []
    parts += [f"{change.kept} serving on"] if change.kept else []
    return f"{change.group}: {', '.join(parts)}" + (f" ({change.why})" if change.why else "")


def _emit(layout: Layout, form: Form, folder: Path, *, as_json: bool) -> None:
    from orchestrator.runtime.deploy.emit import compose_files, vllm_files
    from orchestrator.whole_file import write_whole

    if not any(group.engine.kind == "vllm" for group in layout.groups):
        from orchestrator.runtime.deploy.errors import nothing_to_start

        raise nothing_to_start(layout.name)
    files = vllm_files(layout) if form == "vllm" else compose_files(layout)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_whole(folder / name, text)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        message = f"--out {folder} cannot be written: {why}"
        raise RunError("ORCH-U090", message, fix="name a folder that can be written") from error
    paths = [str(folder / name) for name in files]
    if as_json:
        deliver_json({"ok": True, "files": paths})
        return
    for path in paths:
        say(f"wrote {path}")
    start = f"sh {folder / 'serve.sh'}" if form == "vllm" else f"docker compose -f {folder / 'compose.yaml'} up"
    deliver(f"start: {start}\nthen:  orch run TARGET --cluster {folder / 'engines.toml'}")
