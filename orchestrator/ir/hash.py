"""Content hashes of ops: equal for equal meaning in every process, whatever the ops are called.

An op's hash covers its name, the attributes that say what it computes, the hashes of what produces its operands, and
its regions. Not part of it are names, places, and what only says how an op is run: retries, timeouts, budgets,
concurrency and hints (:data:`NOT_MEANING`). A tool's ``opts.code`` carries the hash of its function, so editing a tool
changes all that depends on it. A block argument counts as its position and nesting depth. Moves between pools count
for nothing. Linear.

The order of ops counts only where it is one of effects: within a region, of those with a token. The tokens themselves
do not count, so that an op keeps its hash whatever stands before it; the hash of the module tells who waits for whom.
"""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import Any, Final

from orchestrator.ir.dialect import MOVES
from orchestrator.ir.effects import has_effects
from orchestrator.ir.tokens import DONE, TOKEN
from orchestrator.ir.walk import Body, Node, entries, op_id, tree

_NAMES: Final = frozenset({"id", "sym_name"})
NOT_MEANING: Final = frozenset(
    {"retry", "timeout_s", "budget_usd", "budget_tokens", "budget_seconds", "slo", "concurrency", "typical_s"}
    | {"pause_features", "cheap", "is_async", "isolation", "memory_bytes", "place", "resources"}
    | {"prefix_group", "static_prefix_chars", "fork", "defaults", "undeclared"}
)
"""Attributes and options that say how an op is run, and not what it gives."""


def module_hash(module: Any) -> str:
    """16 hex digits for the whole workflow."""
    hasher = _Hasher()
    content = hasher.node(tree(module), 0)
    return _digest([_framed(content), *map(_framed, hasher.order)]) if hasher.order else content


def op_hashes(module: Any) -> dict[str, str]:
    """16 hex digits for each op, by id."""
    hasher = _Hasher()
    hasher.node(tree(module), 0)
    return hasher.by_id


class _Hasher:
    def __init__(self) -> None:
        self.by_id: dict[str, str] = {}
        self.order: list[str] = []
        """Who waits for whom for the sake of order, by the numbers of their tokens."""
        self._tokens: dict[Any, int] = {}
        self._values: dict[Any, bytes] = {}
        self._types: dict[Any, bytes] = {}
        self._attributes: dict[tuple[str, Any], bytes] = {}

    def node(self, node: Node, depth: int) -> str:
        """The hash of an op, before it is known which of several equal ones it is."""
        op = node.op
        content = [_framed(node.name)]
        content += [self._attribute(*each) for each in op.attributes.items()]
        content += [self._values.get(value, b"") for value in op.operands]
        content += [self._type(value.type) for value in op.results]
        content += [_framed(self._body(body, depth + 1, index)) for index, body in enumerate(node.bodies)]
        digest = self.by_id[op_id(op)] = _digest(content)
        return digest

    def _body(self, body: Body, depth: int, region: int) -> str:
        for index, value in enumerate(body.arguments):
            self._values[value] = _framed(f"argument {depth} {region} {index} {value.type}")
        ordered: list[str] = []
        free: list[str] = []
        met: Counter[str] = Counter()
        for node in body.nodes:
            if node.name in MOVES:
                given = [self._values[value] for value in node.op.operands]
                self._values.update(zip(node.op.results, given, strict=True))
                continue
            digest = self.node(node, depth)
            values = [value for value in node.op.results if self._type(value.type)]
            gives_token = len(values) < len(node.op.results)
            self._note_order(node, digest, gives_token=gives_token)
            if node.name == DONE:
                continue
            (ordered if gives_token else free).append(digest)
            is_drawn = bool(values) and (bool(node.bodies) or has_effects(node))
            which = f"{depth} {met[digest]}" if is_drawn else ""  # two equal calls of a model give two replies
            met[digest] += is_drawn
            self._values.update((value, _framed(f"{digest} {which} {index}")) for index, value in enumerate(values))
        content = [_framed(f"{len(body.arguments)} arguments, {len(ordered)} in order"), *map(_framed, ordered)]
        content += map(_framed, sorted(free))
        if body.terminator is not None:
            content += [self._values[value] for value in body.terminator.operands]
        return _digest(content)

    def _note_order(self, node: Node, digest: str, *, gives_token: bool) -> None:
        waiting = digest
        if gives_token:
            waiting = str(self._tokens.setdefault(list(node.op.results)[-1], len(self._tokens)))
        for value in node.op.operands if self._tokens else ():
            if value in self._tokens:
                self.order.append(f"{waiting} waits for {self._tokens[value]}")
            elif node.name == DONE:
                self.order.append(f"{waiting} is made of {self._values[value]!r}")

    def _type(self, part: Any) -> bytes:
        """The text of a type, empty for a token; most are shared by many ops."""
        known = self._types.get(part)
        if known is None:
            text = str(part)
            known = self._types[part] = b"" if text == TOKEN else _framed(text)
        return known

    def _attribute(self, name: str, value: Any) -> bytes:
        known = self._attributes.get((name, value))
        if known is None:
            known = self._attributes[name, value] = _meaning(name, value)
        return known


def _meaning(name: str, value: Any) -> bytes:
    """What an attribute says of what its op computes."""
    if name in _NAMES or name in NOT_MEANING:
        return b""
    if name != "opts":
        return _framed(f"{name}={value}")
    options = sorted(entries(value).items())
    return _framed("".join(f"{option}={each};" for option, each in options if option not in NOT_MEANING))


def _framed(text: str) -> bytes:
    """A text with its length in front, so that what follows it cannot be taken for a part of it."""
    data = text.encode()
    return len(data).to_bytes(8, "little") + data


def _digest(parts: list[bytes]) -> str:
    return blake2b(b"".join(parts), digest_size=8).hexdigest()
