"""How fast this process's cores move memory and multiply matrices; prints one JSON object.

    python -m orchestrator.planner.cpu_speed THREADS SECONDS ARRAY_BYTES

Run as a process of its own, because the libraries below read their number of threads from the environment when they
are imported. ``SECONDS`` is the time for each kernel, of which the best repetition counts, as in STREAM (McCalpin).

- ``memory_bytes_per_s``: the triad ``a = b + s * c`` over arrays of ``ARRAY_BYTES``, one slice a thread. NumPy does it
  in two passes, which read ``c``, write ``a``, read ``a`` and ``b`` and write ``a``: five arrays.
- ``flops``: products of n x n matrices, 2 n^3 operations each, with n doubled from 1024 while one takes less than a
  fiftieth of a second: float32 by NumPy, and where torch is installed float32 (the better of the two counts) and
  bfloat16 by torch.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from typing import Any, Final

from orchestrator.stdout import divert

SIZES: Final = (1024, 2048, 4096)
ENOUGH_S: Final = 0.02
"""A product this long is not dominated by starting and joining threads."""
ARRAYS_MOVED: Final = 5
_SCALE: Final = 3.0
ProductOf = Callable[[int], Callable[[], object]]
"""Makes the product of two n x n matrices, ready to run."""


def triad_bytes_per_s(threads: int, seconds: float, array_bytes: int) -> float:
    """Bytes per second that ``threads`` slices of the triad move together."""
    import numpy as np

    a, b, c = (np.full(array_bytes // 8, value) for value in (0.0, 1.0, 2.0))
    slices = [slice(len(a) * n // threads, len(a) * (n + 1) // threads) for n in range(threads)]

    def part(of: slice) -> None:
        np.multiply(c[of], _SCALE, out=a[of])
        np.add(a[of], b[of], out=a[of])

    with ThreadPoolExecutor(threads) as pool:
        best = _best_s(lambda: list(pool.map(part, slices)), seconds)
    return ARRAYS_MOVED * a.nbytes / best


def flops_by_dtype(threads: int, seconds: float) -> dict[str, float]:
    """FLOP per second of matrix products, by dtype."""
    found: dict[str, float] = {}
    for dtype, product_of in _products(threads):
        found[dtype] = max(found.get(dtype, 0.0), _flops_per_s(product_of, seconds))
    return found


def _flops_per_s(product_of: ProductOf, seconds: float) -> float:
    for size in SIZES:
        product = product_of(size)
        if _best_s(product, 0.0) >= ENOUGH_S:
            break
    return 2 * size**3 / _best_s(product, seconds)


def _products(threads: int) -> Iterator[tuple[str, ProductOf]]:
    yield "fp32", _numpy_product
    if find_spec("torch") is None:
        return
    import torch

    torch.set_num_threads(threads)
    for dtype, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        yield dtype, partial(_torch_product, kind)


def _numpy_product(size: int) -> Callable[[], object]:
    import numpy as np

    operand = np.ones((size, size), dtype=np.float32)
    return partial(np.matmul, operand, operand, out=np.empty_like(operand))


def _torch_product(kind: Any, size: int) -> Callable[[], object]:
    import torch

    operand = torch.ones((size, size), dtype=kind)
    return partial(torch.mm, operand, operand, out=torch.empty_like(operand))


def _best_s(kernel: Callable[[], object], seconds: float) -> float:
    """The shortest of the runs that fit into ``seconds``, after one that warms up."""
    kernel()
    best, end = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < end:
        begin = time.perf_counter()
        kernel()
        best = min(best, time.perf_counter() - begin)
    return best


def main(words: list[str]) -> None:
    """Measure and print."""
    results = divert()  # for good: whatever the libraries print is no result
    threads, seconds, array_bytes = int(words[0]), float(words[1]), int(words[2])
    bandwidth = triad_bytes_per_s(threads, seconds, array_bytes)
    found = {"memory_bytes_per_s": bandwidth, "flops": flops_by_dtype(threads, seconds)}
    os.write(results, json.dumps(found).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
