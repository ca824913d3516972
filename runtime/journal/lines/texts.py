"""Where the ops of a program stand in a log, and the texts of values by the types that it gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from orchestrator.runtime.journal.artifacts.apart import Apart, value_of
from orchestrator.runtime.journal.lines.chats import Chats
from orchestrator.runtime.journal.lines.line import WROTE, Line, dumps, made
from orchestrator.runtime.journal.lines.paths import UnknownPathError, paths_of
from orchestrator.runtime.journal.lines.stored import Types, decode, types_of
from orchestrator.runtime.program.kept import has_written
from orchestrator.runtime.program.program import Op, Program, Region


class Gives(NamedTuple):
    """How what an op gives is written, wherever it is executed."""

    key: str
    kind: str
    types: tuple[Types, ...]


_gives: Final[WeakKeyDictionary[Region, dict[tuple[str, str], Gives]]] = WeakKeyDictionary()
"""It has, by the body of a program, the key of a region and the id of an op, how that is written in every run."""


class Texts:
    """See the module's docstring; for one run."""

    def __init__(self, program: Program, chats: Chats, apart: Apart | None = None) -> None:
        self._program = program
        self._paths = paths_of(program)
        self._chats = chats
        self.apart = apart
        """Where large values go; None where they stay."""
        self._gives = _gives.setdefault(program.body, {})

    def line(self, kind: str, event: Any, *parts: str) -> Line:
        """A line about an op."""
        path = self._paths.written(event.frame, event.op)
        return made(kind, event.at, path, *parts)

    def place(self, frame: str, op: str) -> tuple[str, Gives]:
        """The path of the op with this id in a frame, and how what it gives is written."""
        path, region = self._paths.frame(frame)
        gives = self._gives.get((region.key, op))
        if gives is None:
            found = self._paths.op(frame, op)
            types = tuple(map(types_of, region.types[found.first : found.first + max(found.count, 1)]))
            gives = Gives(found.key, WROTE if has_written(found) else "done", types)
            self._gives[region.key, op] = gives
        return path + gives.key, gives

    def gave(self, types: Sequence[Types], values: Sequence[object]) -> str:
        """What an op gave, as text; large values go elsewhere."""
        return self._texts(types, values, self.apart)

    def said(self, data: Any) -> str:
        """What somebody or something has said, as text; elsewhere if it is large."""
        text = dumps(data)
        return text if self.apart is None else self.apart.written(text)

    def said_again(self, data: Any) -> Any:
        """What was said."""
        return value_of(data, "what was said of a failure", self.apart)

    def begins_once(self, frame: str, op: str) -> bool:
        """Whether what has this id in a frame must begin at most once, as a run does that a tool begins."""
        try:
            return self._paths.op(frame, op).is_once
        except UnknownPathError:
            return True

    def op(self, frame: str, op: str) -> Op:
        """The op with this id in a frame."""
        return self._paths.op(frame, op)

    def values(self, op: Op, frame: str, values: Sequence[object]) -> str:
        """What an op gave, as text; large values go elsewhere."""
        return self._texts(list(map(types_of, self._types(op, frame, values))), values, self.apart)

    def handed_on(self, op: Op, frame: str, values: Sequence[object]) -> str:
        """What a turn of a loop hands on, as text."""
        return self._texts(list(map(types_of, self._types(op, frame, values))), values)

    def values_again(self, op: Op, frame: str, data: Sequence[Any]) -> tuple[object, ...]:
        """What an op gave."""
        return self._again(self._types(op, frame, data), data, f"what `{frame}{op.id}` gave")

    def inputs(self, values: Sequence[object]) -> str:
        """What a workflow is given, as text."""
        return self._texts(list(map(types_of, self._program.body.types[: len(values)])), values, self.apart)

    def inputs_again(self, data: Sequence[Any]) -> tuple[object, ...]:
        """What a workflow is given."""
        return self._again(self._program.body.types[: len(data)], data)

    def yielded(self, frame: str, values: Sequence[object]) -> str:
        """What a region gave, as text."""
        region = self._paths.frame(frame)[1]
        return self._texts([types_of(region.types[slot]) for slot in region.yields], values, self.apart)

    def yielded_again(self, frame: str, data: Sequence[Any]) -> tuple[object, ...]:
        """What a region gave."""
        region = self._paths.frame(frame)[1]
        return self._again([region.types[slot] for slot in region.yields], data, f"what `{frame}` gave")

    def result(self, value: object) -> str:
        """What the workflow gave, as text."""
        return self._texts([types_of(self._program.returns)], [value], self.apart)[1:-1]

    def result_again(self, data: Any) -> object:
        """What the workflow gave."""
        return self._again([self._program.returns], [data], f"what `{self._program.name}` gave")[0]

    def path(self, frame: str) -> str:
        """The path of a frame."""
        return self._paths.frame(frame)[0]

    def frame(self, path: str) -> str:
        """The frame of a path."""
        return self._paths.frame(path, by_key=True)[0]

    def named(self, path: str) -> tuple[str, str]:
        """The frame and the id of an op's path."""
        return self._paths.read(path)

    def _types(self, op: Op, frame: str, values: Sequence[object]) -> Sequence[Any]:
        return self._paths.frame(frame)[1].types[op.first : op.first + len(values)]

    def _texts(self, types: Sequence[Types], values: Sequence[object], apart: Apart | None = None) -> str:
        """The last comes first: a conversation names the reply in front of it, which need not be written again then."""
        if not values:
            return "[]"
        if len(values) == 1:
            text = types[0].text(values[0], self._chats)
            return f"[{text if apart is None else apart.written(text)}]"
        pairs = list(zip(types, values, strict=True))
        texts = [each.text(value, self._chats) for each, value in reversed(pairs)][::-1]
        return f"[{','.join(texts if apart is None else map(apart.written, texts))}]"

    def _again(self, types: Sequence[Any], data: Sequence[Any], of: str = "an input") -> tuple[object, ...]:
        whole = [value_of(each, of, self.apart) for each in data]
        return tuple([decode(tp, each, self._chats) for tp, each in zip(types, whole, strict=True)])
