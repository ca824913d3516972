"""``orch run`` keeps its runs, in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.cli.keeping import Keeping

FLOW = """
from pathlib import Path
from orchestrator import tool, workflow

@tool(effects="idempotent")
def step(number: int, text: str) -> str:
    with Path("log.txt").open("a") as log:
        log.write(f"{number}\\n")
    if number == 2 and not Path("mended").exists():
        raise ValueError("nothing to add")
    return f"{text}{number}"

@workflow
def chain(text: str) -> str:
    return step(3, step(2, step(1, text)))
"""


def orch(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The real command in ``folder``, where ``flow.py`` is."""
    (folder / "flow.py").write_text(FLOW)
    env = {**os.environ, "ORCH_LEARNED": "off", "ORCH_CALIBRATION": "off", **(env or {})}
    command = [sys.executable, "-m", "orchestrator.cli.main", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_a_run_is_kept_below_the_current_folder_and_says_its_id(tmp_path: Path) -> None:
    (tmp_path / "mended").touch()
    ended = orch(tmp_path, "run", "flow.py", "a", "--json")
    found = re.search(r"run (\w+) is kept in sqlite:////.*/\.orch/runs\.db", ended.stderr)
    assert found is not None
    assert json.loads(ended.stdout)["run_id"] == found[1]
    assert (tmp_path / ".orch" / ".gitignore").read_text() == "*\n"


def test_a_run_that_failed_says_what_goes_on_with_it(tmp_path: Path) -> None:
    ended = orch(tmp_path, "run", "flow.py", "a", "--run-id", "r1", "--store", "own runs.db", "--engine", "sim")
    assert ended.returncode == 1
    assert "go on with it: orch runs resume r1 flow.py --engine sim --store 'own runs.db'" in ended.stderr
    assert (tmp_path / "own runs.db").exists()


@pytest.mark.parametrize(("option", "env"), [(["--ephemeral"], {}), ([], {"ORCH_STORE": "off"})])
def test_a_run_may_be_kept_nowhere(tmp_path: Path, option: list[str], env: Mapping[str, str]) -> None:
    ended = orch(tmp_path, "run", "flow.py", "a", *option, env=env)
    assert ended.returncode == 1
    assert "kept" not in ended.stderr
    assert not (tmp_path / ".orch").exists()


def test_a_key_makes_two_runs_one(tmp_path: Path) -> None:
    assert orch(tmp_path, "run", "flow.py", "a", "--key", "k").returncode == 1
    (tmp_path / "mended").touch()
    ended = orch(tmp_path, "run", "flow.py", "a", "--key", "k")
    assert (ended.returncode, ended.stdout) == (0, "a123\n")
    assert orch(tmp_path, "run", "flow.py", "a", "--key", "k").stdout == "a123\n"
    assert (tmp_path / "log.txt").read_text().split() == ["1", "2", "2", "3"]


def test_a_key_of_several_runs_is_one_of_each_by_what_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "mended").touch()
    lines = tmp_path / "in.jsonl"
    lines.write_text('{"text": "a"}\n{"text": "b"}\n{"text": "a"}\n')
    words = ["run", "flow.py", "--inputs", "in.jsonl", "--key", "k", "--concurrency", "1"]
    assert orch(tmp_path, *words).stdout.splitlines() == ['"a123"', '"b123"', '"a123"']
    lines.write_text('{"text": "b"}\n{"text": "c"}\n{"text": "a"}\n{"text": "a"}\n')
    assert orch(tmp_path, *words).stdout.splitlines() == ['"b123"', '"c123"', '"a123"', '"a123"']
    assert (tmp_path / "log.txt").read_text().split() == ["1", "2", "3"] * 4


def test_a_run_with_a_key_that_failed_again_is_named_as_the_store_knows_it(tmp_path: Path) -> None:
    words = ["run", "flow.py", "a", "--key", "k", "--json"]
    first, second = (json.loads(orch(tmp_path, *words).stdout) for _ in range(2))
    listed = json.loads(orch(tmp_path, "runs", "list", "--json").stdout)["runs"]
    assert [(each["key"], each["run_id"]) for each in listed] == [("k", first["run_id"])]
    assert second["run_id"] == first["run_id"]
    assert "the same command goes on" in orch(tmp_path, *words[:-1]).stderr


@pytest.mark.parametrize(
    "words",
    [["--ephemeral", "--store", "x.db"], ["--ephemeral", "--key", "k"], ["--inputs", "in.jsonl", "--run-id", "r"]],
)
def test_options_that_contradict_each_other_are_refused(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n')
    ended = orch(tmp_path, "run", "flow.py", *words)
    assert (ended.returncode, "ORCH-U002" in ended.stderr) == (2, True)


@pytest.mark.parametrize(
    "words", [["--key", "k" * 401], ["--key", "a\nb"], ["--run-id", "-r"], ["--run-id", "r" * 201]]
)
def test_a_name_that_no_store_takes_is_refused_before_anything_starts(tmp_path: Path, words: list[str]) -> None:
    ended = orch(tmp_path, "run", "flow.py", "a", *words)
    assert (ended.returncode, "ORCH-R106" in ended.stderr, "kept" in ended.stderr) == (1, True, False)
    assert not (tmp_path / ".orch").exists()


def test_a_detached_run_is_left_to_a_worker(tmp_path: Path) -> None:
    (tmp_path / "mended").touch()
    begun = orch(tmp_path, "run", "flow.py", "a", "--detach", "--store", "own.db", "--key", "k")
    run_id = begun.stdout.strip()
    assert begun.returncode == 0
    assert "kept for a worker: orch worker flow.py --store own.db" in begun.stderr
    assert f"follow it: orch runs watch {run_id} --store own.db" in begun.stderr
    assert not (tmp_path / "log.txt").exists()
    again = orch(tmp_path, "run", "flow.py", "a", "--detach", "--store", "own.db", "--key", "k", "--json")
    assert json.loads(again.stdout) == {"ok": True, "run_id": run_id}
    worker = [sys.executable, "-m", "orchestrator.cli.main", "worker", "flow.py", "--store", "own.db"]
    with subprocess.Popen(worker, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        followed = orch(tmp_path, "runs", "watch", run_id, "--store", "own.db")
        process.terminate()
    assert followed.returncode == 0
    assert (tmp_path / "log.txt").read_text().split() == ["1", "2", "3"]


def test_each_line_of_a_file_becomes_a_detached_run(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    begun = orch(tmp_path, "run", "flow.py", "--inputs", "in.jsonl", "--detach", "--json")
    listed = json.loads(orch(tmp_path, "runs", "list", "--json").stdout)["runs"]
    assert {each["run_id"] for each in json.loads(begun.stdout)["runs"]} == {each["run_id"] for each in listed}
    assert [each["status"] for each in listed] == ["ready", "ready"]


@pytest.mark.parametrize(
    "words", [["--ephemeral"], ["--store", "memory:"], ["--stream"], ["--answer", "a=b"], ["--record", "r.json"]]
)
def test_a_detached_run_takes_no_option_of_one_that_is_waited_for(tmp_path: Path, words: list[str]) -> None:
    ended = orch(tmp_path, "run", "flow.py", "a", "--detach", *words)
    assert (ended.returncode, "ORCH-U002" in ended.stderr) == (2, True)


def test_no_command_that_is_said_has_a_password() -> None:
    url = "postgresql://ada:hidden@db/runs"
    kept = Keeping(url, ["flow.py"], "r1", named=url)
    for said in (kept.go_on("r1"), kept.tell("watch", "r1")):
        assert "postgresql://" in said
        assert "hidden" not in said


@pytest.mark.parametrize("option", ["--run-id", "--key", "--store"])
def test_an_empty_name_is_none(tmp_path: Path, option: str) -> None:
    ended = orch(tmp_path, "run", "flow.py", "a", option, "")
    assert (ended.returncode, f"{option} is empty" in ended.stderr) == (2, True)
    assert not (tmp_path / ".orch").exists()
