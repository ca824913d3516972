"""The standard streams as a shell may hand them over: closed, full, in another encoding, or shared with foreign code.

Results go to stdout through :func:`deliver`, which raises where they did not arrive. Nothing else gets there while a
command runs: what users' tools, Ray, vLLM, C libraries and child processes print goes to stderr. Messages on stderr are
a courtesy, and a stderr that cannot be written stops nothing.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from typing import Final, TextIO

import click

from orchestrator.cli.printable import Printable
from orchestrator.cli.screen import printable
from orchestrator.stdout import diverted

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_CONTROL: Final = re.compile(r"[\x7f-\x9f]")
"""What JSON does not escape, and a terminal may obey."""


@dataclass(slots=True)
class _Results:
    """The stream that stands for stdout while foreign output is kept off it, and whether something was written."""

    stream: TextIO
    used: bool = False


_results: list[_Results] = []


class UndeliveredError(OSError):
    """Stdout is closed or full, or nobody reads it any more (``EPIPE``)."""


def result_stream() -> TextIO:
    """What :func:`deliver` writes to: where stdout was when the command began."""
    return _results[-1].stream if _results else sys.stdout


def has_results() -> bool:
    """Whether this command has delivered something, so that nothing more may follow a JSON object."""
    return bool(_results) and _results[-1].used


def deliver(text: str, *, end: str = "\n", is_styled: bool = False) -> None:
    """Write to stdout, and wait until it is written. Raises :class:`UndeliveredError` where it cannot be.

    A file or pipe gets every character; a terminal nothing that it would obey, unless the text ``is_styled``, whose
    colours are left out where there is no terminal.
    """
    stream = result_stream()
    if not is_styled and stream.isatty():
        text = printable(text)
    if _results:
        _results[-1].used = True
    try:
        click.echo(text + end, file=stream, nl=False, color=None if is_styled else True)
        stream.flush()
    except OSError as failure:
        raise UndeliveredError(failure.errno, failure.strerror) from failure


def deliver_json(data: object) -> None:
    """Write one JSON object to stdout, strict JSON whatever ``data`` holds. Raises as :func:`deliver`."""
    deliver_json_text(json.dumps(Printable().of(data), indent=2, ensure_ascii=False, allow_nan=False))


def deliver_json_text(text: str) -> None:
    """Write JSON text to stdout, in escapes where the stream's encoding lacks a character."""
    stream = result_stream()
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        text = _NOT_ASCII.sub(_escaped, text)
    deliver(_CONTROL.sub(_escaped, text).removesuffix("\n"))


def _escaped(found: re.Match[str]) -> str:
    return "\\u007f" if found[0] == "\x7f" else json.dumps(found[0])[1:-1]


def silence_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush cannot raise again."""
    _point_at_nothing(result_stream())


def open_closed_streams() -> None:
    """Give a process that was started without stdin, stdout or stderr (``>&-``) something in their place.

    A descriptor left free would be taken by the next file or socket. In stdout's place every write fails, so that a
    result is known not to have arrived; what goes to stderr is dropped.
    """
    for descriptor in (_STDIN, _STDOUT, _STDERR):
        try:
            os.fstat(descriptor)
        except OSError:  # the lowest free descriptor is the one that open returns
            os.open(os.devnull, os.O_WRONLY if descriptor == _STDERR else os.O_RDONLY)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.FileIO(_STDIN, "r", closefd=False))
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(_STDOUT, "w", closefd=False)))
    sys.stderr = _Courtesy(
        io.BufferedWriter(io.FileIO(_STDERR, "w", closefd=False)),
        encoding=sys.stderr.encoding if sys.stderr is not None else "utf-8",
        errors="backslashreplace",
        line_buffering=True,  # as Python's own is: a line is there when it is printed, whatever happens next
    )


class _Courtesy(io.TextIOWrapper):
    """A stderr that is full, or whose reader has left, loses messages and does not end a run that is paid for."""

    def write(self, text: str, /) -> int:
        """Write what can be written."""
        try:
            return super().write(text)
        except OSError:
            _point_at_nothing(self)
            return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        try:
            super().flush()
        except OSError:
            _point_at_nothing(self)


@contextmanager
def only_results() -> Iterator[None]:
    """Give stdout to :func:`deliver`, and stderr to whoever else would write there; both take any text."""
    own = results = sys.stdout
    for stream in (sys.stderr, *(() if _is_descriptor(own, _STDOUT) else (own,))):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with diverted() as descriptor, redirect_stdout(sys.stderr):
        if _is_descriptor(own, _STDOUT):  # else it is a test's stream, or an embedding program's
            raw = io.BufferedWriter(io.FileIO(os.dup(descriptor), "w"))
            results = io.TextIOWrapper(raw, encoding=own.encoding, errors="backslashreplace")
        _results.append(_Results(results))
        try:
            yield
        finally:
            _results.pop()
            if results is not own:
                with suppress(OSError):
                    results.close()


def _point_at_nothing(stream: TextIO) -> None:
    """What is still in the stream's buffer would fail again."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


def _is_descriptor(stream: TextIO, descriptor: int) -> bool:
    try:
        return stream.fileno() == descriptor
    except (OSError, ValueError):
        return False
