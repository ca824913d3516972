"""The entry point of ``orch``. It imports next to nothing, because Ctrl-C may come while the rest is imported."""

from __future__ import annotations

import signal
from types import FrameType

from orchestrator.ctrl_c import KeptCtrlC

TERMINATED = 143
"""Exit code where SIGTERM ended a command, which it does as Ctrl-C does: what was finished by then is delivered."""


def main() -> None:
    """The console script."""
    kept = KeptCtrlC()
    terminated: list[int] = []

    def terminate(number: int, frame: FrameType | None) -> None:
        terminated.append(number)
        signal.raise_signal(signal.SIGINT)

    if kept.raises and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, terminate)
    try:
        from orchestrator.cli.group import cli
        from orchestrator.cli.streams import open_closed_streams
        from orchestrator.stdout import divert

        open_closed_streams()
        divert()  # for good: what libraries print while the process ends is no result either
        cli.main(begin=kept.release)
    except SystemExit as ended:
        from orchestrator.cli.failure import INTERRUPTED

        if terminated and ended.code == INTERRUPTED:
            ended.code = TERMINATED
        raise
    finally:  # all has been said: Ctrl-C ends what is left to do, without a traceback
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
