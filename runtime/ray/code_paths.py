"""What workers of a local Ray can import: the folders of the user's script, without the files that would break them.

Ray puts the driver's working directory, and the folder of its script, first on its workers' path. A ``numpy.py`` there
would be what every worker imports by that name, Ray's and the engine's own code included. Where a folder has such
files, its workers get a view of it instead: a folder of links to everything else.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.shadows import Shadow, shadows

if TYPE_CHECKING:
    from ray.job_config import JobConfig

SAFE_PATH = "PYTHONSAFEPATH"
"""Keeps Python programs that workers start with ``-m`` from looking in the working directory first."""


class _Paths(list[str]):
    """The folders for the workers' path; those with shadows give way to their views."""

    def __init__(self, views: dict[str, str]) -> None:
        super().__init__()
        self._views = views

    def extend(self, folders: Iterable[str]) -> None:
        super().extend(self._views.get(folder, folder) for folder in folders)


def job_config(cleanup: ExitStack) -> JobConfig | None:
    """The setting of a job in whose way some file is; None where there is none. ``cleanup`` ends the views."""
    from ray.job_config import JobConfig

    views: dict[str, str] = {}
    for folder in {str(Path.cwd()), str(Path(sys.argv[0]).resolve().parent)}:
        found = [each for each in shadows(Path(folder), sys.path) if each.name != "orchestrator"]
        if found:
            views[folder] = _view(Path(folder), found, cleanup)
    if not views:
        return None
    if SAFE_PATH not in os.environ:
        os.environ[SAFE_PATH] = "1"
        cleanup.callback(os.environ.pop, SAFE_PATH, None)
    config = JobConfig()
    config._py_driver_sys_path = _Paths(views)
    return config


def _view(folder: Path, without: Iterable[Shadow], cleanup: ExitStack) -> str:
    hidden = {each.path.name for each in without} | {"__pycache__"}
    view = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="orch-path-"))
    for each in folder.iterdir():
        if each.name not in hidden:
            Path(view, each.name).symlink_to(each)
    return view
