"""Where an op stands in a run: by the names that a program gives its ops, and by the keys that a journal knows them by.

A path is a frame and an op: ``turns[3]/branch_1.then/reply_2`` is ``loop[3]/branch.then/9f3c01ab~2`` in a journal.
Turns, items, attempts and arms are the same in both. A journal is read by the program of another day, so what its ops
are called now is no part of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from weakref import WeakKeyDictionary, ref

from orchestrator.runtime.program.program import Op, Program, Region

MOST_REMEMBERED: Final = 4096
_NUMBERS: Final = re.compile(r"#\d+(?=[\[./])|\[\d+\](?=/)")


_of: Final[WeakKeyDictionary[Region, Paths]] = WeakKeyDictionary()


def paths_of(program: Program) -> Paths:
    """The paths of a program, the same as long as it is there."""
    known = _of.get(program.body)
    if known is None:
        known = _of[program.body] = Paths(program.body)
    return known


class UnknownPathError(LookupError):
    """The program has no such op: it is another version than the one that wrote the path."""


class _Names:
    """The regions of a program by what their parts are called."""

    def __init__(self, by_key: bool) -> None:
        self._by_key = by_key
        self._inner: dict[str, dict[str, tuple[Op, Region]]] = {}
        self._ops: dict[str, dict[str, Op]] = {}

    def inner(self, region: Region) -> Mapping[str, tuple[Op, Region]]:
        """The regions inside a region, by the part of a frame that leads there, without numbers."""
        known = self._inner.get(region.key)
        if known is None:
            known = self._inner[region.key] = {
                f"{self._name(op)}.{body.name}/" if body.name else f"{self._name(op)}/": (op, body.region)
                for op in region.ops()
                for body in op.bodies
            }
        return known

    def op(self, region: Region, name: str) -> Op | None:
        """The op of a region that is called so."""
        known = self._ops.get(region.key)
        if known is None:
            known = self._ops[region.key] = {self._name(op): op for op in region.ops()}
        return known.get(name)

    def _name(self, op: Op) -> str:
        return op.key if self._by_key else op.id


class Paths:
    """The paths of one program, whose body is given."""

    def __init__(self, body: Region) -> None:
        self._whole = ref(body)
        self._by_id, self._by_key = _Names(by_key=False), _Names(by_key=True)
        self._frames_by_id: dict[str, tuple[str, Region]] = {}
        self._frames_by_key: dict[str, tuple[str, Region]] = {}

    @property
    def _body(self) -> Region:
        body = self._whole()
        assert body is not None, "the program is there as long as somebody asks for its paths"
        return body

    def written(self, frame: str, op: str) -> str:
        """The path in a journal of an op, by its frame and id.

        What follows a tool's name and a point is a path in a run that the tool has begun, and stays as it is.
        """
        path, region = self.frame(frame)
        found = self._by_id.op(region, op)
        if found is not None:
            return path + found.key
        end = len(op)
        while (end := op.rfind(".", 0, end)) > 0:  # a tool's name may have points, too
            found = self._by_id.op(region, op[:end])
            if found is not None:
                return f"{path}{found.key}{op[end:]}"
        raise UnknownPathError(frame + op)

    def op(self, frame: str, op: str) -> Op:
        """The op with this id in a frame. Raises :class:`UnknownPathError`."""
        found = self._by_id.op(self.frame(frame)[1], op)
        if found is None:
            raise UnknownPathError(frame + op)
        return found

    def read(self, path: str) -> tuple[str, str]:
        """The frame and the id of an op, by its path in a journal. Raises :class:`UnknownPathError`."""
        frame, region, rest = "", self._body, path
        while (cut := rest.find("/") + 1) and _NUMBERS.sub("", rest[:cut]) in self._by_key.inner(region):
            frame += rest[:cut]
            rest = rest[cut:]
            region = self.frame(frame, by_key=True)[1]
        name, point, within = rest.partition(".")
        op = self._by_key.op(region, name)
        if op is None:
            raise UnknownPathError(path)
        return self.frame(frame, by_key=True)[0], f"{op.id}{point}{within}"

    def frame(self, frame: str, *, by_key: bool = False) -> tuple[str, Region]:
        """A frame in the other of the two forms, and the region that it executes. Raises :class:`UnknownPathError`."""
        if not frame:
            return "", self._body
        known = (self._frames_by_key if by_key else self._frames_by_id).get(frame)
        return self._found(frame, by_key=by_key) if known is None else known

    def _found(self, frame: str, *, by_key: bool) -> tuple[str, Region]:
        cut = frame.rfind("/", 0, -1) + 1
        path, region = self.frame(frame[:cut], by_key=by_key)
        part = frame[cut:]
        source, frames = (self._by_key, self._frames_by_key) if by_key else (self._by_id, self._frames_by_id)
        inner = source.inner(region).get(_NUMBERS.sub("", part))
        if inner is None:
            raise UnknownPathError(frame)
        op, into = inner
        old, new = (op.key, op.id) if by_key else (op.id, op.key)
        if len(frames) >= MOST_REMEMBERED:
            frames.clear()
        made = frames[frame] = path + new + part[len(old) :], into
        return made
