"""`import orchestrator` is light, and its lazy names are complete."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import orchestrator

HEAVY = ("ray", "torch", "vllm", "torch_mlir", "mlir", "networkx", "openai", "pydantic", "numpy", "asyncio")


def loaded_after(code: str) -> set[str]:
    command = f"import sys\n{code}\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_loads_nothing_heavy() -> None:
    assert loaded_after("import orchestrator").isdisjoint(HEAVY)


def test_declaring_a_workflow_loads_neither_the_compiler_nor_the_runtime() -> None:
    code = (
        "from orchestrator import workflow, tool, llm, loop, map_\n"
        "@workflow\ndef flow(q: str) -> str:\n    return llm(q)\nflow.boundary"
    )
    loaded = loaded_after(code)
    assert loaded.isdisjoint(HEAVY)
    assert not any(name.startswith(("orchestrator.runtime", "orchestrator.passes")) for name in loaded)


@pytest.mark.parametrize("name", orchestrator.__all__)
def test_public_names_resolve(name: str) -> None:
    assert getattr(orchestrator, name) is getattr(orchestrator, name)
    assert name in dir(orchestrator)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        orchestrator.nothing  # noqa: B018


def test_no_module_takes_the_name_of_what_the_package_offers() -> None:
    modules = {each.stem for each in Path(orchestrator.__file__).parent.iterdir()}
    assert not modules & set(orchestrator.__all__)
