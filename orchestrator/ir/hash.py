"""Content hashes of ops: equal for equal definitions in every process, whatever the ops are called.

An op's hash covers its name, its attributes except those that do not change what it computes (id, place, resources),
the hashes of what produces its operands, and its regions. A block argument counts as its position and nesting depth.
A tool's ``opts.code`` carries the hash of its function, so editing a tool changes all that depends on it. Linear.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

from orchestrator.ir.walk import Body, Node, op_id, tree

_NOT_CONTENT: Final = frozenset({"id", "place", "resources"})


def module_hash(module: Any) -> str:
    """16 hex digits for the whole workflow."""
    return _Hasher().node(tree(module), 0)


def op_hashes(module: Any) -> dict[str, str]:
    """16 hex digits for each op, by id."""
    hasher = _Hasher()
    hasher.node(tree(module), 0)
    return hasher.by_id


class _Hasher:
    def __init__(self) -> None:
        self.by_id: dict[str, str] = {}
        self._values: dict[Any, bytes] = {}
        self._texts: dict[Any, bytes] = {}
        self._attributes: dict[tuple[str, Any], bytes] = {}

    def node(self, node: Node, depth: int) -> str:
        op = node.op
        content = [_framed(node.name)]
        content += [self._attribute(*each) for each in op.attributes.items() if each[0] not in _NOT_CONTENT]
        content += [self._values[value] for value in op.operands]
        content += [self._text(value.type) for value in op.results]
        content += [_framed(self._body(body, depth + 1, index)) for index, body in enumerate(node.bodies)]
        digest = _digest(content)
        self.by_id[op_id(op)] = digest
        for index, value in enumerate(op.results):
            self._values[value] = _framed(f"{digest}.{index}")
        return digest

    def _body(self, body: Body, depth: int, region: int) -> str:
        for index, value in enumerate(body.arguments):
            self._values[value] = _framed(f"argument {depth} {region} {index} {value.type}")
        content = [_framed(f"{len(body.arguments)} arguments")]
        content += [_framed(self.node(node, depth)) for node in body.nodes]
        if body.terminator is not None:
            content += [self._values[value] for value in body.terminator.operands]
        return _digest(content)

    def _text(self, part: Any) -> bytes:
        """The text of a type; most are shared by many ops."""
        known = self._texts.get(part)
        if known is None:
            known = self._texts[part] = _framed(str(part))
        return known

    def _attribute(self, name: str, value: Any) -> bytes:
        known = self._attributes.get((name, value))
        if known is None:
            known = self._attributes[name, value] = _framed(f"{name}={value}")
        return known


def _framed(text: str) -> bytes:
    """A text with its length in front, so that what follows it cannot be taken for a part of it."""
    data = text.encode()
    return len(data).to_bytes(8, "little") + data


def _digest(parts: list[bytes]) -> str:
    return blake2b(b"".join(parts), digest_size=8).hexdigest()
