"""Which conversations several continue, under whatever names they do.

A conversation may be known by several names without a turn in between: as an item of a list, as an argument of a region
and as what leaves it. ``talks`` below is shared, so each ``t`` is, and so is the result of each first turn::

    talks = map_(lambda text: chat("s").say(text).chat, texts)
    left, right = map_(lambda t: t.say("left").reply, talks), map_(lambda t: t.say("right").reply, talks)

Tests: ``tests/passes/test_sharing.py``, and on random workflows
``tests/runtime/execution/model_calls/test_sessions_properties.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from orchestrator.ir.tokens import operands
from orchestrator.ir.walk import Body, Node, attr, bodies
from orchestrator.passes.kv.conversations import ARMS, Conversations, arms

_NO_NAMES: Final = frozenset(
    {"agent.generate", "agent.chat", "agent.prompt", "agent.const", "agent.ask", "agent.sleep"}
)
"""What gives no further name to the conversations that it takes."""

Names = dict[Any, list[Any]]
"""It has the further names of each conversation."""


class Sharing:
    """The shared conversations of one module.

    Names lead from a conversation to further ones: ``items`` to and from lists; ``regions`` into a loop and out of
    other regions; ``states`` to what a loop has or leaves after an iteration, or without any.
    """

    def __init__(self, root: Node, flow: Conversations) -> None:
        self._flow = flow
        items: Names = {}
        regions: Names = {}
        states: Names = {}
        handed_on: set[Any] = set()
        for body in bodies(root):
            for node in body.nodes:
                self._add_node(node, items, regions, states)
            self._add_exits(body, regions, states, handed_on)
        names = [items, regions, states]
        shared = {chat for body in bodies(root) for chat in flow.continued(body) if self.is_shared(chat)}
        self._items = _reached(shared, [items])
        self._sources = shared | _reached(shared, [_reversed(items), _reversed(regions)])
        others = {chat for chat in root.bodies[0].arguments if flow.is_chat(chat)}
        others |= {chat for body in bodies(root) for chat in self._samples(body)}
        # The turns of a loop do not know that its result is shared, so a loop on that may go on in the same session.
        unnoticed = shared & (handed_on | _reached(handed_on, names))
        self._elsewhere = others | _reached(shared | others, names) | _reached(unnoticed, [*names, self._turns(root)])

    def is_shared(self, chat: Any) -> bool:
        """Whether several continue it under this name, so that each starts from the same prefix. One without a turn
        yet has no prefix."""
        home, index = self._flow.home[chat]
        if index < 0:
            place = self._flow.places.get(id(home))
            is_judged = place is not None and place.node.name == "agent.loop" and place.region == 0
            return self._several(chat, home) or (is_judged and self._outlives(chat, home))
        made_by = home.nodes[index]
        return made_by.name != "agent.chat" and not self._gives_each_once(made_by, chat) and self._several(chat, home)

    def forks(self, chat: Any) -> bool:
        """Whether a turn on it has to open a session of its own."""
        return chat in self._items or self.is_shared(chat)

    def splits(self, chat: Any) -> bool:
        """Whether it is shared, or becomes so under another name, so that all turns on it open sessions of their own.
        Not by what a loop hands on: only what its last iteration leaves is shared, and the others go on."""
        return chat in self._sources

    def is_owned(self, chat: Any) -> bool:
        """Whether only those continue it who know it by this name: no other name of it is shared, and it is neither
        the caller's, nor one of several samples, which are one session, nor in a session that may have been shared
        without having been told so, because a loop has handed it on."""
        return chat not in self._elsewhere

    def _samples(self, body: Body) -> Iterator[Any]:
        """The conversations after several samples, but where one of them is picked and nothing else needs them."""
        for node in body.nodes:
            if node.name == "agent.generate" and attr(node.op, "samples") > 1:
                chats = node.op.results[1]
                users = self._flow.users(chats, body)
                if len(users) != 1 or self._flow.leaves(chats, body) or not _is_pick(body.nodes[users[0]]):
                    yield chats

    def _gives_each_once(self, made_by: Node, chats: Any) -> bool:
        """Whether a list of separate conversations is only taken apart, and none of them twice."""
        body, _ = self._flow.home[chats]
        nodes = [body.nodes[index] for index in self._flow.users(chats, body)]
        is_list = made_by.name == "agent.map" or attr(made_by.op, "callee") == "builtin.list"
        if not is_list or self._flow.leaves(chats, body) or not all(node.name == "agent.field" for node in nodes):
            return False
        paths = [str(attr(node.op, "path")) for node in nodes]
        return len(set(paths)) == len(paths) and all(map(str.isdigit, paths))

    def _outlives(self, chat: Any, cond: Body) -> bool:
        """Whether what the condition of a loop continues goes on in the loop's body or behind it."""
        if not self._flow.users(chat, cond):
            return False
        place, position = self._flow.places[id(cond)], cond.arguments.index(chat)
        inner, result = place.node.bodies[1], place.node.op.results[position]
        return self._flow.continues(inner.arguments[position], inner) or self._flow.continues(result, place.around)

    def _several(self, chat: Any, body: Body) -> bool:
        users = self._flow.users(chat, body)
        if len(users) + len(self._flow.leaves(chat, body)) > 1:
            return True
        return bool(users) and self._node_forks(body.nodes[users[0]], chat)

    def _node_forks(self, node: Node, chat: Any) -> bool:
        """Whether one op continues it more than once."""
        if list(node.op.operands).count(chat) > 1:
            return True
        if node.name in ARMS:
            may_all = node.name in ("agent.race", "agent.attempt")  # at once, or one after the other
            all_do = may_all and sum(self._flow.continues(chat, arm) for arm in arms(node)) > 1
            return all_do or any(self._several(chat, arm) for arm in arms(node))
        return any(self._flow.continues(chat, inner) for inner in node.bodies)

    def _add_node(self, node: Node, items: Names, regions: Names, states: Names) -> None:
        if node.name in _NO_NAMES:
            return
        taken = [(position, value) for position, value in enumerate(node.op.operands) if self._flow.is_chat(value)]
        if node.name == "agent.map":
            for position, value in taken:
                items.setdefault(value, []).append(node.bodies[0].arguments[position])
        elif node.name == "agent.loop":
            for position, value in taken:
                cond, inner = node.bodies
                regions.setdefault(value, []).append(inner.arguments[position])
                states.setdefault(value, []).extend((cond.arguments[position], node.op.results[position]))
        elif not node.bodies:
            for _, value in taken:
                items.setdefault(value, []).extend(each for each in node.op.results if self._flow.is_chat(each))

    def _turns(self, root: Node) -> Names:
        """By conversation, the ones after a turn in the same session."""
        found: Names = {}
        for body in bodies(root):
            for node in body.nodes:
                before = operands(node.op)[1:] if node.name == "agent.generate" else []
                if before and not self.forks(before[0]):
                    found.setdefault(before[0], []).append(node.op.results[1])
        return found

    def _add_exits(self, body: Body, regions: Names, states: Names, handed_on: set[Any]) -> None:
        place = self._flow.places.get(id(body))
        if place is None or body.terminator is None:
            return
        is_loop = place.node.name == "agent.loop"
        for position, value in enumerate(body.terminator.operands):
            if not self._flow.is_chat(value):
                continue
            names = [place.node.op.results[position]]
            if is_loop:
                names += [each.arguments[position] for each in place.node.bodies]
                handed_on.update(names)
            (states if is_loop else regions).setdefault(value, []).extend(names)


def _is_pick(node: Node) -> bool:
    """Whether it takes one item out of a list."""
    return node.name == "agent.field" or attr(node.op, "callee") == "builtin.getitem"


def _reached(start: Iterable[Any], names: Iterable[Mapping[Any, list[Any]]]) -> set[Any]:
    """The further names of conversations; their own only if they are further names of each other."""
    found: set[Any] = set()
    todo = list(start)
    while todo:
        value = todo.pop()
        new = {other for each in names for other in each.get(value, ())} - found
        found |= new
        todo += new
    return found


def _reversed(names: Names) -> Names:
    found: Names = {}
    for value, further in names.items():
        for other in further:
            found.setdefault(other, []).append(value)
    return found
