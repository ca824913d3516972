"""Options that several commands share, each said once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
debug_option = click.option("--debug", is_flag=True, help="Show tracebacks, and what Ray and the engine print.")
cluster_option = click.option(
    "--cluster",
    "cluster_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Hardware and engines (TOML); default: this machine.",
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


def engine_options(command: Command) -> Command:
    """``--cluster``, ``--model``, ``--engine`` and ``--base-url``: what answers model calls."""
    for option in (base_url_option, engine_option, model_option, cluster_option):
        command = option(command)
    return command
