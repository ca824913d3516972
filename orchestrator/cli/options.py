"""Options that several commands share, each said once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
_SQLITE: Final = b"SQLite format 3\0"
"""What a file of SQLite's begins with."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
debug_option = click.option("--debug", is_flag=True, help="Show tracebacks, and what Ray and the engine print.")
cluster_option = click.option(
    "--cluster",
    "cluster_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Hardware and engines (TOML); default: this machine.",
)
policy_option = click.option(
    "--policy",
    metavar="NAME",
    help="A policy of `orch simulate` for who goes where and first; default: the file's, or critical-path+laxity.",
)
model_option = click.option(
    "-m", "--model", metavar="MODEL", help="Hugging Face id or folder of the model; of an endpoint, its model's name."
)
engine_option = click.option(
    "--engine",
    type=click.Choice(["vllm", "openai", "sim"]),
    help="What runs the model: vLLM here (default), an OpenAI-compatible endpoint, or a simulator.",
)
base_url_option = click.option("--base-url", metavar="URL", help="The endpoint of --engine openai.")


def check_writable(path: Path | None, option: str) -> None:
    """Raise ``RunError`` ORCH-U090 where a file cannot be written, before work is done for it. Writes nothing."""
    if path is None:
        return
    from orchestrator.errors import RunError

    folder = path.parent
    if path.is_dir():
        problem, fix = "is a folder", f"name a file, such as {path / 'out.json'}"
    elif not folder.is_dir():
        problem, fix = f"cannot be written: there is no folder {folder}", f"mkdir -p {folder}, or name another file"
    elif _is_of_database(path):
        problem, fix = "is a database, of runs or of what was learned", "name another file, or remove it first"
    elif not os.access(path if path.exists() else folder, os.W_OK):
        problem, fix = "cannot be written: permission denied", "check the permissions, or name another file"
    else:
        return
    raise RunError("ORCH-U090", f"{option} {path} {problem}", fix=fix)


def _is_of_database(path: Path) -> bool:
    """Whether a file is one of SQLite's, or one that SQLite keeps beside such a one."""
    own = path.with_name(re.sub(r"-(wal|shm|journal)$", "", path.name))
    with suppress(OSError):
        if own.is_file():  # and no device, which might not answer
            with own.open("rb") as file:
                return file.read(len(_SQLITE)) == _SQLITE
    return False


def engine_options(command: Command) -> Command:
    """``--cluster``, ``--model``, ``--engine`` and ``--base-url``: what answers model calls."""
    for option in (base_url_option, engine_option, model_option, cluster_option):
        command = option(command)
    return command
