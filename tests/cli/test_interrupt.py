"""Ctrl-C at a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

FLOW = """
from orchestrator import ask, llm, tool, workflow
import asyncio
import signal
import sys

@workflow
def late(question: str) -> str:
    reply = llm(f"{question}", name="greet", max_tokens=20)
    return ask(f"Is this right: {reply}?", choices=["yes", "no"], name="verdict")

@tool(effects="idempotent")
async def slow(number: int) -> int:
    if number > 1:
        print("waiting", file=sys.stderr, flush=True)
        await asyncio.sleep(600)
    return number

@workflow
def each(number: int) -> int:
    return slow(number)

@tool(effects="idempotent")
async def stubborn(number: int) -> int:
    if number > 1:
        try:
            print("waiting", file=sys.stderr, flush=True)
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            print("cleaning up", file=sys.stderr, flush=True)
            await asyncio.sleep(600)
    return number

@workflow
def held(number: int) -> int:
    return stubborn(number)

@tool(effects="idempotent")
async def pressing(number: int, second: str) -> int:
    if number > 1:
        try:
            signal.raise_signal(signal.SIGINT)
            if second == "at once":
                signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            if second == "while it waits":
                asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
            await asyncio.sleep(0.01)
            signal.raise_signal(signal.SIGINT)
    return number

@workflow
def pressed(number: int, second: str) -> int:
    return pressing(number, second)

@tool(effects="pure")
def book() -> str:
    return "word " * 200_000

@workflow
def long() -> str:
    return book()
"""
TWO = '{"number": 1}\n{"number": 2}\n'
IGNORING = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")
"""What a shell does to a command that ends in ``&``."""


@contextmanager
def orch(
    folder: Path, *words: str, stdout: int = subprocess.PIPE, through: Sequence[str] = ()
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """``orch`` with stdin and stderr at a terminal, and our side of that."""
    (folder / "late.py").write_text(FLOW)
    ours, theirs = pty.openpty()
    command = [*through, sys.executable, "-m", "orchestrator.cli.main", *words]
    env = {**os.environ, "ORCH_LEARNED": "off", "ORCH_CALIBRATION": "off", "TERM": "xterm"}
    with subprocess.Popen(
        command, cwd=folder, stdin=theirs, stderr=theirs, stdout=stdout, text=True, env=env, start_new_session=True
    ) as process:
        os.close(theirs)
        try:
            yield process, ours
        finally:
            process.kill()
            os.close(ours)


def read(terminal: int, until: str) -> str:
    seen = b""
    while until not in seen.decode(errors="replace"):
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    return seen.decode(errors="replace")


def test_once_at_a_question_ends_the_run_and_says_what_was_paid(tmp_path: Path) -> None:
    with orch(tmp_path, "run", "late.py:late", "hello", "--engine", "sim") as (process, terminal):
        assert "Is this right" in read(terminal, "(yes / no) > ")
        process.send_signal(signal.SIGINT)
        said = read(terminal, "\0")
        assert process.wait(60) == 130
    assert "interrupted: the run was stopped" in said
    assert "20 out" in said
    assert "Traceback" not in said


def test_what_is_done_by_then_is_delivered(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(TWO)
    words = ["run", "late.py:each", "--inputs", "in.jsonl", "--concurrency", "1", "--json"]
    with orch(tmp_path, *words) as (process, terminal):
        read(terminal, "waiting")
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        data = json.loads(process.stdout.read())
        assert process.wait(60) == 130
    assert [run["ok"] for run in data["runs"]] == [True, False]
    assert data["runs"][0]["value"] == 1
    assert data["runs"][1]["errors"][0]["code"] == "ORCH-U093"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_deliver_what_is_done_too(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "in.jsonl").write_text(TWO)
    words = ["run", "late.py:each", "--inputs", "in.jsonl", "--concurrency", "1"]
    with orch(tmp_path, *words) as (process, terminal):
        read(terminal, "waiting")
        process.send_signal(number)
        assert process.stdout is not None
        assert process.stdout.read() == "1\nnull\n"
        assert process.wait(60) == 128 + number


def test_a_command_in_the_background_hears_sigterm_and_no_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(TWO)
    words = ["run", "late.py:each", "--inputs", "in.jsonl", "--concurrency", "1"]
    with orch(tmp_path, *words, through=IGNORING) as (process, terminal):
        read(terminal, "waiting")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.read() == "1\nnull\n"
        assert process.wait(60) == 143


def test_twice_while_a_tool_cleans_up_delivers_what_is_done(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(TWO)
    words = ["run", "late.py:held", "--inputs", "in.jsonl", "--concurrency", "1"]
    with orch(tmp_path, *words) as (process, terminal):
        read(terminal, "waiting")
        process.send_signal(signal.SIGINT)
        read(terminal, "cleaning up")
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.read() == "1\nnull\n"
        assert process.wait(60) == 130


@pytest.mark.parametrize("second", ["at once", "while it waits", "as it cleans up"])
def test_a_second_one_delivers_what_is_done_wherever_it_hits(tmp_path: Path, second: str) -> None:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"number": n, "second": second}) + "\n" for n in (1, 2, 3)))
    with orch(tmp_path, "run", "late.py:pressed", "--inputs", "in.jsonl", "--concurrency", "1") as (process, terminal):
        assert process.stdout is not None
        assert process.stdout.read() == "1\nnull\nnull\n"
        said = read(terminal, "\0")
        assert process.wait(60) == 130
    assert "2 of 3 runs were stopped" in said
    assert "Traceback" not in said


def test_while_nobody_reads_the_result_it_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with orch(tmp_path, "run", "late.py:long") as (process, terminal):
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 5) == b"word "
        process.send_signal(signal.SIGINT)
        said = read(terminal, "\0")
        assert process.wait(60) == 130
    (saved,) = (tmp_path / "data" / "orchestrator" / "results").iterdir()
    assert json.loads(saved.read_text())["value"] == "word " * 200_000
    assert saved.name in said
    assert "Traceback" not in said
