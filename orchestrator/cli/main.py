"""The entry point of ``orch``. It imports next to nothing, because Ctrl-C may come while the rest is imported."""

from __future__ import annotations

import os
import signal
from types import FrameType

from orchestrator.ctrl_c import KeptCtrlC

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end a command as Ctrl-C does, so that what was finished by then is delivered: of those who stop jobs,
and of a terminal that is closed."""


def main() -> None:
    """The console script."""
    background = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if background:  # a shell starts what ends in `&` so: nobody's Ctrl-C is meant, but `kill` is
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, signal.default_int_handler)
    kept = KeptCtrlC()
    ended_by: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        ended_by.append(number)
        os.kill(os.getpid(), signal.SIGINT)  # one and the same as one that is blocked
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    for each in ENDING:
        if kept.raises and signal.getsignal(each) is signal.SIG_DFL:  # `nohup` ignores one of them
            signal.signal(each, end)
    try:
        from orchestrator.cli.group import cli
        from orchestrator.cli.streams import open_closed_streams
        from orchestrator.stdout import divert

        open_closed_streams()
        divert()  # for good: what libraries print while the process ends is no result either
        cli.main(begin=kept.release)
    except SystemExit as ended:
        from orchestrator.cli.failure import INTERRUPTED

        if ended_by and ended.code == INTERRUPTED:
            ended.code = 128 + ended_by[0]
        raise
    finally:  # all has been said: Ctrl-C ends what is left to do, without a traceback
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
