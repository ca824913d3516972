"""What a conversation waits for between two turns: its name, its length, and whether a human is in it.

A wait is written as its *key*, under which pauses like it are remembered: the callees in order joined by ``+``,
alternatives of a branch joined by ``|``. A model call on another conversation counts as ``llm:MODEL``, a question to a
human as ``ask``, a sleep as ``sleep:60s``. Expressions take no time and have no name.

>>> key((Step("search", 1.0), Choice(((Step("run_sql", 0.5),), (Step("plot", 3.0),)))))
'search+(run_sql|plot)'
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Any, Final

from orchestrator.ir.walk import Body, Node, attr, opt, type_string
from orchestrator.passes.kv.conversations import ARMS, Conversations, arms, repeats

DEFAULT_TOOL_S: Final = 2.0
"""Assumed for a tool that does not say how long it takes: at most 2 s pays for itself without knowing the tool
(Continuum, arXiv 2511.02230, uses 1-2 s until it has seen the tool)."""
LONGEST_TTL_S: Final = 300.0
"""No pin outlives this: what typically takes longer is not worth keeping a cache for."""
LONGEST_KEY_CHARS: Final = 256
HUMAN: Final = "ask"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is waited for."""

    name: str
    seconds: float
    """What it typically takes."""
    declared: bool = False
    """Whether that is the user's word."""
    op: Any = None
    """The tool call or question; None for anything else."""
    features: tuple[str, ...] = ()
    """Arguments that tell how long it takes."""
    silent: bool = False
    """Whether its start says nothing about the wait: it may run beside the turn in front of that, and so start before
    the turn ends, or it is of a later iteration, and starts in this one, too."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several waits; an empty one goes on at once."""

    ways: tuple[Wait, ...]


Wait = tuple["Step | Choice", ...]
"""One thing after the other."""


def key(wait: Wait) -> str:
    """The name of a wait, at most ``LONGEST_KEY_CHARS`` long."""
    return _key(wait)[:LONGEST_KEY_CHARS]


def _key(wait: Wait) -> str:
    parts = []
    for each in wait:
        if isinstance(each, Step):
            parts.append(each.name)
            continue
        ways = [name for name in dict.fromkeys(map(_key, each.ways)) if name]
        parts.append("|".join(ways) if len(wait) == 1 or len(ways) == 1 else f"({'|'.join(ways)})" if ways else "")
    return "+".join(part for part in parts if part)


def seconds(wait: Wait) -> float:
    """What a wait typically takes; of a choice, the slowest way."""
    return sum(each.seconds if isinstance(each, Step) else max(map(seconds, each.ways), default=0.0) for each in wait)


def quickest_s(wait: Wait) -> float:
    """What a wait takes where every choice falls on the quickest way that waits at all."""
    total = 0.0
    for each in wait:
        if isinstance(each, Step):
            total += each.seconds
        else:
            total += min((quickest_s(way) for way in each.ways if way), default=0.0)
    return total


def is_declared(wait: Wait) -> bool:
    """Whether the user has said of everything in it how long it takes."""
    return all(
        each.declared if isinstance(each, Step) else all(is_declared(way) for way in each.ways if way) for each in wait
    )


def needs_human(wait: Wait) -> bool:
    """Whether it cannot end without a human."""
    return any(
        each.name == HUMAN if isinstance(each, Step) else bool(each.ways) and all(map(needs_human, each.ways))
        for each in wait
    )


def resolutions(wait: Wait) -> Iterator[tuple[Step, Wait]]:
    """Each call or question with the wait as it is known to be once that starts: every choice made that leads to it.

    What is silent is left out. A step beside the turn could say something only if it waited for that.
    """
    for index, each in enumerate(wait):
        if isinstance(each, Step):
            if each.op is not None and not each.silent:
                yield each, wait
        else:
            for way in each.ways:
                for step, resolved in resolutions(way):
                    yield step, (*wait[:index], *resolved, *wait[index + 1 :])


def wait_of(node: Node) -> Wait:
    """What an op keeps others waiting for."""
    found = _WAITS.get(node.name)
    return found(node) if found is not None else ()


def _call(node: Node) -> Wait:
    callee = str(attr(node.op, "callee"))
    if callee.startswith("builtin."):
        return ()
    typical_s, features = opt(node.op, "typical_s"), tuple(opt(node.op, "pause_features", ()))
    takes_s = DEFAULT_TOOL_S if typical_s is None else float(typical_s)
    return (Step(callee, takes_s, typical_s is not None, node.op, features),)


def _ask(node: Node) -> Wait:
    return (Step(HUMAN, DEFAULT_TOOL_S, op=node.op),)


def _sleep(node: Node) -> Wait:
    seconds = opt(node.op, "seconds")
    if seconds is None:
        return (Step("sleep", DEFAULT_TOOL_S),)
    return (Step(f"sleep:{seconds:g}s", float(seconds), declared=True),)


def _generate(node: Node) -> Wait:
    return (Step(f"llm:{attr(node.op, 'model')}", DEFAULT_TOOL_S),)


def _alternatives(node: Node) -> Wait:
    return choice([_in_body(body) for body in arms(node)])


def _attempt(node: Node) -> Wait:
    """No failure is expected: what is waited for is the body, and what is to be done in the end."""
    handlers = len(node.op.attributes["catches"])
    return tuple(step for body in (node.bodies[0], *node.bodies[handlers + 1 :]) for step in _in_body(body))


def _repeated(node: Node) -> Wait:
    if node.name == "agent.map" and type_string(node.op.operands[0]) == CALLS:
        return tuple(step for body in node.bodies for step in _in_body(body))
    rounds = repeats(node).expected if node.name == "agent.loop" else 1.0
    return tuple(_anonymous(step, rounds) for body in node.bodies for step in _in_body(body))


CALLS: Final = "list[ToolCall]"
"""The type of what a model wants to call in a turn: mostly one thing, so when that starts the wait is known."""
_WAITS: Final[dict[str, Callable[[Node], Wait]]] = {
    "agent.tool": _call,
    "agent.retrieve": _call,
    "agent.ask": _ask,
    "agent.sleep": _sleep,
    "agent.generate": _generate,
    "agent.branch": _alternatives,
    "agent.switch": _alternatives,
    "agent.race": _alternatives,
    "agent.attempt": _attempt,
    "agent.loop": _repeated,
    "agent.map": _repeated,
}


def choice(ways: Sequence[Wait]) -> Wait:
    """A choice, or nothing where no way waits."""
    return (Choice(tuple(ways)),) if any(ways) else ()


def _in_body(body: Body) -> Wait:
    return tuple(step for node in body.nodes for step in wait_of(node))


def _anonymous(step: Step | Choice, rounds: float) -> Step | Choice:
    """A step of something that happens many times or at once, and so says little about the wait when it starts."""
    return _changed(step, lambda each: Step(each.name, each.seconds * rounds, each.declared))


def _silent(wait: Wait) -> Wait:
    return tuple(_changed(each, lambda step: replace(step, silent=True)) for each in wait)


def _changed(step: Step | Choice, change: Callable[[Step], Step]) -> Step | Choice:
    if isinstance(step, Step):
        return change(step)
    return Choice(tuple(tuple(_changed(each, change) for each in way) for way in step.ways))


class NextTurn:
    """Finds what lies between a conversation and its next turn, along the data: what the next turn does not depend on
    delays nothing."""

    def __init__(self, flow: Conversations) -> None:
        self._flow = flow

    def wait(self, chat: Any, body: Body) -> Wait | None:
        """From where ``chat`` is defined in ``body`` to its next turn; None if there may be none."""
        return self._from(chat, body, self._flow.home[chat][1], frozenset())

    def _from(self, chat: Any, body: Body, start: int, seen: frozenset[tuple[int, int]]) -> Wait | None:
        for index in self._flow.users(chat, body):
            found = self._at(chat, body, index, seen)
            if found is not None:
                return (*self._between(body, start, index), *found)
        for position in self._flow.leaves(chat, body):
            found = self._beyond(body, position, seen)
            if found is not None:
                return (*self._between(body, start, len(body.nodes)), *found)
        return None

    def _at(self, chat: Any, body: Body, index: int, seen: frozenset[tuple[int, int]]) -> Wait | None:
        """From the start of a node that continues it to the turn in it, or behind it."""
        node = body.nodes[index]
        if node.name == "agent.generate":
            return ()
        if not node.bodies:
            results = [value for value in node.op.results if self._flow.is_chat(value)]
            return next((found for each in results if (found := self._from(each, body, index, seen)) is not None), None)
        if node.name in ARMS:
            ways = [self._from(chat, arm, -1, seen) for arm in arms(node) if self._flow.continues(chat, arm)]
            known = [way for way in ways if way is not None]
            return (choice(known) if len(known) > 1 else known[0]) if known else None
        inner = node.bodies[-1]
        for position, operand in enumerate(node.op.operands):
            if operand != chat:
                continue
            if node.name == "agent.map":
                return self._from(inner.arguments[position], inner, -1, seen)
            found = self._again(node, position, seen | {(id(inner), position)})
            return self._from(node.op.results[position], body, index, seen) if found is None else found
        return self._from(chat, inner, -1, seen)

    def _again(self, node: Node, position: int, seen: frozenset[tuple[int, int]]) -> Wait | None:
        """From the start of an iteration to its first turn on what the loop carries."""
        cond, inner = node.bodies
        judged = self._from(cond.arguments[position], cond, -1, seen)
        if judged is not None:
            return judged
        found = self._from(inner.arguments[position], inner, -1, seen)
        return None if found is None else (*_in_body(cond), *found)

    def _beyond(self, body: Body, position: int, seen: frozenset[tuple[int, int]]) -> Wait | None:
        """From the end of a body that the conversation leaves there: a loop's next iteration, else behind the op."""
        place = self._flow.places.get(id(body))
        if place is None or (id(body), position) in seen:
            return None
        seen |= {(id(body), position)}
        if place.node.name == "agent.loop":
            again = self._again(place.node, position, seen)
            if again is not None:
                return _silent(again)
        return self._from(place.node.op.results[position], place.around, place.index, seen)

    def _between(self, body: Body, start: int, end: int) -> Wait:
        """The waits after node ``start`` that node ``end``, or the terminator, depends on."""
        reads: dict[int, set[Any]] = {}
        ahead: list[int] = []

        def need(values: Iterable[Any]) -> None:
            for value in values:
                home, index = self._flow.home[value]
                if home is body and start < index < end and index not in reads:
                    reads[index] = _reads_of(body.nodes[index])
                    heappush(ahead, -index)

        need(body.terminator.operands if end == len(body.nodes) else _reads_of(body.nodes[end]))
        while ahead:
            need(reads[-heappop(ahead)])
        behind = set(body.nodes[start].op.results) if start >= 0 else set()
        steps: list[Step | Choice] = []
        for index in sorted(reads):
            node = body.nodes[index]
            waits = wait_of(node)
            if start >= 0 and behind.isdisjoint(reads[index]):
                waits = _silent(waits)
            else:
                behind.update(node.op.results)
            steps += waits
        return tuple(steps)


def _reads_of(node: Node) -> set[Any]:
    """Values that an op uses, or anything in it."""
    return set(node.op.operands).union(*map(_reads, node.bodies))


def _reads(body: Body) -> set[Any]:
    """Values that anything in a body uses."""
    ends: set[Any] = set() if body.terminator is None else set(body.terminator.operands)
    return ends.union(*map(_reads_of, body.nodes))
