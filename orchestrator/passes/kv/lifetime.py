"""KV lifetime: tell the engine which cache comes back and when, which never will, and which will be needed soon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from orchestrator.ir.tokens import operands, results
from orchestrator.ir.walk import Body, Node, attr, bodies, op_id, type_string
from orchestrator.passes.kv.conversations import ARMS, Conversations, arms
from orchestrator.passes.kv.prefetch import prefetch
from orchestrator.passes.kv.sharing import Sharing
from orchestrator.passes.kv.waits import (
    LONGEST_TTL_S,
    NextTurn,
    Step,
    Wait,
    is_declared,
    key,
    needs_human,
    quickest_s,
    resolutions,
    seconds,
)
from orchestrator.passes.rewrite import Additions, editing, note

LEAST_TURNS_LEFT: Final = 0.01
"""A conversation that may go on has so many at least; 0 says that it does not."""
AT_ONCE_S: Final = 0.01
"""Between a turn and the next where nothing runs in between."""
_EXPRESSIONS: Final = frozenset({"agent.const", "agent.prompt", "agent.field"})


@dataclass(frozen=True)
class KvLifetime:
    """Pin a conversation that is continued, release one that is over, supersede what others have taken the place of,
    and prefetch what waits for a tool.

    Before::

        %r, %c1 = "agent.generate"(%p, %c0) {id = "llm_1", …}
        %rows   = "agent.tool"(%r) {callee = "run_sql", opts = {typical_s = 0.5}, …}
        %a, %c2 = "agent.generate"(%rows, %c1) {id = "llm_2", …}

    After::

        %r, %c1 = "agent.generate"(%p, %c0) {id = "llm_1", …}
        "op.kv_pin"(%c1) {id = "llm_1.pin", ttl_s = 300.0, opts = {tool = "run_sql", turns_left = 1.0, typical_s = 0.5}}
        %rows   = "agent.tool"(%r) …
        %a, %c2 = "agent.generate"(%rows, %c1) {id = "llm_2", opts = {turns_left = 0.0}, …}
        "op.kv_release"(%c2) {id = "llm_2.release"}

    - **pin**: after each turn whose conversation has another one, wherever that is: behind a branch, in the next
      iteration, in each of several forks (``shared``: their common prefix is pinned once, and each is a session of its
      own). ``tool`` is the key of the wait (:mod:`orchestrator.passes.kv.waits`), ``ttl_s`` an upper bound. It is 0 for
      waits that no cache should sit out: those for a human, and those that take longer than any pin lasts.
    - **extend**: in front of a tool that makes the wait better known than it was when the turn began: the arm of a
      branch says which tool it is, its arguments have the features that the user named. Of a human: forget it.
    - **release**: a conversation that nothing continues. An arm that does not continue what another one does releases
      it.
    - **fork**: noted at a turn on a conversation that others continue, too, so that it opens a session of its own.
    - **supersede**: a shared prefix behind the last of its forks, the conversations left over when one of a list is
      picked, the ones that a race's losers leave behind, and one that a new conversation is a summary of.
    - **prefetch**: see :mod:`orchestrator.passes.kv.prefetch`.

    Hints never change results. They follow the data, so a tool whose result the next turn does not need is no part of
    its wait. What is returned from the workflow is left to the engine's LRU.
    """

    name: ClassVar[str] = "kv-lifetime"

    def run(self, root: Node) -> None:
        """Rewrite the workflow in place."""
        with editing(root):
            hints = Additions()
            for body in bodies(root):
                prefetch(body, hints)
            marking = _Marking(root, hints)
            for body in bodies(root):
                marking.mark(body)
            hints.enter(root)


class _Marking:
    """One run of the pass over one module."""

    def __init__(self, root: Node, hints: Additions) -> None:
        self._hints = hints
        self._flow = Conversations(root)
        self._sharing = Sharing(root, self._flow)
        self._next = NextTurn(self._flow)
        self._late: dict[int, set[Any]] = {}
        self._summaries: dict[int, set[Any]] = {}
        self._extended: set[str] = set()

    def mark(self, body: Body) -> None:
        """Insert the hints about the conversations of one body."""
        followers = [*(node.op for node in body.nodes[1:]), body.terminator]
        for index, node in enumerate(body.nodes):
            follower = followers[index]
            if follower is None or node.name == "agent.arm":
                continue
            if node.name == "agent.generate":
                self._turn(node.op, body, follower)
            elif node.bodies:
                self._structure(node, body, follower)
            elif self._flow.made(node):
                self._picked(node.op, index, body, follower)
            for position, chat in self._flow.made(node):
                kind = "supersede" if node.name == "agent.generate" else f"supersede.{position}"
                self._supersede_shared(node.op, kind, chat, body)
        place = self._flow.places.get(id(body))
        if place is not None and body is place.node.bodies[-1]:
            for position, chat in enumerate(body.arguments):
                self._supersede_shared(place.node.op, f"supersede.each.{position}", chat, body)

    def _turn(self, op: Any, body: Body, follower: Any) -> None:
        after = op.results[1]
        before = operands(op)[1:]
        if before and self._sharing.forks(before[0]):
            note(op, {"fork": True})
        turns = self._flow.ahead(after, body)
        if turns is None:
            return
        if turns.most > 0:
            self._pin(op, body, follower, self._next.wait(after, body) or (), turns.expected)
            return
        if not self._sharing.is_owned(after):
            note(op, {"turns_left": LEAST_TURNS_LEFT})
            return
        note(op, {"turns_left": 0.0})
        if not before or self._flow.continues(after, body):
            return
        if op.results[0] in self._summaries_in(body):
            self._hint(op, "supersede", [after], follower, opts={"over": 1})
        else:
            self._hint(op, "release", [after], follower)

    def _pin(self, op: Any, body: Body, follower: Any, wait: Wait, turns_left: float) -> None:
        chat = op.results[1]
        known: dict[str, object] = {"turns_left": max(float(turns_left), LEAST_TURNS_LEFT)}
        if name := key(wait):
            known["tool"] = name
        if is_declared(wait):
            known["typical_s"] = seconds(wait) if wait else AT_ONCE_S
        if self._sharing.splits(chat) or attr(op, "samples") > 1:
            known["shared"] = True
        ttl_s = LONGEST_TTL_S
        if needs_human(wait):
            ttl_s, known["because"] = 0.0, "waits for a human"
        elif quickest_s(wait) > LONGEST_TTL_S:
            ttl_s, known["because"] = 0.0, "waits for longer than a pin lasts"
        values, features = self._early_features(wait, op)
        if features:
            known["features"] = features
        self._hint(op, "pin", [chat, *values], follower, ttl_s=ttl_s, opts=known)
        self._extend(op, wait, has_features=bool(features))

    def _extend(self, op: Any, wait: Wait, *, has_features: bool) -> None:
        """In front of each tool that makes the wait better known."""
        pinned = key(wait)
        for step, resolved in resolutions(wait):
            human = needs_human(resolved)
            features = _features(step)
            news = key(resolved) != pinned or (features and not has_features) or (human and not needs_human(wait))
            name = f"{op_id(op)}.extend.{op_id(step.op)}"
            if not news or name in self._extended or not self._is_before(op, step.op):
                continue
            self._extended.add(name)
            known: dict[str, object] = {"tool": key(resolved), "before": op_id(step.op)}
            if is_declared(resolved):
                known["typical_s"] = seconds(resolved)
            if features:
                known["features"] = [each for each, _ in features]
            ttl_s = 0.0 if human or quickest_s(resolved) > LONGEST_TTL_S else LONGEST_TTL_S
            given = {"id": name, "ttl_s": ttl_s, "opts": known, "place": "", "resources": {}}
            values = [op.results[1], *(value for _, value in features)]
            self._hints.before(step.op, "op.kv_extend", values, [], given)

    def _hint(self, op: Any, kind: str, values: list[Any], at: Any, **attrs: object) -> None:
        given = {"id": f"{op_id(op)}.{kind}", "opts": {}, "place": "", "resources": {}, **attrs}
        self._hints.before(op, f"op.kv_{kind.partition('.')[0]}", values, [], given, at=at)

    def _is_before(self, op: Any, later: Any) -> bool:
        """Whether ``later`` always finds the results of ``op``: it comes behind it, or inside of what does."""
        body, index = self._flow.home[op.results[0]]
        at = self._flow.position(later, body)
        return at is not None and at > index

    def _early_features(self, wait: Wait, op: Any) -> tuple[list[Any], list[str]]:
        """Features whose values are known before the turn begins, so that the pin can carry them."""
        found = [(step, *pair) for step in wait if isinstance(step, Step) for pair in _features(step)]
        if not found or not all(self._is_early(value, step, op) for step, _, value in found):
            return [], []
        return [value for _, _, value in found], [name for _, name, _ in found]

    def _is_early(self, value: Any, step: Step, op: Any) -> bool:
        """Whether the turn ``op`` has a value that ``step`` reads without waiting for it: it is defined in front of
        the turn, or of the region op that the turn is in, by something that does not wait, or this region op reads it
        in any case."""
        home, index = self._flow.home[value]
        turn, reads = self._flow.position(op, home), self._flow.position(step.op, home)
        if turn is None or reads is None or not index < turn <= reads:  # a step in front is one of the next iteration
            return False
        return turn == reads or value not in self._late_in(home)

    def _late_in(self, body: Body) -> set[Any]:
        """Values of a body that something in it has to be waited for."""
        late = self._late.get(id(body))
        if late is None:
            late = self._late[id(body)] = set()
            for node in body.nodes:
                computed = node.name in _EXPRESSIONS or str(attr(node.op, "callee", "")).startswith("builtin.")
                if not computed or not late.isdisjoint(node.op.operands):
                    late.update(node.op.results)
        return late

    def _summaries_in(self, body: Body) -> set[Any]:
        """Values of a body that the system prompt of a conversation opened in it is made of."""
        told = self._summaries.get(id(body))
        if told is None:
            told = self._summaries[id(body)] = set()
            for node in reversed(body.nodes):
                if node.name == "agent.chat" or (node.name in _EXPRESSIONS and not told.isdisjoint(node.op.results)):
                    told.update(node.op.operands)
        return told

    def _supersede_shared(self, op: Any, kind: str, chat: Any, body: Body) -> None:
        """Behind the last fork of a shared prefix: what its forks have become has sessions of its own."""
        users = self._flow.users(chat, body)
        if not users or self._flow.leaves(chat, body) or not self._is_forked(chat, body.nodes[users[0]]):
            return
        made = [results(body.nodes[index].op) for index in users]
        kept = [value for values in made for value in values]
        at = body.nodes[users[-1] + 1].op if users[-1] + 1 < len(body.nodes) else body.terminator
        if at is not None and all(made) and not any(map(_is_nested, [chat, *kept])):
            self._hint(op, kind, [chat, *kept], at, opts={"over": 1})

    def _is_forked(self, chat: Any, user: Node) -> bool:
        """Whether each turn on it opens a session of its own; in an arm also because its result is shared."""
        in_arms = user.name in ARMS
        shared = self._sharing.is_shared(chat) or (in_arms and self._sharing.splits(chat))
        return shared and self._sharing.is_owned(chat)

    def _structure(self, node: Node, body: Body, follower: Any) -> None:
        """What ends with a region op: results that nobody continues, and what only one of its arms goes on with."""
        op = node.op
        if node.name == "agent.loop":
            for position, end in enumerate(op.results):
                if self._flow.is_chat(end) and not self._flow.continues(end, body) and self._sharing.is_owned(end):
                    self._hint(op, f"release.{position}", [end], follower)
        elif node.name == "agent.race":
            if len(arms(node)) > 1 and any(map(_has_turn, arms(node))) and results(op):
                self._hint(op, "supersede", results(op), follower, opts={"over": 0, "scope": op_id(op)})
        elif node.name in ("agent.branch", "agent.switch"):
            self._other_arms(node, body)

    def _other_arms(self, node: Node, body: Body) -> None:
        """In an arm that does not continue a conversation which another one does, and nothing behind it: it is over
        there."""
        for number, arm in enumerate(node.bodies):
            captured = dict.fromkeys(chat for other in node.bodies for chat in self._captured(other, body))
            chats = [chat for chat in captured if not self._flow.continues(chat, arm)]
            for chat in chats:
                if len(self._flow.users(chat, body)) == 1 and not self._flow.leaves(chat, body):
                    first = arm.nodes[0].op if arm.nodes else arm.terminator
                    side = str(number) if node.name == "agent.switch" else "otherwise" if number else "then"
                    which = "" if len(chats) == 1 else f".{chats.index(chat)}"
                    self._hint(node.op, f"release.{side}{which}", [chat], first)

    def _captured(self, arm: Body, body: Body) -> Iterator[Any]:
        """Conversations of ``body`` itself that an arm in it continues; those without a turn yet have no cache."""
        for chat in self._flow.continued(arm):
            home, index = self._flow.home[chat]
            opened = index >= 0 and home.nodes[index].name == "agent.chat"
            if home is body and not opened and self._sharing.is_owned(chat):
                yield chat

    def _picked(self, op: Any, index: int, body: Body, follower: Any) -> None:
        """One conversation picked out of a list that nothing else needs: the others are over."""
        picks = op.name == "agent.field" or attr(op, "callee", "") == "builtin.getitem"
        if not picks or not self._flow.is_chat(op.operands[0]):
            return
        many = op.operands[0]
        alone = self._flow.users(many, body) == [index] and not self._flow.leaves(many, body)
        if alone and self._flow.home[many][0] is body and self._sharing.is_owned(many):
            self._hint(op, "supersede", [many, op.results[0]], follower, opts={"over": 1})


def _features(step: Step) -> list[tuple[str, Any]]:
    """Names and values of the arguments of a call that the user named as telling how long it takes."""
    if not step.features:
        return []
    values = dict(zip(attr(step.op, "params", ()), operands(step.op), strict=True))
    return [(name, values[name]) for name in step.features if name in values]


def _has_turn(body: Body) -> bool:
    return any(node.name == "agent.generate" or any(map(_has_turn, node.bodies)) for node in body.nodes)


def _is_nested(value: Any) -> bool:
    """Whether it holds conversations deeper than in a list, where the runtime does not look for them."""
    return "Chat" in (text := type_string(value)) and text not in ("Chat", "list[Chat]")
