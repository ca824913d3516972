"""The MLIR Python bindings: ``torch-mlir`` from PyPI, or LLVM's own ``mlir-python-bindings``.

Importing this module loads MLIR, so whoever must stay light imports it inside a function.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from orchestrator.ctrl_c import KeptCtrlC
from orchestrator.errors import IRError


def _bindings() -> Any:
    for package in ("torch_mlir", "mlir"):
        if find_spec(package) is not None:
            kept = KeptCtrlC()
            try:
                return import_module(f"{package}.ir")
            finally:
                kept.release()
    raise IRError(
        "ORCH-I000",
        "no MLIR Python bindings are installed",
        why="workflows are compiled in MLIR",
        fix="pip install torch-mlir",
    )


ir: Any = _bindings()
