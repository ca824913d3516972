"""What goes wrong with the threads and processes that tools run in, and with what is sent there."""

from __future__ import annotations

import signal

from orchestrator.errors import RunError, SourceLoc


class LostAttemptError(RunError):
    """The process that did the work is gone, and how the work ended with it (ORCH-R041)."""


def too_many_written_off(tenant: str | None, calls: int) -> RunError:
    """ORCH-R040: raised before the tool is started."""
    return RunError(
        "ORCH-R040",
        f"{calls} calls of blocking tools or validators were given up"
        f"{f' by tenant {tenant}' if tenant else ''} and still run",
        why="a thread cannot be stopped, and there is a limit to how many are left behind",
        fix="have them end by themselves, with timeouts of their own calls, "
        'or declare the tools @tool(isolation="process"), which can be killed',
    )


def no_thread(why: str) -> RunError:
    """ORCH-R040."""
    return RunError(
        "ORCH-R040",
        "no thread could be started for a blocking tool or a validator",
        why=why,
        fix="raise the limit of `ulimit -u`",
    )


def how_it_ended(code: int) -> str:
    """An exit code, or minus a signal, for people."""
    if code >= 0:
        return f"it ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "a signal"
    hint = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
    return f"it was killed by {name} ({-code}){hint}"


def process_died(op: str, code: int) -> RunError:
    """ORCH-R041: nobody knows how far the tool got."""
    return lost(op, how_it_ended(code))


def lost(op: str, why: str) -> RunError:
    """ORCH-R041."""
    message = f"the process of `{op}` ended while it was working"
    return LostAttemptError("ORCH-R041", message, why=why, fix="have the tool return, or raise an exception")


def out_of_memory(op: str, memory_bytes: int | None) -> RunError:
    """ORCH-R042."""
    limit = "more memory than there is" if memory_bytes is None else f"more than its {memory_bytes / 2**20:g} MiB"
    return RunError("ORCH-R042", f"`{op}` needs {limit}", fix="raise its memory=, or have it work in smaller pieces")


def not_sendable(what: str, why: str, where: SourceLoc | None) -> RunError:
    """ORCH-R043."""
    return RunError(
        "ORCH-R043",
        f"{what} cannot be sent between processes",
        where=where,
        why=why,
        fix="exchange plain data (numbers, texts, lists, models), and define the tool at the top of a module",
    )


def no_process(op: str, why: str) -> RunError:
    """ORCH-R044."""
    return RunError("ORCH-R044", f"no process could be started for `{op}`", why=why, fix="see what else runs here")
