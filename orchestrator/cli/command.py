"""What all commands have in common."""

from __future__ import annotations

from typing import Final

import click

from orchestrator.cli.streams import deliver

_PATHS: Final = frozenset({"store", "target", "model"})
"""Parameters that name files, among others, whose names may be anything."""


class Command(click.Command):
    """A command whose help is a result: click would print it to ``sys.stdout``, which is for everybody else."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Words are what was typed, also where Python takes the locale for one without Unicode; paths stay as they are.

        Raises ``UsageError`` ORCH-U010 for one that is no UTF-8.
        """
        left = super().parse_args(ctx, args)
        for param in self.get_params(ctx):
            name = param.name or ""
            if param.type is click.STRING and name not in _PATHS:
                ctx.params[name] = _as_given(ctx.params.get(name))
        return left

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """``--help``."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


def _as_given(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(map(_as_given, value))
    if not isinstance(value, str) or value.isascii():
        return value
    from orchestrator.cli.inputs import as_given

    return as_given(value)


def _show_help(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        deliver(ctx.get_help())
        ctx.exit()
