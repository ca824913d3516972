"""Drawing what Rich lays out: an app's report, whose cells and replies are other people's text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from orchestrator.cli.screen import printable
from orchestrator.cli.streams import result_stream

PIPE_WIDTH: Final = 120
"""Columns of a table that goes to a file or a pipe."""


def drawn(view: RenderableType) -> str:
    """The view as text for where results go, in colours where that is a terminal."""
    stream = result_stream()
    console = _PlainTexts(file=stream) if stream.isatty() else Console(file=stream, width=PIPE_WIDTH)
    with console.capture() as shown:
        console.print(view)
    return shown.get()


class _PlainTexts(Console):
    """A console that draws what the view says, and no control character that stands in its texts."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces of it."""
        for each in super().render(renderable, options):
            yield each if each.control else Segment(printable(each.text), each.style)
