"""Random workflows whose ops write and observe the world, in two readings: traced, and as plain Python.

What the calls return decides which arm is taken and how often a loop goes round, so that effects stand in conditions,
too. Maps hold reads alone: the order of their items' writes is free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from orchestrator import branch, llm, loop, map_, race, tool, workflow
from orchestrator.dsl.workflow import Workflow

KINDS = ("write", "put", "read", "undeclared", "compute", "ask")
STRUCTURES = ("branch", "loop", "map", "race", "sub")


class World:
    """The tools, which note when they start and end, and take as long as they like."""

    def __init__(self, seed: int = 0) -> None:
        self.log: list[tuple[str, str]] = []
        """What happened: ``+`` or ``-``, and the call."""
        self._pauses = Random(seed)
        effects = {"write": "once", "put": "idempotent", "read": "reads", "compute": "pure"}
        self.tools: dict[str, Any] = {
            name: tool(self._happening(name), name=name, effects=kind) for name, kind in effects.items()
        }  # type: ignore[call-overload]
        self.tools["undeclared"] = tool(self._happening("undeclared"), name="undeclared")

    def _happening(self, kind: str) -> Callable[[str, int], Any]:
        async def happen(name: str, n: int) -> int:
            if kind != "compute":
                self.log.append(("+", f"{kind} {name}"))
            for _ in range(self._pauses.choice((0, 0, 1, 5))):
                await asyncio.sleep(0)
            if kind != "compute":
                self.log.append(("-", f"{kind} {name}"))
            return outcome(name, n)

        return happen

    @property
    def epochs(self) -> list[str | tuple[str, ...]]:
        """Each write, and between two of them what was observed, in any order. Raises for a write beside another
        effect."""
        found: list[str | tuple[str, ...]] = []
        observed: list[str] = []
        active: list[str] = []
        for sign, call in self.log:
            if sign == "-":
                active.remove(call)
                continue
            if active and not all(each.startswith("read") for each in (call, *active)):
                raise AssertionError(f"{call} started beside {active}")
            active.append(call)
            if call.startswith("read"):
                observed.append(call)
            else:
                found += [*([tuple(sorted(observed))] if observed else []), call]
                observed = []
        return found + ([tuple(sorted(observed))] if observed else [])


def outcome(name: str, n: int) -> int:
    """What every tool returns."""
    return (n * 7 + len(name) + int(name)) % 5


class Traced:
    """Builds the workflow."""

    def __init__(self, world: World) -> None:
        self.world = world

    def call(self, kind: str, name: str, n: Any) -> Any:
        return llm(f"{name} {n}", returns=int) if kind == "ask" else self.world.tools[kind](name, n)

    def branch(self, n: Any, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        return branch(n > 2, then, otherwise)

    def loop(self, body: Callable[[Any], Any], n: Any, until: Callable[[Any], Any]) -> Any:
        return loop(body, n, max=3, until=lambda state: until(state) == 1)

    def map(self, body: Callable[[Any], Any], n: Any) -> Any:
        return map_(body, [n, n + 1])[1]

    def race(self, arm: Callable[[], Any]) -> Any:
        return race(arm)

    def sub(self, body: Callable[[Any], Any], n: Any) -> Any:
        def inlined(n: int) -> int:
            return body(n)  # type: ignore[no-any-return]

        return workflow(inlined)(n)


class Direct:
    """Computes it, and notes each effect."""

    def __init__(self) -> None:
        self.world = World()

    def call(self, kind: str, name: str, n: int) -> int:
        if kind not in ("compute", "ask"):
            self.world.log += [("+", f"{kind} {name}"), ("-", f"{kind} {name}")]
        return outcome(name, n)

    def branch(self, n: int, then: Callable[[], int], otherwise: Callable[[], int]) -> int:
        return then() if n > 2 else otherwise()

    def loop(self, body: Callable[[int], int], n: int, until: Callable[[int], int]) -> int:
        for _ in range(3):
            if until(n) == 1:
                break
            n = body(n)
        return n

    def map(self, body: Callable[[int], int], n: int) -> int:
        return [body(n), body(n + 1)][1]

    def race(self, arm: Callable[[], int]) -> int:
        return arm()

    def sub(self, body: Callable[[int], int], n: int) -> int:
        return body(n)


def build(seed: int, world: World) -> Workflow[..., int]:
    """The workflow of that seed."""
    how = Traced(world)

    @workflow
    def flow(q: int) -> int:
        return _body(Random(seed), how, [q], KINDS, 0)  # type: ignore[no-any-return]

    return flow


def expected(seed: int, q: int) -> tuple[int, World]:
    """What it computes, and what happens meanwhile."""
    how = Direct()
    return _body(Random(seed), how, [q], KINDS, 0), how.world


def answer(prompt: str) -> str:
    """What the model says."""
    name, _, n = prompt.partition(" ")
    return str(outcome(name, int(n)))


def _body(rng: Random, how: Any, numbers: list[Any], kinds: tuple[str, ...], depth: int) -> Any:
    numbers = list(numbers)
    for _ in range(rng.randint(1, 8 if depth == 0 else 3)):
        n, name = rng.choice(numbers), str(rng.randrange(1000))
        seeds = [rng.getrandbits(32) for _ in range(2)]
        kind = rng.choice((*kinds, *STRUCTURES) if depth < 3 else kinds)
        inner = ("read", "compute", "ask") if kind == "map" else kinds

        def nested(*given: Any, seed: int = seeds[0], known: Any = tuple(numbers), inner: Any = inner) -> Any:
            return _body(Random(seed), how, [*known, *given], inner, depth + 1)

        def other(*given: Any, nested: Any = nested, seed: int = seeds[1]) -> Any:
            return nested(*given, seed=seed)

        match kind:
            case "branch":
                made = how.branch(n, nested, other)
            case "loop":
                made = how.loop(nested, n, other)
            case "map":
                made = how.map(nested, n)
            case "race":
                made = how.race(nested)
            case "sub":
                made = how.sub(nested, n)
            case _:
                made = how.call(kind, name, n)
        numbers.append(made)
    return numbers[-1]
