"""The commands behind ``orch runs``, imported on use."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Final

import click

from orchestrator.cli.command import Command
from orchestrator.errors import UsageError

COMMANDS: Final = {
    "list": ("listing", "List runs, the latest first."),
    "show": ("showing", "Show what a run did, and what it waits for."),
    "diff": ("differing", "Compare two runs, op by op."),
    "replay": ("replaying", "Play a run from its log, and execute nothing."),
    "watch": ("watching", "Follow a run until it is over."),
    "resume": ("resuming", "Go on with a run."),
    "fork": ("forking", "Begin a run with what another one had done."),
    "pause": ("telling", "Have nobody execute a run until it is resumed."),
    "cancel": ("telling", "End a run."),
    "answer": ("telling", "Answer a question of a run."),
    "settle": ("telling", "Say what has become of a once tool."),
    "gc": ("collecting", "Remove runs that have long been over."),
    "export": ("moving", "Write a run to a file."),
    "import": ("moving", "Read a run from a file."),
}
"""By the name of a command, its module in this folder, where it is called so, and its line of help."""


class RunsGroup(Command, click.Group):
    """Imports a command's module on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"orchestrator.cli.runs.{COMMANDS[cmd_name][0]}")
        found = getattr(module, f"{cmd_name}_command")
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Like click's, with the nearest command named in the error."""
        name = args[0]
        if not name.startswith("-") and name not in COMMANDS:
            near = get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
            hint = f"did you mean `orch runs {near[0]}`?" if near else f"the commands are {', '.join(COMMANDS)}"
            raise UsageError("ORCH-U001", f"there is no command `runs {name}`", fix=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=RunsGroup,
    name="runs",
    epilog="\b\nExamples:\n"
    "  orch runs list --status failed --json\n"
    "  orch runs show ID\n"
    "  orch runs resume ID flow.py --debug",
)
def command() -> None:
    """Look at the runs that a store keeps, and go on with them."""
