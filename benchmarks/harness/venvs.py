"""Throw-away virtual environments for peers, cached by what they install."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

BUILD_TIMEOUT_S = 600


class VenvError(RuntimeError):
    """A peer's environment could not be built; the message is the reason to print."""


def default_root() -> Path:
    """``$XDG_CACHE_HOME/orchestrator/benchmarks``, or the same under ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orchestrator" / "benchmarks"


def venv_python(root: Path, name: str, requirements: tuple[str, ...]) -> Path:
    """The interpreter of a venv that holds `requirements`, built on first use.

    The folder's name carries a hash of the requirements and the Python version, so a changed list gets a new venv. A
    venv counts as built only once its stamp exists: an interrupted build is started again.

    Raises VenvError with pip's last line where something does not install.
    """
    wanted = "\n".join([*requirements, sys.version])
    home = root / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"
    python, stamp = home / "bin" / "python", home / ".built"
    if stamp.exists() and python.exists():
        return python
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", str(home)])
    if requirements:
        _run([str(python), "-m", "pip", "--disable-pip-version-check", "install", "-q", *requirements])
    stamp.write_text("\n".join(requirements), encoding="utf-8")
    return python


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise VenvError(f"building its venv took more than {BUILD_TIMEOUT_S} s") from error
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.startswith("ERROR")]
        raise VenvError(f"does not install: {lines[-1] if lines else f'exit {done.returncode}'}")
