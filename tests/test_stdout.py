"""Foreign output is kept away from stdout, at the level of the process's descriptors."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from orchestrator.stdout import diverted

SHOUT = "os.write(1, b'raw '); libc.printf(b'C '); print('Python', end=' '); subprocess.run(['echo', 'child'])"
HEAD = """
import ctypes, os, subprocess, sys
from orchestrator.stdout import divert, diverted
libc = ctypes.CDLL(None)
"""


def ended(code: str, redirection: str = "") -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, HEAD + code]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_what_c_and_children_and_python_print_meanwhile_goes_to_stderr() -> None:
    done = ended(f"with diverted() as out:\n    {SHOUT}\n    os.write(out, b'result')\n")
    assert (done.returncode, done.stdout) == (0, "result")
    assert sorted(done.stderr.split()) == ["C", "Python", "child", "raw"]


def test_what_was_printed_before_and_is_printed_afterwards_stays() -> None:
    done = ended(
        "libc.printf(b'before '); print('before', end=' ')\n"
        "with diverted(): libc.printf(b'within ')\n"
        "libc.printf(b'after')"
    )
    assert (done.stdout, done.stderr) == ("before before after", "within ")


def test_what_is_printed_while_the_process_ends_is_diverted_too() -> None:
    done = ended(f"import atexit\natexit.register(lambda: print('goodbye'))\nos.write(divert(), b'result')\n{SHOUT}")
    assert done.stdout == "result"
    assert "goodbye" in done.stderr


def test_diversions_that_overlap_end_with_the_last(capfd: pytest.CaptureFixture[str]) -> None:
    first, second = diverted(), diverted()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    os.write(1, b"within\n")
    second.__exit__(None, None, None)
    os.write(1, b"after\n")
    assert capfd.readouterr() == ("after\n", "within\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_is_no_file_to_write_into(closed: str) -> None:
    code = (
        "import tempfile\nwith diverted() as out, tempfile.TemporaryFile() as file:\n"
        f"    {SHOUT}\n    sys.exit(3 if file.seek(0, 2) or file.fileno() < 3 else 0)\n"
    )
    assert ended(code, closed).returncode == 0


def test_planning_prints_nothing_of_the_solvers() -> None:
    code = (
        "from orchestrator.planner.placement import *\n"
        "ways = (Choice('gpu', seconds=1.0, busy_s=1.0),)\n"
        "print(solve(Problem((Pool('gpu', 'x', 2, 1.0),), (Configuration('gpu', 'gpu'),), (Op('a', ways),))).value)"
    )
    assert ended(code).stdout.strip() == str(1.0 / 3600)
