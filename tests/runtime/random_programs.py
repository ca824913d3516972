"""Random programs over integers, in two readings: built for the executor, and interpreted one op after another.

A program is a list of :class:`Node` s over numbered values. Structured nodes hold regions, which may use any value
around them. Ops that suspend yield to the event loop a few times, so that orders of completion vary.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from orchestrator.errors import Error, bases_of, qualified
from orchestrator.runtime.program.builder import RegionBuilder, Val
from orchestrator.runtime.program.cases import Cases, by_truth
from orchestrator.runtime.program.inline import InlineLoop
from orchestrator.runtime.program.program import Program, Region
from orchestrator.runtime.program.specs import Policy, Raise, Structure, ToolCall


class BoomError(Exception):
    """What failing ops raise."""


class LoudError(BoomError):
    """The same, more special."""


KINDS = (BoomError, LoudError)
CATCHES: list[tuple[tuple[str, ...], ...]] = [
    ((),),
    ((qualified(BoomError),),),
    ((qualified(LoudError),),),
    (("builtins.KeyError",), (qualified(LoudError), "builtins.OSError"), ()),
]
"""What the handlers of an attempt take, by its ``param``."""


@dataclass
class Body:
    args: list[int]
    nodes: list[Node]
    result: int


@dataclass
class Node:
    id: str
    kind: str
    inputs: list[int]
    out: int
    param: int = 0
    bodies: list[Body] = field(default_factory=list)
    raised: int = 0
    """Of what it raises, which of ``KINDS``."""


@dataclass
class Shape:
    """What may occur."""

    failing: bool = False
    flaky: bool = True
    races: bool = True
    once: bool = False
    attempts: bool = False


class Generator:
    def __init__(self, rng: Random, shape: Shape) -> None:
        self.rng = rng
        self.shape = shape
        self.count = 0
        self.kind = rng.randint(0, 1)
        """Of all failures: which of several comes first depends on more than the program."""

    def program(self) -> Body:
        return self.body(1, [], depth=0)

    def fresh(self) -> int:
        self.count += 1
        return self.count

    def body(self, args: int, around: Sequence[int], depth: int) -> Body:
        own = [self.fresh() for _ in range(args)]
        known = [*around, *own]
        nodes = []
        for _ in range(self.rng.randint(1, 7 if depth == 0 else 3)):
            node = self.node(known, depth)
            nodes.append(node)
            known.append(node.out)
        return Body(own, nodes, known[-1] if nodes else self.rng.choice(known))

    def node(self, known: Sequence[int], depth: int) -> Node:
        kinds = ["add", "add", "wait", "wait", "thread"]
        kinds += ["flaky"] * self.shape.flaky + ["fail"] * self.shape.failing + ["once"] * self.shape.once
        if depth < 2:
            kinds += ["branch", "switch", "loop", "map"] + ["race"] * self.shape.races
            kinds += ["attempt", "attempt", "raise"] * self.shape.attempts
        kind = self.rng.choice(kinds)
        node = Node(f"{kind}_{self.fresh()}", kind, [], 0, self.rng.randint(0, 3))
        node.raised = self.kind
        node.inputs = [self.rng.choice(known) for _ in range(self.rng.randint(1, 3))]
        if kind == "branch":
            node.bodies = [self.body(0, known, depth + 1) for _ in range(2)]
        elif kind == "switch":
            node.bodies = [self.body(0, known, depth + 1) for _ in range(3)]
        elif kind == "attempt":
            count = 1 + len(CATCHES[node.param]) + self.rng.randint(0, 1)
            node.bodies = [self.body(0, known, depth + 1) for _ in range(count)]
        elif kind in ("loop", "map"):
            node.bodies = [self.body(1, known, depth + 1)]
        elif kind == "race":
            node.bodies = [self.body(0, known, depth + 1)]
        node.out = self.fresh()
        return node


def interpret(body: Body, args: Sequence[int], around: dict[int, int]) -> int:
    """One op after another, in program order."""
    values = {**around, **dict(zip(body.args, args, strict=True))}
    for node in body.nodes:
        values[node.out] = _evaluate(node, [values[each] for each in node.inputs], values)
    return values[body.result]


def _evaluate(node: Node, inputs: list[int], values: dict[int, int]) -> int:
    first = inputs[0]
    if node.kind in ("fail", "raise") and first % 3 == node.param % 3:
        raise KINDS[node.raised]
    if node.kind == "branch":
        return interpret(node.bodies[first % 2], [], values)
    if node.kind == "switch":
        return interpret(node.bodies[_case(first)], [], values)
    if node.kind == "attempt":
        return _attempt(node, values)
    if node.kind == "loop":
        for _ in range(node.param):
            if first % 5 == 4:
                break
            first = interpret(node.bodies[0], [first], values)
        return first
    if node.kind == "map":
        return sum(interpret(node.bodies[0], [first + n], values) for n in range(node.param)) % 1000
    if node.kind == "race":
        return interpret(node.bodies[0], [], values)
    return (sum(inputs) + node.param) % 1000


def _case(value: int) -> int:
    """Which body of a switch is for a value: 0 and 1 have one, and so have 2 to 4, and all others."""
    return 0 if value in (0, 1) else 1 if value in (2, 3, 4) else 2


def _attempt(node: Node, values: dict[int, int]) -> int:
    body, *others = node.bodies
    catches = CATCHES[node.param]
    try:
        return interpret(body, [], values)
    except BoomError as error:
        names = {qualified(type(error)), *bases_of(type(error))}
        for handler, taken in zip(others, catches, strict=False):
            if not taken or not names.isdisjoint(taken):
                return interpret(handler, [], values)
        raise
    finally:
        for cleanup in others[len(catches) :]:
            interpret(cleanup, [], values)


class Builder:
    """The program for the executor. ``calls`` counts the calls of each tool."""

    def __init__(self, rng: Random, *, retried: bool = False) -> None:
        self.rng = rng
        self.structures = Policy(attempts=3, backoff_s=0.0) if retried else Policy()
        self.calls: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()

    def build(self, body: Body) -> Program:
        root = RegionBuilder("", len(body.args))
        return Program("random", "hash", ("x",), self.region(root, body, {}), int)

    def region(self, builder: RegionBuilder, body: Body, around: dict[int, Val]) -> Region:
        values = {**around, **dict(zip(body.args, builder.args, strict=False))}
        for node in body.nodes:
            values[node.out] = self.node(builder, node, values)
        return builder.finish([values[body.result]])

    def node(self, builder: RegionBuilder, node: Node, values: dict[int, Val]) -> Val:
        inputs = [values[each] for each in node.inputs]
        if node.kind == "add":
            return builder.inline(node.id, lambda *args: f"({'+'.join(args)}+{node.param})%1000", inputs)
        if node.kind == "raise":
            return self.raising(builder, node, inputs)
        if not node.bodies:
            policy = Policy(attempts=3, backoff_s=0.0) if node.kind == "flaky" else Policy()
            return builder.suspend(node.id, self.tool(node), inputs, policy=policy)[0]
        return self.structure(builder, node, inputs, values)

    def structure(self, builder: RegionBuilder, node: Node, inputs: list[Val], values: dict[int, Val]) -> Val:
        if node.kind == "map":
            emit: Callable[..., str] = lambda x: f"[{x}+n for n in range({node.param})]"  # noqa: E731
            inputs = [builder.inline(f"{node.id}_items", emit, inputs[:1])]
        bodies = []
        for name, inner in zip(_names(node), node.bodies, strict=False):
            types: Any = [Error] if name.startswith("except") else len(inner.args)
            own = RegionBuilder(f"{builder.key}{node.id}{'.' + name if name else ''}/", types, builder)
            bodies.append((name, self.region(own, inner, values), own.captures))
        if node.kind == "loop":
            cond = RegionBuilder(f"{builder.key}{node.id}.cond/", 1, builder)
            stop = cond.finish([cond.inline(f"{node.id}_stop", lambda x: f"{x}%5==4", cond.args)])
            bodies.insert(0, ("cond", stop, cond.captures))
            inputs = inputs[:1]
            if all(region.is_inline for _, region, _ in bodies):
                loop = InlineLoop(bodies[0][1], bodies[1][1], 1, node.param, True)
                captured = [value for _, _, captures in bodies for value in captures]
                return builder.inline(node.id, lambda f, *a: f"{f}({','.join(a)})", [*inputs, *captured], bind=loop)
        if node.kind == "branch":
            inputs = [builder.inline(f"{node.id}_cond", lambda x: f"{x}%2==0", inputs[:1])]
        if node.kind == "race":
            loser = RegionBuilder(f"{builder.key}{node.id}.loser/", 0, builder)
            lost = loser.suspend(f"{node.id}_loser", ToolCall(_boom, "boom", "idempotent", True, "async"), [])
            bodies.append(("loser", loser.finish(lost), loser.captures))
            inputs = []
        if node.kind in ("attempt", "switch"):
            inputs = inputs[: int(node.kind == "switch")]
        cases = Cases(((0, 1), (2, 3, 4)), has_default=True) if node.kind == "switch" else by_truth
        catches = CATCHES[node.param] if node.kind == "attempt" else ()
        spec = Structure(node.kind, max(node.param, 0), self.rng.randint(0, 2), cases, catches)  # type: ignore[arg-type]
        out = builder.suspend(node.id, spec, inputs, bodies=bodies, policy=self.structures)[0]
        if node.kind == "map":
            return builder.inline(f"{node.id}_sum", lambda items: f"sum({items})%1000", [out])
        return out

    def raising(self, builder: RegionBuilder, node: Node, inputs: list[Val]) -> Val:
        """A branch that raises, or gives the value of the node."""
        then = RegionBuilder(f"{builder.key}{node.id}.then/", 0, builder)
        text = then.inline(f"{node.id}_text", lambda: "'boom'", [])
        kind = KINDS[node.raised]
        then.suspend(f"{node.id}_raise", Raise(qualified(kind), bases_of(kind)), [text], types=())
        never = then.inline(f"{node.id}_never", lambda: "None", [])
        bodies = [("then", then.finish([never]), then.captures)]
        other = RegionBuilder(f"{builder.key}{node.id}.otherwise/", 0, builder)
        emit: Callable[..., str] = lambda *args: f"({'+'.join(args)}+{node.param})%1000"  # noqa: E731
        bodies.append(("otherwise", other.finish([other.inline(f"{node.id}_sum", emit, inputs)]), other.captures))
        bad = builder.inline(f"{node.id}_bad", lambda x: f"{x}%3=={node.param % 3}", inputs[:1])
        return builder.suspend(node.id, Structure("branch"), [bad], bodies=bodies)[0]

    def tool(self, node: Node) -> ToolCall:
        pauses = self.rng.randint(0, 3)

        def compute(*inputs: int) -> int:
            if threaded:
                self.calls[node.id] += 1
            if node.kind == "fail" and inputs[0] % 3 == node.param % 3:
                raise KINDS[node.raised]
            if node.kind == "flaky" and self.failures[node.id] < 2:
                self.failures[node.id] += 1
                raise BoomError
            return (sum(inputs) + node.param) % 1000

        async def wait(*inputs: int) -> int:
            self.calls[node.id] += 1
            for _ in range(pauses):
                await asyncio.sleep(0)
            return compute(*inputs)

        threaded = node.kind == "thread"
        effects: Any = "once" if node.kind == "once" else "idempotent"
        return ToolCall(
            compute if threaded else wait, node.kind, effects, not threaded, "thread" if threaded else "async"
        )


async def _boom() -> int:
    await asyncio.sleep(0)
    raise BoomError


def _names(node: Node) -> list[str]:
    if node.kind != "attempt":
        return list(_NAMES[node.kind])
    handlers = [f"except_{number}" for number in range(len(CATCHES[node.param]))]
    return ["try", *handlers, "finally"][: len(node.bodies)]


_NAMES = {
    "switch": ("few", "some", "otherwise"),
    "branch": ("then", "otherwise"),
    "loop": ("",),
    "map": ("",),
    "race": ("winner",),
}
