"""What runs learn of pauses: kept from one command to the next, shared by all, and never in their way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.learning.location import default_path
from orchestrator.learning.store import LearningStore
from tests.cli.conftest import Orch
from tests.cli.test_run import ADDS, scripted

AGENT = """
import time
from pathlib import Path
from orchestrator import react, tool, workflow

@tool(effects="idempotent")
def look_up(what: str) -> str:
    Path("looked_up").touch()
    WAIT
    return what

@workflow
def agent(question: str) -> str:
    return react(question, tools=[look_up], max_steps=4)
"""
DAMAGED = "no database, but long enough to be read as one" * 100
TOOL_S = 0.05


def step(**action: object) -> str:
    return json.dumps({"thought": "so", "action": action})


LOOKS = step(tool="look_up", args={"what": "lamps"})
ENDS = step(tool="finish", answer="three")


@pytest.fixture
def agent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words that run an agent which calls its tool twice; what is learned goes to the folder."""
    monkeypatch.delenv("ORCH_LEARNED", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    (folder / "agent.py").write_text(AGENT.replace("WAIT", f"time.sleep({TOOL_S})"))
    return ["run", "agent.py", "how many?", "--cluster", scripted(folder, LOOKS, LOOKS, ENDS)]


def started(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "orchestrator.cli.main", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kept(path: Path) -> list[tuple[str, float, bool]]:
    with LearningStore(path) as store:
        return store.recent("pauses")


def test_two_runs_at_once_teach_one_store_and_explain_shows_what(agent: list[str], folder: Path) -> None:
    for process in [started(*agent), started(*agent)]:
        out, err = process.communicate()
        assert (process.returncode, out.strip()) == (0, "three"), err
        assert "learn" not in err
    path = folder / "data" / "orchestrator" / "learned.db"
    assert path == default_path()
    seen = kept(path)
    assert {tuple(json.loads(key)) for key, *_ in seen} == {("agent", "look_up")}
    pauses_s = [seconds for _, seconds, censored in seen if not censored]
    assert len(pauses_s) == 4
    assert min(pauses_s) >= TOOL_S
    cluster = agent[-1]
    explained = started("explain", "agent.py", "--cluster", cluster, "--learned", str(path), "--json")
    pins = json.loads(explained.communicate()[0])["pins"]
    (worth,) = [pin["worth"] for pin in pins if pin["tool"] == "look_up"]
    assert (worth["source"], worth["count"]) == ("tool", 4)
    assert worth["median_s"] in pauses_s


def test_explain_uses_the_users_store_unless_told_not_to(orch: Orch, agent: list[str], folder: Path) -> None:
    words = ["explain", "agent.py", *agent[-2:], "--json"]

    def sources(*more: str) -> set[str]:
        return {pin["worth"]["source"] for pin in json.loads(orch(*words, *more).out)["pins"]}

    assert sources() == {"prior"}
    assert not (folder / "data").exists()
    assert orch(*agent).code == 0
    assert "tool" in sources()
    assert sources("--no-calibration") == {"prior"}


def test_a_store_can_be_named(orch: Orch, agent: list[str], folder: Path) -> None:
    assert orch(*agent, "--learned", "mine.db").code == 0
    assert kept(folder / "mine.db")
    assert not (folder / "data").exists()


def test_learning_can_be_switched_off(
    orch: Orch, agent: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_LEARNED", "off")
    assert orch(*agent).code == 0
    assert not (folder / "data").exists()


def test_a_workflow_without_conversations_needs_no_store(orch: Orch, agent: list[str], folder: Path) -> None:
    (folder / "sums.py").write_text(ADDS)
    assert orch("run", "sums.py", "-i", "left=2", "-i", "right=3").code == 0
    assert not (folder / "data").exists()


def test_the_users_store_never_fails_a_command(orch: Orch, agent: list[str], folder: Path) -> None:
    path = folder / "data" / "orchestrator" / "learned.db"
    path.parent.mkdir(parents=True)
    path.write_text(DAMAGED)
    for words in (agent, ["explain", "agent.py", *agent[-2:]]):
        ended = orch(*words)
        assert ended.code == 0
        assert ended.err.count("ORCH-L002") == 1
        assert "ORCH_LEARNED=off" in ended.err
    assert path.read_text() == DAMAGED
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("a file where the folder should be")
    ended = orch(*agent)
    assert (ended.code, ended.out.strip()) == (0, "three")
    assert ended.err.count("ORCH-L001") == 1


def test_a_place_for_the_store_that_cannot_be_is_none(
    orch: Orch, agent: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / ("n" * 300)))
    ended = orch("explain", "agent.py", *agent[-2:], "--no-calibration")
    assert ended.code == 0
    monkeypatch.setenv("ORCH_CALIBRATION", "off")
    assert orch("explain", "agent.py", *agent[-2:]).code == 0


def test_a_store_that_is_named_has_to_work(orch: Orch, agent: list[str], folder: Path) -> None:
    (folder / "mine.db").write_text(DAMAGED)
    ended = orch(*agent, "--learned", "mine.db")
    assert ended.code == 1
    assert "ORCH-L002" in ended.err
    assert ended.out == ""


def test_a_run_that_fails_teaches_too(orch: Orch, agent: list[str], folder: Path) -> None:
    scripted(folder, LOOKS, LOOKS)
    ended = orch(*agent, "--learned", "mine.db")
    assert ended.code == 1
    assert "ORCH-L" not in ended.err
    assert [censored for *_, censored in kept(folder / "mine.db")] == [False, False]


def test_a_pause_that_ctrl_c_ends_was_at_least_so_long(agent: list[str], folder: Path) -> None:
    waits = "while not Path('go').exists(): time.sleep(0.01)"
    (folder / "agent.py").write_text(AGENT.replace("WAIT", waits))
    process = started(*agent, "--learned", "mine.db")
    while not (folder / "looked_up").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "interrupted" in said
    assert "ORCH-L" not in said
    ((key, _, censored),) = kept(folder / "mine.db")
    assert (json.loads(key), censored) == (["agent", "look_up"], True)
