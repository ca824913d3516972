"""Files beside a script that are called like what Ray's workers need."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

pytestmark = pytest.mark.ray

SCRIPT = """
import sys

sys.path.append(sys.path.pop(0))  # this process needs what is installed, too
import subprocess
import word
from orchestrator.runtime.ray.session import connect

def found() -> list[str]:
    import colorsys, numpy, word
    command = [sys.executable, "-c", "import numpy; print(numpy.__file__)"]
    inner = subprocess.run(command, capture_output=True, text=True).stdout
    return [word.WORD, numpy.__file__, colorsys.__file__, inner]

with connect(num_cpus=1):
    import ray
    print("|".join(ray.get(ray.remote(found).remote())))
"""


def test_workers_find_what_is_installed_and_what_is_beside_the_script(tmp_path: Path) -> None:
    for name in ("numpy", "colorsys", "psutil", "requests", "typing_extensions"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not this one')")
    (tmp_path / "word.py").write_text("WORD = 'beside'")
    (tmp_path / "script.py").write_text(SCRIPT)
    # An empty path is the folder itself.
    paths = [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    word, *files = done.stdout.strip().split("|")
    assert word == "beside", done.stderr
    assert len(files) == 3
    assert not any(str(tmp_path) in file or "orch-path" in file for file in files)


def test_a_folder_without_such_files_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.runtime.ray.code_paths import SAFE_PATH, job_config

    monkeypatch.delenv(SAFE_PATH, raising=False)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "script.py")])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "word.py").touch()
    with ExitStack() as cleanup:
        assert job_config(cleanup) is None
    assert SAFE_PATH not in os.environ
    (tmp_path / "numpy.py").touch()
    (tmp_path / "data").mkdir()
    with ExitStack() as cleanup:
        config = job_config(cleanup)
        assert config is not None
        config._py_driver_sys_path.extend([str(tmp_path), "/elsewhere"])
        view, elsewhere = config._py_driver_sys_path
        assert elsewhere == "/elsewhere"
        assert sorted(each.name for each in Path(view).iterdir()) == ["data", "word.py"]
        assert os.environ[SAFE_PATH] == "1"
    assert not Path(view).exists()
    assert SAFE_PATH not in os.environ
