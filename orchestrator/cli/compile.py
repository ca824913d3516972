"""``orch compile``: a workflow's IR, after all passes or after each."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import click

from orchestrator.cli.command import Command
from orchestrator.cli.options import check_writable, debug_option, json_option
from orchestrator.cli.streams import deliver, deliver_json
from orchestrator.errors import UsageError
from orchestrator.whole_file import write_whole

Level = Literal["agent", "op"]
TRACE = "trace"
"""Stands for what the passes start from."""


@click.command(
    cls=Command,
    name="compile",
    epilog="Examples:  orch compile flow.py  |  orch compile flow.py:answer -o flow.mlir",
)
@click.argument("target")
@click.option("--print-after", "passes", multiple=True, metavar="PASS", help="Print the IR after this pass; or `all`.")
@click.option(
    "--level",
    type=click.Choice(["agent", "op"]),
    help="agent: what you said, the default with --output; op: what the hardware does, the default without.",
)
@click.option("--locations", is_flag=True, help="Say of each op which of your lines made it.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the IR to a file, which `orch run` takes.",
)
@json_option
@debug_option
def command(  # noqa: PLR0917 - one parameter an option
    target: str,
    passes: tuple[str, ...],
    level: Level | None,
    locations: bool,
    output: Path | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Trace and optimise TARGET; print its IR as MLIR text.

    TARGET is FILE.py[:workflow], package.module:workflow, FILE.mlir, or a directory with an app.py. What --output
    writes names tools and types by their files, seen from its own, and by what they are: it can be compared, checked
    in, and run with `orch run FILE.mlir`.
    """
    from orchestrator.cli.stored import stored_text
    from orchestrator.cli.target import load_target
    from orchestrator.ir.text import to_text
    from orchestrator.passes.pipeline import PIPELINE, run_pipeline

    del debug
    check_writable(output, "--output")
    wanted = _wanted(passes, [TRACE, *(each.name for each in PIPELINE)])
    workflow = load_target(target).workflow
    traced = workflow.trace()
    start = to_text(traced.module, locations=locations)
    texts = {TRACE: start} if TRACE in wanted else {}

    def observe(name: str, module: Any) -> None:
        if name in wanted:
            texts[name] = to_text(module, locations=locations)

    level2, _ = run_pipeline(traced.module, observe)
    level = level or ("op" if output is None else "agent")
    final = start if level == "agent" else to_text(level2, locations=locations)
    if output is not None and level == "agent":
        final = stored_text(traced, workflow.defaults, output, locations=locations)
    if output is not None:
        write_whole(output, final)
    if as_json:
        data = {"ok": True, "workflow": workflow.name, "hash": traced.hash, "level": level, "ir": final, "after": texts}
        deliver_json(data)
    elif texts:
        deliver("\n".join(f"// after {name}\n{text}" for name, text in texts.items()), end="")
    elif output is None:
        deliver(final, end="")


def _wanted(asked: Sequence[str], known: Sequence[str]) -> set[str]:
    """The passes to print after. Raises ``UsageError`` ORCH-U014."""
    if "all" in asked:
        return set(known)
    for name in asked:
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.5)
            fix = f"did you mean `{near[0]}`?" if near else f"the passes are {', '.join(known)}"
            raise UsageError("ORCH-U014", f"there is no pass `{name}`", fix=fix)
    return set(asked)
