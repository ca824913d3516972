"""The learning store: what is appended comes back, whatever happens to processes, disks and files."""

from __future__ import annotations

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from orchestrator.learning import store as learning_store
from orchestrator.learning.store import LearningError, LearningStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "learned" / "learning.db"


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_observations_outlive_the_store_in_order(path: Path) -> None:
    with LearningStore(path) as store:
        store.append("pauses", "run_sql", 0.5)
        store.append("pauses", "search", 2.0, censored=True)
        store.append("votes", "run_sql", 3.0)
        store.append("pauses", "run_sql", 0.25)
    with LearningStore(path) as store:
        assert store.recent("pauses") == [("run_sql", 0.5, False), ("search", 2.0, True), ("run_sql", 0.25, False)]
        assert store.recent("pauses", most_per_key=1) == [("search", 2.0, True), ("run_sql", 0.25, False)]
        assert store.recent("nothing") == []


def test_a_second_passes_and_it_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_store, "FLUSH_S", 0.01)
    with LearningStore(path) as store, LearningStore(path) as reader:
        store.append("pauses", "run_sql", 0.5)
        store._stop.wait(0.05)
        while not (found := reader.recent("pauses")):
            store._stop.wait(0.05)  # the suite's timeout ends this
        assert found == [("run_sql", 0.5, False)]


def test_each_key_keeps_its_newest(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_store, "MOST_PER_KEY", 5)
    with LearningStore(path) as store:
        for value in range(12):
            store.append("pauses", "busy", float(value))
            store.append("votes", "busy", float(-value))
            if value == 3:
                store.append("pauses", "rare", 99.0)
            store.flush()
        rows = store.recent("pauses", most_per_key=100)
        assert rows == [("rare", 99.0, False), *(("busy", float(value), False) for value in range(7, 12))]
        assert len(store.recent("votes", most_per_key=100)) == 5


def test_hostile_keys_do_not_fill_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_store, "MOST_ROWS", 100)
    monkeypatch.setattr(learning_store, "_CHECK_EVERY", 1)
    with LearningStore(path) as store:
        for i in range(250):
            store.append("pauses", f"\ud800 {i}", 1.0)  # half a character: text that UTF-8 cannot hold
        store.append("pauses", "nan", float("nan"))
        store.flush()
        assert store.failure is None
        assert [key for key, *_ in store.recent("pauses")] == [f"? {i}" for i in range(150, 250)]


def test_appending_is_bounded_while_nothing_can_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_store, "MOST_GATHERED", 10)
    with LearningStore(path) as store:
        for i in range(25):
            store.append("pauses", "run_sql", float(i))
        assert store.lost == 15


def test_processes_share_the_file(path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from orchestrator.learning import store as learning_store
        learning_store.BUSY_S = 200  # on a busy machine a process may be stopped while it writes
        with learning_store.LearningStore(Path(sys.argv[1])) as store:
            for i in range(40):
                store.append("pauses", sys.argv[2], float(i))
                store.flush()
    """
    processes = [python(code, path, name) for name in "abc"]
    for process in processes:
        _, complaints = process.communicate(timeout=250)
        assert process.returncode == 0, complaints
        assert complaints == ""
    with LearningStore(path) as store:
        rows = store.recent("pauses")
    for name in "abc":
        assert [value for key, value, _ in rows if key == name] == [float(i) for i in range(40)]


def test_a_killed_writer_loses_at_most_what_was_not_flushed(path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from orchestrator.learning.store import LearningStore
        store = LearningStore(Path(sys.argv[1]))
        for i in range(10**9):
            for each in range(50):
                store.append("pauses", str(i % 7), i + each / 100)
            store.flush()
            print(i, flush=True)
    """
    for _ in range(2):
        process = python(code, path)
        assert process.stdout is not None
        flushed = [int(process.stdout.readline()) for _ in range(20)][-1]
        process.send_signal(signal.SIGKILL)  # in the midst of writing the next batches
        process.communicate(timeout=250)
        with LearningStore(path) as store:
            values = [value for _, value, _ in store.recent("pauses")]
        assert values[-1] >= flushed + 0.49
        assert {round(value % 1 * 100) for value in values if value >= int(values[-1])} == set(
            range(50)
        )  # whole batches


def test_a_full_disk_degrades_and_recovers(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with LearningStore(path) as store:
        store.append("pauses", "run_sql", 1.0)
        store.flush()
        (pages,) = store._database.execute("PRAGMA page_count").fetchone()
        store._database.execute(f"PRAGMA max_page_count = {pages}")
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                for i in range(300):
                    store.append("pauses", f"a key of some length, number {i}", 2.0)
                store.flush()
        assert store.failure is not None
        assert store.failure.code == "ORCH-L004"
        assert "full" in str(store.failure)
        assert [record.message.count("ORCH-L004") for record in caplog.records] == [1]
        assert store.recent("pauses") == [("run_sql", 1.0, False)]
        store._database.execute("PRAGMA max_page_count = 100000")
        store.flush()
        assert store.failure is None
        assert len(store.recent("pauses")) == 901


def test_a_disk_full_from_the_start_is_said(path: Path) -> None:
    process = python(
        """
        import resource, sys
        from pathlib import Path
        from orchestrator.learning.store import LearningError, LearningStore
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        try:
            LearningStore(Path(sys.argv[1]))
        except LearningError as error:
            print(error.code)
        """,
        path,
    )
    said, complaints = process.communicate(timeout=250)
    assert (said, complaints) == ("ORCH-L001\n", "")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(LearningError) as caught:
        LearningStore(tmp_path / "file" / "learning.db")
    assert caught.value.code == "ORCH-L001"
    assert caught.value.diagnostics[0].fix is not None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only folders")
def test_a_read_only_folder_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(LearningError) as caught:
        LearningStore(folder / "learning.db")
    assert caught.value.code == "ORCH-L001"


def test_a_file_of_noise_is_damaged(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(bytes(range(256)) * 64)
    with pytest.raises(LearningError) as caught:
        LearningStore(path)
    assert caught.value.code == "ORCH-L002"
    assert "move it away" in str(caught.value)


def test_damage_in_the_middle_is_found_when_opening(path: Path) -> None:
    with LearningStore(path) as store:
        for i in range(2000):
            store.append("pauses", json.dumps(["w", f"tool {i}"]), float(i))
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * 8192)
    with pytest.raises(LearningError) as caught:
        LearningStore(path)
    assert caught.value.code == "ORCH-L002"


@pytest.mark.parametrize("made", ["CREATE TABLE theirs (a)", "PRAGMA user_version = 99"])
def test_a_file_of_another_kind_is_left_alone(path: Path, made: str) -> None:
    if "PRAGMA" in made:
        LearningStore(path).close()
    else:
        path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute(made)
    database.close()
    with pytest.raises(LearningError) as caught:
        LearningStore(path)
    assert caught.value.code == "ORCH-L003"
