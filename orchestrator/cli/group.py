"""All commands of ``orch``: finds the one that is meant, imports only that, and turns every failure into an exit code.

``orch --help`` must not import Ray, MLIR or an engine, so commands are named in ``COMMANDS`` with their one-line help
and imported on use.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

import click

from orchestrator import __version__
from orchestrator.cli.command import Command
from orchestrator.cli.failure import colour, report_failure
from orchestrator.cli.screen import LogLines
from orchestrator.cli.streams import deliver, only_results, result_stream
from orchestrator.errors import UsageError

COMMANDS = {
    "check": "Trace a workflow; report all its errors at once.",
    "compile": "Trace and optimise a workflow; print its IR.",
    "explain": "Show each op's place, time and cost before running.",
    "plan": "Make a plan to check in, or check that it got no worse.",
    "deploy": "Start the engines of a plan on a Ray cluster, or write their configurations.",
    "simulate": "Try policies, clusters and loads in a simulator (nothing runs).",
    "run": "Run a workflow, or an example directory.",
    "runs": "Look at the runs that are kept, and go on with them.",
    "worker": "Go on with the runs that are kept, beside other workers.",
    "doctor": "Say what is missing here and how to install it.",
}
"""Command name (and module of :mod:`orchestrator.cli`) to its help line."""


class OrchGroup(Command, click.Group):
    """A group that imports a command's module on first use and renders every failure itself."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"orchestrator.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Like click's, with the nearest command named in the error."""
        name = args[0]
        if not name.startswith("-") and name not in COMMANDS:
            near = get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
            hint = f"did you mean `orch {near[0]}`?" if near else f"the commands are {', '.join(COMMANDS)}"
            raise UsageError("ORCH-U001", f"there is no command `{name}`", fix=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(  # noqa: PLR0917 - click's signature
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        begin: Callable[[], None] = lambda: None,
        **extra: Any,
    ) -> NoReturn:
        """Run a command line and exit: 0 ok, 1 failed, 2 usage, 130 interrupted, 141 nobody reads stdout.

        ``begin`` is called once failures are reported. This stands in place of click's own, which ends with 1 where
        stdout is a closed pipe.
        """
        del standalone_mode, windows_expand_args
        words = list(sys.argv[1:] if args is None else args)
        extra.setdefault("color", colour())
        if isinstance(logging.lastResort, logging.Handler):
            logging.lastResort.setFormatter(LogLines())
        with only_results():
            try:
                begin()
                code = self._run(words, prog_name or "orch", complete_var or "_ORCH_COMPLETE", extra)
            except (Exception, KeyboardInterrupt) as failure:  # noqa: BLE001 - the one place where all failures end
                code = report_failure(failure, words)
        sys.exit(code)

    def _run(self, words: list[str], name: str, complete_var: str, extra: dict[str, Any]) -> int:
        if instruction := os.environ.get(complete_var):
            from click.shell_completion import shell_complete

            with redirect_stdout(result_stream()):
                return shell_complete(self, {}, name, complete_var, instruction)
        with self.make_context(name, words, **extra) as context:
            outcome = self.invoke(context)
        return outcome if isinstance(outcome, int) else 0


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        deliver(f"orch {__version__}")
        context.exit()


@click.group(
    cls=OrchGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="TARGET is FILE.py[:workflow], package.module:workflow, FILE.mlir, or a directory that holds an app.py.",
)
@click.option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Compile typed agent workflows: check them, price them, run them on your own hardware."""
    if context.invoked_subcommand is None:
        deliver(context.get_help())
        deliver(
            "\nFirst: `orch doctor` says what this machine can run, and `orch check flow.py` looks at a workflow of\n"
            "yours. `orch run examples/text2sql`, in the source tree, shows one at work."
        )
