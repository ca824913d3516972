"""``orch deploy``: start what a plan says, say what that would be, or write it down for others who start it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from orchestrator.cli.command import Command
from orchestrator.cli.options import debug_option, json_option
from orchestrator.cli.screen import say
from orchestrator.cli.streams import deliver, deliver_json
from orchestrator.errors import RunError, UsageError

if TYPE_CHECKING:
    from orchestrator.runtime.deploy.keeper import Status
    from orchestrator.runtime.deploy.layout import Layout

Form = Literal["vllm", "compose"]
RUNNING: Final = ""
"""What ``--diff`` compares with where it names no file."""
FOLDER: Final = Path("deployment")
DRAIN_S: Final = 600.0
ROOM_S: Final = 15.0


@click.command(
    cls=Command,
    name="deploy",
    epilog="\b\nExamples:\n"
    "  orch deploy plan.json --dry-run\n"
    "  orch deploy plan.json --ray-address 10.0.0.1:6379\n"
    "  orch deploy plan.json --diff --ray-address 10.0.0.1:6379\n"
    "  orch deploy --scale main=3 --ray-address 10.0.0.1:6379\n"
    "  orch deploy --down --ray-address 10.0.0.1:6379\n"
    "  orch deploy plan.json --emit vllm --out serving",
)
@click.argument("plan_file", metavar="[PLAN]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--ray-address", metavar="HOST:PORT", help="The Ray cluster that it is about; `auto` on one of its nodes."
)
@click.option("--dry-run", is_flag=True, help="Print what would be started, and start nothing.")
@click.option(
    "--diff",
    "other",
    is_flag=False,
    flag_value=RUNNING,
    metavar="[FILE]",
    help="Print what PLAN would change, of that plan or of what runs, and change nothing.",
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
@click.option("--scale", multiple=True, metavar="ENGINE=N", help="So many replicas, whatever the plan says.")
@click.option("--down", is_flag=True, help="Drain and stop the deployment.")
@click.option(
    "--drain",
    "drain_s",
    type=click.FloatRange(min=0),
    default=DRAIN_S,
    show_default=True,
    metavar="SECONDS",
    help="Calls under way have so long to end before their replica stops.",
)
@click.option(
    "--room",
    "room_s",
    type=click.FloatRange(min=0),
    default=ROOM_S,
    show_default=True,
    metavar="SECONDS",
    help="How long a replica waits for free devices.",
)
@click.option("--name", metavar="NAME", help="Name of the deployment; default: the workflow's.")
@json_option
@debug_option
def command(  # noqa: PLR0917 - one parameter an option
    plan_file: Path | None,
    ray_address: str | None,
    dry_run: bool,
    other: str | None,
    form: Form | None,
    out: Path | None,
    scale: tuple[str, ...],
    down: bool,
    drain_s: float,
    room_s: float,
    name: str | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Start the engines of PLAN on a Ray cluster, or make what runs there what PLAN says.

    PLAN is a file that `orch plan TARGET --out PLAN` has written. What is missing is started, what is surplus drained
    and stopped; nothing that serves stops before its successor is ready, and a start that fails changes nothing.
    Without PLAN it prints what runs. --dry-run, --diff and --emit start nothing.
    """
    del debug
    modes = {"--dry-run": dry_run, "--diff": other is not None, "--emit": form is not None, "--down": down}
    mode = _one_of([each for each, is_given in modes.items() if is_given])
    if out is not None and form is None:
        raise UsageError("ORCH-U002", "--out belongs to --emit", fix=f"add --emit vllm, or leave --out {out} out")
    if plan_file is None and mode not in (None, "--down"):
        raise UsageError("ORCH-U002", "missing argument 'PLAN'", fix=f"orch deploy plan.json {mode}")
    counts = _counts(scale)
    layout = None if plan_file is None else _scaled(_layout(plan_file, name), counts)
    if layout is not None and form is not None:
        _emit(layout, form, out or FOLDER, as_json=as_json)
    elif layout is not None and dry_run:
        _show(layout, as_json=as_json)
    elif layout is not None and other:
        _diff(_layout(Path(other), name), layout, as_json=as_json)
    else:
        if ray_address is None:
            fix = "name its head with --ray-address HOST:PORT (`ray start --head` begins one), or look with --dry-run"
            raise UsageError("ORCH-U002", "nothing says on which Ray cluster", fix=fix)
        _on_ray(ray_address, _Wish(layout, name, counts, mode, drain_s, room_s), as_json=as_json)


def _one_of(modes: Sequence[str]) -> str | None:
    if len(modes) > 1:
        raise UsageError("ORCH-U002", f"{' and '.join(modes)} exclude each other", fix=f"leave {modes[1]} out")
    return modes[0] if modes else None


def _counts(words: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for word in words:
        engine, _, count = word.rpartition("=")
        if not engine or not (count.isascii() and count.isdecimal() and 0 < int(count[:6]) == int(count)):
            fix = "give an engine and a count of at least 1, such as --scale main=3"
            raise UsageError("ORCH-U002", f"--scale {word}: that is no count of replicas", fix=fix)
        found[engine] = int(count)
    return found


def _layout(file: Path, name: str | None) -> Layout:
    from orchestrator.planner.plan import Plan
    from orchestrator.planner.portable import located
    from orchestrator.runtime.deploy.layout import layout_of

    return layout_of(located(Plan.load(file), file), name)


def _scaled(layout: Layout, counts: dict[str, int]) -> Layout:
    from orchestrator.runtime.deploy.layout import scaled

    return scaled(layout, counts)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is to become of a deployment."""

    layout: Layout | None
    """None: it is what runs."""
    name: str | None
    counts: dict[str, int]
    mode: str | None
    drain_s: float
    room_s: float


def _on_ray(address: str, wish: _Wish, *, as_json: bool) -> None:
    from orchestrator.event_loop import run
    from orchestrator.runtime.ray.session import connect

    with connect(address):
        run(_done(wish, as_json=as_json))


async def _done(wish: _Wish, *, as_json: bool) -> None:
    from orchestrator.runtime.deploy.deployment import Deployment, names
    from orchestrator.runtime.deploy.errors import nothing_runs

    known = names()
    name = wish.layout.name if wish.layout is not None else wish.name or (known[0] if len(known) == 1 else None)
    if wish.mode == "--diff" and wish.layout is not None:
        before = (await Deployment.found(wish.layout.name).status()).layout if wish.layout.name in known else None
        _diff(before, wish.layout, as_json=as_json)
        return
    if wish.layout is not None and wish.mode is None:
        wish.layout.require_startable()
        say(f"starting what is missing of `{wish.layout.name}`", dim=True)
        status = await Deployment.begun(wish.layout.name).apply(
            wish.layout, drain_s=wish.drain_s, room_s=wish.room_s
        )  # fmt: skip
        _tell(wish.layout.name, status, as_json=as_json)
        return
    if name is None:
        raise nothing_runs(None, known)
    deployment = Deployment.found(name)
    if wish.mode == "--down":
        await deployment.down(wish.drain_s)
        if as_json:
            deliver_json({"ok": True, "name": name, "down": True})
        else:
            say(f"`{name}` is down")
        return
    status = await deployment.status()
    if wish.counts and status.layout is not None:
        wanted = _scaled(status.layout, wish.counts)
        status = await deployment.apply(wanted, drain_s=wish.drain_s, room_s=wish.room_s)
    _tell(name, status, as_json=as_json)


def _tell(name: str, status: Status, *, as_json: bool) -> None:
    from orchestrator.cli.layouts import status_lines

    if not as_json:
        deliver("\n".join(status_lines(name, status)))
        return
    members = [
        {"engine": each.engine.name, "model": each.engine.model, "node": each.node, "pid": each.pid}
        for each in status.members
    ]
    trouble = status.trouble or None
    deliver_json({"ok": True, "name": name, "replicas": members, "leaving": status.leaving, "trouble": trouble})


def _show(layout: Layout, *, as_json: bool) -> None:
    from orchestrator.cli.layouts import layout_lines

    reasons = [reason for group in layout.groups for reason in group.cannot_start()]
    if as_json:
        groups = [each.model_dump(mode="json") | {"name": each.name, "devices": each.devices} for each in layout.groups]
        deliver_json({"ok": True, **layout.model_dump(mode="json"), "groups": groups, "cannot_start": reasons})
        return
    deliver("\n".join(layout_lines(layout, reasons)))


def _diff(before: Layout | None, after: Layout, *, as_json: bool) -> None:
    from orchestrator.cli.layouts import change_line
    from orchestrator.runtime.deploy.changes import changes

    found = changes(before, after)
    if as_json:
        deliver_json({"ok": True, "changes": [each.as_dict() for each in found]})
    else:
        deliver("\n".join(map(change_line, found)) or "nothing runs, and nothing would")


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
