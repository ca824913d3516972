"""How long matrix kernels really take, relative to their roofline: small tables from measured kernels.

A kernel that multiplies ``tokens`` rows with a weight matrix takes its roofline times a ratio that depends on the
number of rows and on the size of the matrix: small matrices do not fill the device, and with some numbers of rows tiles
are left half empty. The ratio is a property of the device's generation and of the precision; of a device without a
table, that of its generation's measured one stands in. ``data/kernels.json`` holds medians over 9,000 to 36,000
measured shapes each.

>>> table("h100-sxm", "hopper", "bf16").ratio(tokens=1, weight_bytes=2e6) > 2
True
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from orchestrator.planner.datafile import parse_json, read_text

MIB: Final = 2.0**20
STAND_INS: Final = {"blackwell": "b200-sxm", "hopper": "h100-sxm", "ampere": "a100-sxm-80gb", "ada": "l40s"}
"""The measured device of each generation."""


class Tables(BaseModel):
    """``kernels.json``: ratios by device type and precision, rows by ``tokens``, columns by ``log2_mib``."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    source: str
    tokens: tuple[float, ...]
    log2_mib: tuple[float, ...]
    """Size of the weight matrix, in powers of two of MiB."""
    ratio: dict[str, dict[str, tuple[tuple[float, ...], ...]]]


@dataclass(frozen=True, slots=True)
class KernelTable:
    """Ratios of measured kernel times to their roofline, on a grid of logarithms."""

    log2_tokens: tuple[float, ...]
    log2_mib: tuple[float, ...]
    log_ratio: tuple[tuple[float, ...], ...]

    def ratio(self, tokens: float, weight_bytes: float) -> float:
        """Bilinear between the grid's points in all three logarithms; constant beyond its edges."""
        row, down = _place(self.log2_tokens, math.log2(max(tokens, 1.0)))
        column, right = _place(self.log2_mib, math.log2(max(weight_bytes / MIB, 1e-9)))
        above, below = self.log_ratio[row], self.log_ratio[row + 1]
        top = above[column] * (1 - right) + above[column + 1] * right
        bottom = below[column] * (1 - right) + below[column + 1] * right
        return math.exp(top * (1 - down) + bottom * down)


def _place(grid: Sequence[float], value: float) -> tuple[int, float]:
    """The interval of the grid that holds a value, and how far into it the value is (0 to 1)."""
    inside = min(max(value, grid[0]), grid[-1])
    at = min(max(bisect_right(grid, inside) - 1, 0), len(grid) - 2)
    return at, (inside - grid[at]) / (grid[at + 1] - grid[at])


@cache
def table(device_type: str, architecture: str, dtype: str) -> KernelTable | None:
    """The table of a device and precision, of its generation's measured device, or ``None`` where neither is known.

    A precision without a table is taken as 16 bits: its weights are unpacked on the fly.
    """
    path = Path(__file__).parent / "data" / "kernels.json"
    known = parse_json(Tables, read_text(path), str(path))
    by_dtype = known.ratio.get(device_type) or known.ratio.get(STAND_INS.get(architecture, ""))
    if by_dtype is None:
        return None
    rows = by_dtype.get(dtype) or by_dtype["bf16"]
    return KernelTable(
        tuple(math.log2(each) for each in known.tokens),
        known.log2_mib,
        tuple(tuple(math.log(each) for each in row) for row in rows),
    )
