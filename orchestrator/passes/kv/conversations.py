"""Where conversations go: who continues one, how many turns follow, and which end here.

A conversation is a value of type ``Chat``; a turn (``agent.generate``) takes one and gives the next. What *continues*
it is a turn, a region op that has a turn on it inside or takes it in, an expression that picks or collects
conversations, or a terminator. Its text in a prompt, or as the argument of a tool, does not: that needs no KV cache.

>>> flow = Conversations(tree(module))                                                  # doctest: +SKIP
>>> flow.ahead(turn.op.results[1], body)                                                # doctest: +SKIP
Turns(least=0.0, expected=2.5, most=5.0)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.ir.tokens import operands
from orchestrator.ir.walk import Body, Node, attr, bodies, type_string

ARMS: Final = frozenset({"agent.branch", "agent.switch", "agent.race", "agent.attempt"})
"""Ops of which one region gives the result; a handler of an attempt comes behind its body, and what is to be done in
the end behind both."""


@dataclass(frozen=True, slots=True)
class Turns:
    """A number of turns that is only known when the workflow runs."""

    least: float = 0.0
    expected: float = 0.0
    most: float = 0.0

    def __add__(self, other: Turns) -> Turns:
        return Turns(self.least + other.least, self.expected + other.expected, self.most + other.most)

    def times(self, count: Turns) -> Turns:
        """This often."""
        return Turns(self.least * count.least, self.expected * count.expected, self.most * count.most)


NONE: Final = Turns()
ONE: Final = Turns(1.0, 1.0, 1.0)


@dataclass(slots=True)
class Inside:
    """What becomes of a conversation within one body."""

    turns: Turns = NONE
    exits: frozenset[int] = frozenset()
    """Positions at which it, or a later state of it, leaves through the terminator."""


@dataclass(slots=True)
class Place:
    """Where a body is: in which region of which op, and where that op stands."""

    node: Node
    region: int
    around: Body
    index: int


@dataclass(slots=True)
class _Uses:
    """Who continues each conversation in a body: positions of its nodes, and of the terminator one past them."""

    nodes: dict[Any, list[int]] = field(default_factory=dict)
    yielded: dict[Any, list[int]] = field(default_factory=dict)
    """Positions among the terminator's operands."""


class Conversations:
    """The conversations of one module. Bodies are looked at from the end, so chains of turns need no recursion."""

    def __init__(self, root: Node) -> None:
        self.places: dict[int, Place] = {}
        """Its keys are identities of bodies; the workflow's own has none."""
        self.home: dict[Any, tuple[Body, int]] = {}
        """The body that each value is defined in, and by which of its nodes; -1 for an argument."""
        self._made: dict[int, list[tuple[int, Any]]] = {}
        self._types: dict[Any, bool] = {}
        self._uses: dict[int, _Uses] = {}
        self._inside: dict[tuple[int, Any], Inside] = {}
        for body in bodies(root):
            self._enter(body)
        for body in reversed(list(bodies(root))):
            self._uses[id(body)] = self._uses_in(body)
            for node in reversed(body.nodes):
                for _, value in self.made(node):
                    self.inside(value, body)

    def is_chat(self, value: Any) -> bool:
        """Whether it is a conversation or holds some."""
        kind = value.type
        known = self._types.get(kind)
        if known is None:
            known = self._types[kind] = "Chat" in type_string(value).replace("[", " ").replace("]", " ").split()
        return known

    def made(self, node: Node) -> list[tuple[int, Any]]:
        """The conversations among the results of an op, with their positions."""
        return self._made[id(node)]

    def users(self, chat: Any, body: Body) -> list[int]:
        """Positions of the nodes in ``body`` that continue it."""
        return self._uses[id(body)].nodes.get(chat, [])

    def leaves(self, chat: Any, body: Body) -> list[int]:
        """Positions among the operands of the terminator at which it leaves ``body``."""
        return self._uses[id(body)].yielded.get(chat, [])

    def continued(self, body: Body) -> list[Any]:
        """Conversations that something in ``body`` continues, its terminator included."""
        uses = self._uses[id(body)]
        return list(dict.fromkeys((*uses.nodes, *uses.yielded)))

    def continues(self, chat: Any, body: Body) -> bool:
        """Whether anything in ``body``, its terminator included, continues it."""
        return bool(self.users(chat, body) or self.leaves(chat, body))

    def inside(self, chat: Any, body: Body) -> Inside:
        """The turns on it within ``body``, and where it leaves."""
        key = (id(body), chat)
        known = self._inside.get(key)
        if known is None:
            found = Inside(exits=frozenset(self.leaves(chat, body)))
            for index in self.users(chat, body):
                each = self._through(body.nodes[index], chat, body)
                found = Inside(found.turns + each.turns, found.exits | each.exits)
            known = self._inside[key] = found
        return known

    def ahead(self, chat: Any, body: Body) -> Turns | None:
        """The turns that follow on a conversation of ``body``, to the end of the workflow; None if it is returned."""
        here = self.inside(chat, body)
        turns = here.turns
        for position in here.exits:
            beyond = self._beyond(body, position)
            if beyond is None:
                return None
            turns += beyond
        return turns

    def position(self, op: Any, body: Body) -> int | None:
        """Which node of ``body`` an op with results is, or is inside of; None if it is not in there."""
        inner, at = self.home[op.results[0]]
        while inner is not body:
            place = self.places.get(id(inner))
            if place is None:
                return None
            inner, at = place.around, place.index
        return at

    def _beyond(self, body: Body, position: int) -> Turns | None:
        """What follows on a conversation that leaves ``body`` there."""
        place = self.places.get(id(body))
        if place is None:
            return None
        node = place.node
        results = node.op.results
        if node.name == "agent.loop" and place.region == 0:
            return NONE
        after = self.ahead(results[position], place.around)
        if after is None or node.name in ARMS:
            return after
        count = repeats(node)
        if node.name == "agent.map":
            return Turns(0.0, after.expected / max(count.expected, 1.0), after.most)
        share = 2 if count.least == count.most else 4  # on average half of the other iterations, of those expected
        again = Turns(0.0, (count.most - 1.0) / share, count.most - 1.0)
        return after + self._each_time(node, position).times(again)

    def _through(self, node: Node, chat: Any, body: Body) -> Inside:
        """What a node of ``body`` does to a conversation."""
        if not node.bodies:
            later = [self.inside(value, body) for _, value in self.made(node)]
            own = ONE if node.name == "agent.generate" else NONE
            return _sum([Inside(own), *later])
        if node.name in ARMS:
            ways = [self._arm(node, arm, chat, body) for arm in arms(node)]
            return _either(ways, at_once=node.name == "agent.race")
        return self._repeated(node, chat, body)

    def _arm(self, node: Node, arm: Body, chat: Any, body: Body) -> Inside:
        """One arm, and what follows behind the op if the conversation leaves through it."""
        within = self.inside(chat, arm)
        return _sum([Inside(within.turns), *(self.inside(node.op.results[k], body) for k in within.exits)])

    def _repeated(self, node: Node, chat: Any, body: Body) -> Inside:
        """A loop or map: what it takes in leaves as its result, what it captures is forked by each execution."""
        count, found = repeats(node), Inside()
        inner = node.bodies[-1]
        for position, operand in enumerate(node.op.operands):
            if operand == chat:  # a map takes each conversation of a list once, a loop the same one again and again
                is_map, turns = node.name == "agent.map", self._each_time(node, position)
                exits = self.inside(inner.arguments[position], inner).exits if is_map else [position]
                found = _sum([found, Inside(turns if is_map else turns.times(count))])
                found = _sum([found, *(self.inside(node.op.results[k], body) for k in exits)])
        for each in node.bodies:
            captured = self.inside(chat, each)
            found = _sum([found, Inside(captured.turns.times(count))])
            found = _sum([found, *(self.inside(node.op.results[k], body) for k in captured.exits if each is inner)])
        return found

    def _each_time(self, node: Node, position: int) -> Turns:
        """The turns of one iteration or item on what it is given there; a loop's condition may have some, too."""
        turns = NONE
        for each in node.bodies:
            turns += self.inside(each.arguments[position], each).turns
        return turns

    def _enter(self, body: Body) -> None:
        self.home.update((value, (body, -1)) for value in body.arguments)
        for index, node in enumerate(body.nodes):
            results = list(node.op.results)
            self.home.update(dict.fromkeys(results, (body, index)))
            self._made[id(node)] = [each for each in enumerate(results) if self.is_chat(each[1])]
            for region, inner in enumerate(arms(node) if node.name != "agent.arm" else ()):
                self.places[id(inner)] = Place(node, region, body, index)

    def _uses_in(self, body: Body) -> _Uses:
        uses = _Uses()
        for index, node in enumerate(body.nodes):
            for chat in dict.fromkeys(self._continued_by(node)):
                uses.nodes.setdefault(chat, []).append(index)
        if body.terminator is not None:
            for position, value in enumerate(body.terminator.operands):
                if self.is_chat(value):
                    uses.yielded.setdefault(value, []).append(position)
        return uses

    def _continued_by(self, node: Node) -> Iterator[Any]:
        op = node.op
        if node.name == "agent.generate":
            yield from operands(op)[1:2]
        elif node.bodies:
            yield from (value for value in op.operands if self.is_chat(value))
            for inner in arms(node):
                yield from (chat for chat in self.continued(inner) if self.home[chat][0] is not inner)
        elif node.name != "agent.prompt" and self.made(node):
            yield from (value for value in op.operands if self.is_chat(value))


def repeats(node: Node) -> Turns:
    """How often a loop or map executes its body: half its bound is expected of one that may end earlier."""
    if node.name == "agent.map":
        most = float(attr(node.op, "limit"))
        return Turns(0.0, most, most)
    most = float(attr(node.op, "max"))
    made_by = node.bodies[0].terminator.operands[0].owner
    if getattr(made_by, "name", "") == "agent.const" and attr(made_by, "value") == "false":
        return Turns(most, most, most)
    return Turns(0.0, max(most / 2, 1.0), most)


def arms(node: Node) -> list[Body]:
    """The bodies with ops in them: of a race those of its arms."""
    if node.name == "agent.race":
        return [arm.bodies[0] for arm in node.bodies[0].nodes]
    return node.bodies


def _sum(parts: list[Inside]) -> Inside:
    found = Inside()
    for each in parts:
        found = Inside(found.turns + each.turns, found.exits | each.exits)
    return found


def _either(ways: list[Inside], *, at_once: bool) -> Inside:
    """One of the arms; of a race, all of them, and one to its end."""
    turns = [each.turns for each in ways] or [NONE]
    least, most = min(each.least for each in turns), [each.most for each in turns]
    expected = sum(each.expected for each in turns) / (1 if at_once else len(turns))
    exits = frozenset(position for each in ways for position in each.exits)
    return Inside(Turns(least, expected, sum(most) if at_once else max(most)), exits)
