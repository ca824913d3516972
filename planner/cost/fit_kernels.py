"""Condense measured matrix kernels: ``python -m orchestrator.planner.cost.fit_kernels FOLDER [kernels.json]``.

FOLDER holds files ``SYSTEM__BACKEND_VERSION__gemm_perf.parquet`` (columns ``m``, ``n``, ``k``, ``gemm_dtype`` and
``latency`` in ms) as ai-dynamo/aiconfigurator publishes them. Needs pyarrow.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

import numpy as np

from orchestrator.planner.cluster import Device
from orchestrator.planner.cost.kernels import MIB, Tables
from orchestrator.planner.cost.regression import Array
from orchestrator.planner.cost.rows import device_of
from orchestrator.planner.cost.steps import peak_flops
from orchestrator.planner.cost.store import data_folder
from orchestrator.planner.models import DTYPE_BYTES

SOURCE: Final = (
    "Medians of measured latency over roofline of matrix kernels under vLLM, published by ai-dynamo/aiconfigurator "
    "(Apache-2.0); condensed by orchestrator.planner.cost.fit_kernels."
)
TOKENS: Final = (1, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
LOG2_MIB: Final = (0.0, 2.0, 4.0, 6.0, 8.0, 10.0)
DTYPES: Final = {"bfloat16": "bf16", "fp8": "fp8", "nvfp4": "fp4"}
TOKENS_WITHIN, MIB_WITHIN = 0.6, 1.1
"""Octaves around a grid point whose kernels it stands for."""
LEAST_SHAPES: Final = 3


def condense(device: Device, dtype: str, shapes: Array) -> list[list[float]]:
    """Median ratios on the grid; ``shapes`` is kernels x (m, n, k, latency in ms). Gaps take a neighbour's ratio."""
    m, n, k, latency_ms = shapes.T
    weight_bytes = n * k * DTYPE_BYTES[dtype]
    ideal_s = np.maximum(weight_bytes / device.memory_bytes_per_s, 2 * m * n * k / peak_flops(device, dtype))
    logs, size, octave = np.log(latency_ms / 1e3 / ideal_s), np.log2(weight_bytes / MIB), np.log2(m)
    grid = np.full((len(TOKENS), len(LOG2_MIB)), np.nan)
    for row, tokens in enumerate(TOKENS):
        for column, mib in enumerate(LOG2_MIB):
            near = (np.abs(octave - np.log2(tokens)) < TOKENS_WITHIN) & (np.abs(size - mib) < MIB_WITHIN)
            if near.sum() >= LEAST_SHAPES:
                grid[row, column] = np.median(logs[near])
    return [[round(float(each), 3) for each in row] for row in np.exp(_filled(grid))]


def _filled(grid: Array) -> Array:
    """Without gaps: along each row first, then down the columns."""
    for lines in (grid, grid.T):
        for line in lines:
            known = np.flatnonzero(~np.isnan(line))
            if len(known):
                line[:] = line[known[np.abs(np.arange(len(line))[:, None] - known).argmin(axis=1)]]
    return grid


def main(arguments: list[str]) -> int:
    """Read every file and write the tables; the exit code."""
    if not arguments:
        print(__doc__)  # noqa: T201 - a script's usage
        return 2
    from pyarrow import parquet

    target = Path(arguments[1]) if len(arguments) > 1 else data_folder() / "kernels.json"
    ratio: dict[str, dict[str, list[list[float]]]] = {}
    for path in sorted(Path(arguments[0]).glob("*__gemm_perf.parquet")):
        device = device_of(path.name.split("__")[0])
        columns = parquet.read_table(path, columns=["gemm_dtype", "m", "n", "k", "latency"]).to_pydict()
        kinds = np.array(columns["gemm_dtype"])
        shapes = np.array([columns[name] for name in ("m", "n", "k", "latency")], dtype=float).T
        for measured, dtype in DTYPES.items():
            if (kinds == measured).any():
                ratio.setdefault(device.type, {})[dtype] = condense(device, dtype, shapes[kinds == measured])
    tables = Tables.model_validate({"source": SOURCE, "tokens": TOKENS, "log2_mib": LOG2_MIB, "ratio": ratio})
    target.write_text(json.dumps(tables.model_dump(), indent=None) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
