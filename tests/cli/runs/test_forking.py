"""``orch runs fork``, and decisions about a run whose workflow has changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Orch

FLOW = """
from pathlib import Path

from orchestrator import tool, workflow

@tool(effects="idempotent")
def save(text: str) -> str:
    with Path("saved.txt").open("a") as log:
        log.write(text)
    return f"saved {text}"

@tool(effects="reads")
def end(text: str) -> str:
    if not Path("go").exists():
        raise OSError("not yet")
    return text

@workflow
def flow(text: str, tone: str) -> str:
    return end(save(text) + tone)
"""


def begun(orch: Orch, folder: Path) -> str:
    (folder / "live.py").write_text(FLOW)
    store = str(folder / "runs.db")
    failed = orch("run", "live.py", "-i", "text=a", "-i", "tone=!", "--store", store, "--run-id", "r1")
    assert failed.code == 1
    return store


def test_a_fork_takes_what_the_other_run_had_done(orch: Orch, folder: Path) -> None:
    store = begun(orch, folder)
    forked = orch("runs", "fork", "r1", "live.py", "--set", "tone=?", "--as", "f1", "--store", store)
    assert forked.code == 0, forked.err
    assert "f1 is ready" in forked.err
    (folder / "go").touch()
    ended = orch("runs", "resume", "f1", "live.py", "--store", store)
    assert "saved a?" in ended.out
    assert (folder / "saved.txt").read_text() == "a"


def test_an_input_that_there_is_not_is_an_error(orch: Orch, folder: Path) -> None:
    store = begun(orch, folder)
    ended = orch("runs", "fork", "r1", "live.py", "--set", "colour=red", "--store", store)
    assert ended.code == 2
    assert "no input `colour`" in ended.err


def test_json_names_the_new_run(orch: Orch, folder: Path) -> None:
    store = begun(orch, folder)
    ended = orch("runs", "fork", "r1", "live.py", "--from", "save_1", "--json", "--store", store)
    data = json.loads(ended.out)
    assert data["forked_from"] == "r1"
    (folder / "go").touch()
    assert orch("runs", "resume", data["run_id"], "live.py", "--store", store).code == 0
    assert (folder / "saved.txt").read_text() == "aa"


def test_a_decision_is_given_with_the_resume(orch: Orch, folder: Path) -> None:
    store = begun(orch, folder)
    (folder / "go").touch()
    (folder / "live.py").write_text(FLOW.replace("save(text)", "save(text + 'b')"))
    stopped = orch("runs", "resume", "r1", "live.py", "--store", store)
    assert stopped.code == 1
    assert "ORCH-R104" in stopped.err
    assert "--keep save_1" in stopped.err
    kept = orch("runs", "resume", "r1", "live.py", "--keep", "save_1", "--store", store)
    assert "saved a!" in kept.out, kept.err
    assert (folder / "saved.txt").read_text() == "a"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("resume", "r", "live.py", "--keep", "save_1", "--again", "save_1"), "--keep and --again are given"),
        (("resume", "r", "--keep", "save_1"), "--keep has no meaning without the workflow's file"),
        (("resume", "r", "--budget", "$1"), "--budget has no meaning without the workflow's file"),
        (("resume", "r", "--answer", "x=y"), "--answer has no meaning without the workflow's file"),
        (("fork", "r", "live.py", "--set", "tone"), "`--set tone` has no `=`"),
        (("fork", "r", "live.py", "--from", ""), "has not come to ``"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(
    orch: Orch, folder: Path, words: tuple[str, ...], said: str
) -> None:
    (folder / "live.py").write_text(FLOW)
    store = str(folder / "runs.db")
    orch("run", "live.py", "-i", "text=a", "-i", "tone=b", "--store", store, "--run-id", "r")
    before = orch("runs", "list", "--store", store, "--json").out
    ended = orch("runs", *words, "--store", store)
    assert (ended.code != 0, said in ended.err) == (True, True), ended.err
    assert orch("runs", "list", "--store", store, "--json").out == before
