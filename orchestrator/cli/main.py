"""The entry point of ``orch``. It imports next to nothing, because Ctrl-C may come while the rest is imported."""

from __future__ import annotations

import signal

from orchestrator.ctrl_c import KeptCtrlC


def main() -> None:
    """The console script."""
    kept = KeptCtrlC()
    try:
        from orchestrator.cli.group import cli
        from orchestrator.cli.streams import open_closed_streams
        from orchestrator.stdout import divert

        open_closed_streams()
        divert()  # for good: what libraries print while the process ends is no result either
        cli.main(begin=kept.release)
    finally:  # all has been said: Ctrl-C ends what is left to do, without a traceback
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
