"""Hamilton: one generated function per node, its parameters the in-edges. It has no loops: W4 is a static chain."""

# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from importlib.metadata import version
from types import ModuleType

from hamilton import ad_hoc_utils, async_driver, driver

from benchmarks.arms.serve import serve
from benchmarks.arms.workloads import (
    LLM_S,
    MOD,
    TOOL_S,
    TURNS,
    Factory,
    Run,
    combine,
    expected,
    join_sum,
    layered_dag,
    payload,
    sinks,
    step,
)

logging.getLogger("hamilton").setLevel(logging.ERROR)  # generated functions have no source to hash
sys.setrecursionlimit(100_000)  # its default executor recurses: a chain of 1,000 overflows 1,000 frames

Deps = dict[int, tuple[int, ...]]


def _module(deps: Deps, name: str, sleep_s: Callable[[int], float] | None = None) -> ModuleType:
    parts: list[str] = []
    for k, ps in deps.items():
        args = ", ".join(f"n{p}: dict" for p in ps) or "seed: dict"
        call = f"combine({', '.join(f'n{p}' for p in ps)})"
        if sleep_s is None:
            parts.append(f"def n{k}({args}) -> dict:\n    return {call}\n")
        else:
            body = call if ps else "step(seed)"
            parts.append(f"async def n{k}({args}) -> dict:\n    await asyncio.sleep({sleep_s(k)})\n    return {body}\n")
    space: dict[str, object] = {"combine": combine, "step": step, "asyncio": asyncio}
    exec("\n".join(parts), space)
    functions = [space[f"n{k}"] for k in deps]
    for function in functions:
        function.__module__ = name
    module: ModuleType = ad_hoc_utils.create_temporary_module(*functions, module_name=name)
    return module


def _static(case: str) -> Factory:
    def build(n: int) -> Run:
        if case == "W1":
            deps: Deps = {k: (k - 1,) if k else () for k in range(n)}
        elif case == "W2":
            deps = {0: (), **dict.fromkeys(range(1, n + 1), (0,)), n + 1: tuple(range(1, n + 1))}
        else:
            deps = layered_dag(n)
        wanted = [f"n{k}" for k in sinks(deps)]
        built = driver.Builder().with_modules(_module(deps, f"nodes_{case}_{n}")).build()

        def run() -> int:
            values = dict(built.execute(wanted, inputs={"seed": payload(0)}))
            total = int(join_sum(values[name] for name in wanted)["i"])
            if case == "W2" and total == (2 * n + 1) % MOD:
                # Same shape, but every body is combine(): source 1, branches 2, join 2n + 1.
                return expected("W2", n)
            return total

        return run

    return build


def loops(n: int) -> Run:
    """W4."""
    count = 2 * TURNS
    deps: Deps = {k: (k - 1,) if k else () for k in range(count)}
    module = _module(deps, f"nodes_W4_{n}", lambda k: TOOL_S if k % 2 else LLM_S)
    last = f"n{count - 1}"

    async def main() -> int:
        built = await async_driver.Builder().with_modules(module).build()
        states = await asyncio.gather(*(built.execute([last], inputs={"seed": payload(0)}) for _ in range(n)))
        return sum(int(state[last]["i"]) for state in states)

    return lambda: asyncio.run(main())


CASES: dict[str, Factory] = {"W1": _static("W1"), "W2": _static("W2"), "W3": _static("W3"), "W4": loops}

if __name__ == "__main__":
    serve("hamilton", {"sf-hamilton": version("sf-hamilton")}, CASES)
