"""How a failure reaches the user: coded sentences on stderr, JSON on stdout with ``--json``, and an exit code.

A traceback is printed only with ``--debug`` (or ``ORCH_DEBUG=1``): what a user can act on is the sentence.
"""

from __future__ import annotations

import errno
import os
import re
import traceback
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice, pairwise
from pathlib import Path
from typing import Final

import click

from orchestrator.cli.screen import printable, say
from orchestrator.cli.streams import UndeliveredError, deliver_json, has_results, silence_stdout
from orchestrator.errors import (
    Diagnostic,
    OrchError,
    RunError,
    SuspendedError,
    UsageError,
    described,
)

FAILED: Final = 1
USAGE: Final = 2
SUSPENDED: Final = 3
"""The run is kept and not over: it waits for an answer or a moment, or was paused."""
INTERRUPTED: Final = 130
MOST_FILES: Final = 100
"""So many files of a folder are looked at for a workflow."""
CTRL_C: Final = "ORCH-U093"
"""Code of what Ctrl-C ended."""
PIPE_CLOSED: Final = 141


def report_failure(failure: BaseException, words: Sequence[str]) -> int:
    """Tell the user what happened and return the exit code; ``words`` is the command line."""
    if isinstance(failure, click.exceptions.Exit):
        return failure.exit_code
    lost = next((each for each in (failure, failure.__cause__) if isinstance(each, UndeliveredError)), None)
    if lost is not None:
        silence_stdout()
    if lost is failure and lost.errno == errno.EPIPE:
        return PIPE_CLOSED
    if isinstance(failure, (KeyboardInterrupt, click.Abort)):
        _to_stdout(RunError(CTRL_C, "interrupted"), words)
        click.secho("\ninterrupted", fg="yellow", err=True, color=colour())
        return INTERRUPTED
    if "--debug" in words or os.environ.get("ORCH_DEBUG"):
        say("".join(traceback.format_exception(failure)).removesuffix("\n"))
    error = as_orch_error(failure)
    code = exit_code_of(error)
    if lost is not None and lost.errno == errno.EPIPE:
        code = PIPE_CLOSED
    _to_stdout(error, words)
    tell(error)
    return code


def exit_code_of(error: OrchError) -> int:
    """The exit code of a command that ends with this."""
    if isinstance(error, SuspendedError):
        return SUSPENDED
    return USAGE if isinstance(error, UsageError) else FAILED


def tell(error: OrchError) -> None:
    """Say it on stderr."""
    with suppress(OSError):
        for each in error.diagnostics:
            click.echo(styled(each), err=True, color=colour())
        if len(error.diagnostics) > 1:
            click.echo(f"{len(error.diagnostics)} errors", err=True)


def _to_stdout(error: OrchError, words: Sequence[str]) -> None:
    if has_results() or not wants_json(words):
        return
    run_id = {} if error.run_id is None else {"run_id": error.run_id}
    try:
        deliver_json({"ok": False, **run_id, "errors": [each.as_dict() for each in error.diagnostics]})
    except UndeliveredError:  # stderr still says it
        silence_stdout()


def as_orch_error(failure: BaseException) -> OrchError:
    """The coded form of any exception that can reach the command line."""
    match failure:
        case OrchError():
            error = failure
        case BaseExceptionGroup():
            error = as_orch_error(failure.exceptions[0])
        case click.UsageError():
            command = f"{failure.ctx.command_path} --help" if failure.ctx else "orch COMMAND --help"
            fix = f"see `{command}`"
            if (
                isinstance(failure, click.MissingParameter)
                and failure.param is not None
                and failure.param.name == "target"
            ):
                fix = missing_target(command.removesuffix(" --help"))
            error = UsageError("ORCH-U002", _sentence(failure.format_message()), fix=fix)
        case click.ClickException():
            error = UsageError("ORCH-U002", _sentence(failure.format_message()))
        case OSError():
            error = _from_os_error(failure)
        case MemoryError():
            fix = "use a smaller model or a lower --concurrency"
            error = RunError("ORCH-U091", "this machine ran out of memory", fix=fix)
        case _:
            error = RunError(
                "ORCH-U099",
                f"orch failed in a way it did not expect: {described(failure)}",
                fix="run it again with --debug for the traceback, and please report it",
            )
    return error


def wants_json(words: Sequence[str]) -> bool:
    """Whether a command line asks for JSON on stdout."""
    options = list(words[: words.index("--")] if "--" in words else words)
    return "--json" in options or "--format=json" in options or ("--format", "json") in pairwise(options)


def colour() -> bool | None:
    """Whether there are colours: none where ``NO_COLOR`` says so, and else where there is a terminal (None)."""
    return False if os.environ.get("NO_COLOR") else None


def missing_target(command: str) -> str:
    """What to write where the workflow was left out: one that is here, if one is."""
    here = [file for file in islice(Path().glob("*.py"), MOST_FILES) if _defines_a_workflow(file)]
    example = f"`{command} {sorted(here)[0]}`" if here else f"`{command} flow.py:answer`"
    return f"name a workflow, as in {example}; `{command} --help` says more"


def _defines_a_workflow(file: Path) -> bool:
    with suppress(OSError, UnicodeDecodeError):
        return "@workflow" in file.read_text(encoding="utf-8")
    return False


def styled(diagnostic: Diagnostic) -> str:
    """The diagnostic with colours; ``click.echo`` drops them where the stream is no terminal."""
    head, *rest = printable(str(diagnostic)).splitlines()
    label, separator, message = head.partition(": ")
    lines = [click.style(label, fg="red", bold=True) + separator + click.style(message, bold=True)]
    for line in rest:
        key = re.match(r"  (-->|why:|fix:)", line)
        lines.append(click.style(key[0], fg="cyan") + line[key.end() :] if key else line)
    return "\n".join(lines)


def _is_here_gone() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - Path.cwd would do the same
    except FileNotFoundError:
        return True
    return False


def _sentence(message: str) -> str:
    return message[:1].lower() + message[1:].rstrip(".") if message[:2] != message[:2].upper() else message.rstrip(".")


def _from_os_error(failure: OSError) -> OrchError:
    stdout = isinstance(failure, UndeliveredError)
    subject = "stdout: " if stdout else f"{failure.filename}: " if failure.filename else ""
    reason = failure.strerror or str(failure)
    fix: str | None = None
    match failure.errno:
        case errno.ENOENT if failure.filename is None and _is_here_gone():
            reason, fix = "the current folder no longer exists", "`cd` to one that does"
        case errno.EBADF if stdout:
            subject, reason, fix = "", "stdout is closed", "open it: leave out the `>&-`"
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG if stdout:
            fix = "free some space where stdout goes, or send it to a file on another disk"
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG if failure.filename:
            fix = "free some space there, or name a path on another disk"
        case errno.ENOSPC | errno.EDQUOT:
            fix = "free some space, or point TMPDIR at another disk"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            fix = "check the permissions, or name another path"
        case errno.EADDRINUSE:
            fix = "another program holds the port: stop it, or choose another port"
        case errno.EMFILE:
            fix = "raise the limit with `ulimit -n 4096`"
    return RunError("ORCH-U090", f"{subject}{reason}", fix=fix)
