"""Ctrl-C that has to wait."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from orchestrator.ctrl_c import KeptCtrlC

INTERRUPTED_AT = """
import os, signal, sys

class Bomb:
    def find_spec(self, name, *_):
        if name == {name!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Bomb())
{then}
"""


def interrupted_at(name: str, then: str, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A program that is sent Ctrl-C when it begins to import a module."""
    code = INTERRUPTED_AT.format(name=name, then=then)
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, cwd=cwd)


def test_it_is_raised_at_the_end() -> None:
    kept = KeptCtrlC()
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        kept.release()
    kept.release()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_one_does_not_wait() -> None:
    kept = KeptCtrlC()
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        kept.release()


def test_one_within_another_leaves_it_to_the_outer() -> None:
    outer, inner = KeptCtrlC(), KeptCtrlC()
    signal.raise_signal(signal.SIGINT)
    inner.release()
    with pytest.raises(KeyboardInterrupt):
        outer.release()


def test_where_it_is_ignored_it_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        kept = KeptCtrlC()
        signal.raise_signal(signal.SIGINT)
        kept.release()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_thread_changes_nothing() -> None:
    thread = threading.Thread(target=lambda: KeptCtrlC().release())
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    "name", ["click", "orchestrator.cli.streams", "orchestrator.cli.check", "orchestrator.dsl.models.llm"]
)
def test_a_command_that_is_still_imported_says_one_word(tmp_path: Path, name: str) -> None:
    (tmp_path / "flow.py").write_text(
        "from orchestrator import llm, workflow\n@workflow\ndef f() -> str: return llm('')"
    )
    ended = interrupted_at(name, "from orchestrator.cli.main import main; main()", "check", "flow.py", cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "\ninterrupted\n")


@pytest.mark.parametrize("name", ["torch_mlir", "datetime", "math", "numpy"])
def test_it_is_not_lost_while_mlir_is_imported(name: str) -> None:
    ended = interrupted_at(name, "from orchestrator.ir import _mlir")
    assert ended.returncode == -signal.SIGINT
    assert ended.stderr.endswith("KeyboardInterrupt\n")
