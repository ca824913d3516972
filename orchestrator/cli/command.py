"""What all commands have in common."""

from __future__ import annotations

import click

from orchestrator.cli.streams import deliver


class Command(click.Command):
    """A command whose help is a result: click would print it to ``sys.stdout``, which is for everybody else."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """``--help``."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


def _show_help(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        deliver(ctx.get_help())
        ctx.exit()
