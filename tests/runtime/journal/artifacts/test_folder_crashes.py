"""A process that puts dies at any moment, or its disk is full: what was put is there, and nothing is there in part."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.runtime.journal.artifacts import folder as folder_module
from orchestrator.runtime.journal.artifacts.folder import Folder

FOR_EVER = 1e11
DATA = b"x" * 100_000

PUTS_FOR_EVER = """
import sys
from pathlib import Path
from orchestrator.runtime.journal.artifacts.folder import Folder
artifacts, seed, n = Folder(Path(sys.argv[1])), int(sys.argv[2]), 0
print("ready", flush=True)
while True:
    print(n, artifacts.put((b"%d %d " % (seed, n)) * 100_000), flush=True)
    n += 1
"""

DIES_AT = """
import os, signal, sys
from pathlib import Path
from orchestrator.runtime.journal.artifacts.folder import Folder
left = int(sys.argv[2])
def dying(call):
    def step(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return step
artifacts = Folder(Path(sys.argv[1]))
os.open, os.fsync, os.close = dying(os.open), dying(os.fsync), dying(os.close)
Path.mkdir, Path.rename, Path.open, Path.is_dir = map(dying, (Path.mkdir, Path.rename, Path.open, Path.is_dir))
print(artifacts.put(b"x" * 100_000), flush=True)
"""

FILLS_THE_DISK = """
import resource, sys
from pathlib import Path
from orchestrator.runtime.journal.artifacts.folder import Folder
artifacts = Folder(Path(sys.argv[1]))
artifacts.put(b"small")
resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, 70_000))
try:
    artifacts.put(b"x" * 100_000)
except OSError as error:
    print(type(error).__name__, error.strerror)
print(artifacts.put(b"y" * 60_000))
"""


def child(code: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], stdout=subprocess.PIPE, text=True)


def whole(artifacts: Folder) -> list[str]:
    """The artifacts that are there, each of which is as it was put."""
    names = [each for each in artifacts.names(FOR_EVER) if "." not in each]
    for name in names:
        artifacts.get(name)
    return names


def test_whatever_was_put_outlives_kills_at_any_time(tmp_path: Path) -> None:
    artifacts, chance = Folder(tmp_path), random.Random(7)
    for round_ in range(6):
        process = child(PUTS_FOR_EVER, tmp_path, round_)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(chance.random() * 0.05)
        process.kill()
        said = [line.split() for line in process.communicate()[0].splitlines(keepends=True) if line.endswith("\n")]
        for n, name in said:
            assert artifacts.get(name) == b"%d %d " % (round_, int(n)) * 100_000
        assert {name for _, name in said} <= set(whole(artifacts))
    artifacts.remove(list(artifacts.names(FOR_EVER)))
    assert list(tmp_path.iterdir()) == []


def test_whichever_step_a_process_dies_before_the_next_one_goes_on(tmp_path: Path) -> None:
    for step in range(1, 100):
        folder = tmp_path / str(step) / "new"
        process = child(DIES_AT, folder, step)
        said = process.communicate()[0].strip()
        if process.returncode == 0:
            break
        assert (process.returncode, said) == (-signal.SIGKILL, "")
        artifacts = Folder(folder)
        whole(artifacts)
        assert artifacts.get(artifacts.put(DATA)) == DATA
        artifacts.remove(list(artifacts.names(FOR_EVER)))
        assert list(folder.iterdir()) == []
    assert 15 < step < 99, "a process lives when it has no step left to die before"


def test_a_full_disk_is_an_error_that_leaves_nothing_behind(tmp_path: Path) -> None:
    process = child(FILLS_THE_DISK, tmp_path)
    error, name = process.communicate()[0].splitlines()
    assert error == "OSError File too large"
    artifacts = Folder(tmp_path)
    assert len(list(artifacts.names(FOR_EVER))) == len(whole(artifacts)) == 2
    assert artifacts.get(name) == b"y" * 60_000


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to files, and where."""
    done: list[str] = []
    sync, rename = os.fsync, Path.rename

    def synced(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        done.append(f"sync {'draft' if '.' in path.name else path.name}")
        sync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        done.append("rename")
        return rename(self, target)

    monkeypatch.setattr(folder_module.os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    return done


def test_the_file_is_synced_before_it_has_its_name_and_its_folders_before_it_is_said(
    tmp_path: Path, steps: list[str]
) -> None:
    name = Folder(tmp_path / "runs").put(DATA)
    day, digest = name.split("-")
    made = [f"sync {tmp_path.name}", "sync runs"]
    assert steps == [*made, "sync draft", "rename", f"sync {day}", "sync runs"]
    steps.clear()
    Folder(tmp_path / "runs").put(DATA)
    assert steps == [f"sync {digest}", f"sync {day}", "sync runs"]


def test_what_cannot_be_synced_was_not_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    artifacts = Folder(tmp_path)
    artifacts.put(b"other")
    monkeypatch.setattr(folder_module.os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        artifacts.put(DATA)
    assert len(list(artifacts.names(FOR_EVER))) == 1


@pytest.fixture
def two(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    processes = [child(PUTS_FOR_EVER, tmp_path, 0) for _ in range(2)]
    yield processes
    for each in processes:
        each.kill()
        each.communicate()


def test_two_processes_that_put_the_same_at_once_keep_it_once(tmp_path: Path, two: list[subprocess.Popen[str]]) -> None:
    said = []
    for each in two:
        assert each.stdout is not None
        said.append([each.stdout.readline().split() for _ in range(11)])
    for each in two:
        each.kill()
    assert said[0] == said[1]
    kept = whole(Folder(tmp_path))
    assert len(kept) == len(set(kept))
    assert {name for _, name in said[0][1:]} <= set(kept)


def test_threads_that_put_the_same_at_once_keep_it_once(tmp_path: Path) -> None:
    artifacts = Folder(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(artifacts.put, [DATA] * 64))
    assert len(names) == 1
    assert set(artifacts.names(FOR_EVER)) == names
