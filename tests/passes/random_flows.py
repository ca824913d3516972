"""Random workflows over lists, in two readings: traced, and as plain Python in which every call gets its own arguments.

The tools do what they should not: they change the lists and models that they are given. Some fail, some show what they
get in a prompt, and the same constants and calls occur again and again, inside and outside of branches, loops and maps.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

from pydantic import BaseModel

from orchestrator import branch, llm, loop, map_, tool
from orchestrator.dsl.tracing.tracer import Value


class BoomError(Exception):
    """What the failing tool raises."""


class Bag(BaseModel):
    label: str
    items: list[int]


@tool(effects="pure")
def make(n: int) -> list[int]:
    return [n % 5, n % 3]


@tool
def push(items: list[int], n: int) -> list[int]:
    items.append(n % 10)
    return items


@tool(effects="idempotent")
def drain(items: list[int]) -> int:
    total = sum(items)
    items.clear()
    return total


@tool(effects="idempotent")
def check(items: list[int]) -> int:
    if sum(items) % 13 == 7:
        raise BoomError
    return len(items)


@tool
def stir(bag: Bag) -> list[int]:
    bag.items.reverse()
    bag.items.append(len(bag.label))
    bag.label += "é"
    return bag.items


@tool(effects="pure")
def size(items: list[int]) -> int:
    return len(items)


@tool(effects="pure")
def length(text: str) -> int:
    return len(text)


TOOLS = {each.name: each for each in (make, push, drain, check, stir, size, length)}


class Traced:
    """Builds the workflow."""

    def call(self, name: str, *args: Any) -> Any:
        return TOOLS[name](*args)

    def ask(self, *values: Any) -> Any:
        return length(llm('naïve \\ "' + " ".join(f"{value}" for value in values)))

    def branch(self, items: Any, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        return branch(size(items) > 2, then=then, otherwise=otherwise)

    def map(self, body: Callable[[Any], Any], items: Any) -> Any:
        return map_(body, items, limit=100)

    def loop(self, body: Callable[[Any], Any], items: Any) -> Any:
        return loop(body, items, max=2, until=lambda state: size(state) > 4)


class Direct:
    """Computes it."""

    def call(self, name: str, *args: Any) -> Any:
        return TOOLS[name].fn(*deepcopy(args))

    def ask(self, *values: Any) -> Any:
        shown = [f"[{','.join(map(str, value))}]" if isinstance(value, list) else f"{value}" for value in values]
        return len(reply('naïve \\ "' + " ".join(shown)))

    def branch(self, items: Any, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        return then() if len(items) > 2 else otherwise()

    def map(self, body: Callable[[Any], Any], items: Any) -> Any:
        return [body(item) for item in deepcopy(items)]

    def loop(self, body: Callable[[Any], Any], items: Any) -> Any:
        for _ in range(2):
            if len(items) > 4:
                break
            items = body(items)
        return items


def reply(prompt: str) -> str:
    """What the model answers: more, the more it is shown."""
    return f"«{prompt}»" * (1 + len(prompt) % 3)


def flow(seed: int, how: Traced | Direct, question: Any) -> Any:
    """The workflow of that seed: a list of all that it computed at its outermost level."""
    return _body(Random(seed), how, [question], [how.call("make", question)], depth=0)


def _body(rng: Random, how: Traced | Direct, numbers: list[Any], lists: list[Any], depth: int) -> Any:
    numbers, lists = list(numbers), list(lists)
    for _ in range(rng.randint(2, 8 if depth == 0 else 3)):
        n, items = rng.choice(numbers), rng.choice(lists)
        inner = rng.getrandbits(32)

        def nested(*given: Any, seed: int = inner, known: Any = (tuple(numbers), tuple(lists))) -> Any:
            of_numbers = [each for each in given if not _is_list(each)]
            of_lists = [each for each in given if _is_list(each)]
            return _body(Random(seed), how, [*known[0], *of_numbers], [*known[1], *of_lists], depth + 1)

        kinds = ["make", "constant", "push", "push", "drain", "check", "stir", "size", "ask"]
        match rng.choice(kinds + ["branch", "map", "loop"] * (depth < 2)):
            case "make":
                lists.append(how.call("make", n))
            case "constant":
                lists.append(how.call("push", [1, rng.randint(0, 1)], n))
            case "push":
                lists.append(how.call("push", items, n))
            case "stir":
                lists.append(how.call("stir", Bag(label="ü'\"", items=[1, 2])))
            case "branch":
                other = rng.getrandbits(32)
                lists.append(how.branch(items, nested, lambda nested=nested, other=other: nested(seed=other)))
            case "map":
                numbers.append(how.call("size", how.map(lambda x, nested=nested: how.call("drain", nested(x)), items)))
            case "loop":
                lists.append(how.loop(nested, items))
            case "ask":
                numbers.append(how.ask(items, n, rng.choice(lists)))
            case kind:
                numbers.append(how.call(kind, items))
    if depth == 0:
        return [how.call("size", each) for each in lists] + numbers[1:] + [how.call("drain", each) for each in lists]
    return how.call("push", lists[-1], numbers[-1])


def _is_list(value: Any) -> bool:
    return value._type == list[int] if isinstance(value, Value) else isinstance(value, list)
