"""stderr while runs are under way: lines that stay, replies that grow, a live display below them, and questions.

Everything that is written meanwhile goes through one :class:`Screen`, so that nothing overwrites anything: a line ends
the reply that is being written, and while a question is open everything else waits until it is answered.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """``text`` without what a terminal would obey: no reply, name or cell of a table moves the cursor."""
    return _CONTROL.sub("", text)


def say(text: str, *, dim: bool = False, colour: str | None = None) -> None:
    """A message on stderr, where no screen is; file names, texts of models and of servers may stand in it."""
    click.secho(printable(text), dim=dim or None, fg=colour, err=True)


class LogLines(logging.Formatter):
    """Lines of a log, which may quote what a tool raised."""

    def format(self, record: logging.LogRecord) -> str:
        """One that a terminal shows and does not obey."""
        return printable(super().format(record))


class Screen:
    """The one writer of stderr. ``live`` says whether there is a terminal to draw on; by default that is looked up."""

    def __init__(self, live: bool | None = None) -> None:
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" if live is None else live
        self._bars: Bars | None = None
        self._open: object = None
        """It says whose text the unfinished line is."""
        self._waiting: list[Callable[[], None]] | None = None
        """What is to be written once a question is answered; None: no question is open."""

    def line(self, text: str, *, dim: bool = False, colour: str | None = None) -> None:
        """Write a line that stays."""
        if self._waiting is not None:
            self._waiting.append(partial(self.line, text, dim=dim, colour=colour))
            return
        self.end()
        if self._bars is None:
            say(text, dim=dim, colour=colour)
        else:
            style = " ".join(each for each in ("dim" if dim else "", colour or "") if each)
            self._bars.console.print(printable(text), style=style, markup=False, highlight=False, soft_wrap=True)

    def piece(self, owner: object, label: str, text: str) -> None:
        """Go on with the line of ``owner``; where another one was written since, on a new line after its label."""
        if self._waiting is not None:
            self._waiting.append(partial(self.piece, owner, label, text))
            return
        if self._open != owner:
            self.end()
            click.secho(f"{printable(label)}: ", fg="cyan", nl=False, err=True)
            self._open = owner
        click.echo(printable(text), nl=False, err=True)

    def end(self) -> None:
        """End the line that is being written, if there is one."""
        if self._waiting is not None:
            self._waiting.append(self.end)
        elif self._open is not None:
            self._open = None
            click.echo(err=True)

    def draw(self, bars: Bars) -> None:
        """Keep a live display below the lines from now on; only where the screen is ``live``."""
        self._bars = bars
        if self._waiting is None:
            bars.start()

    @contextmanager
    def question(self) -> Iterator[None]:
        """Leave the terminal to a question meanwhile; one at a time."""
        self.end()
        if self._bars is not None:
            self._bars.stop()
        self._waiting = []
        try:
            yield
        finally:
            held, self._waiting = self._waiting, None
            if self._bars is not None:
                self._bars.start()
            for write in held:
                write()

    def close(self) -> None:
        """Remove the display."""
        self.end()
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
