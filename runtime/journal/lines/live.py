"""The lines of a log that still count: what a snapshot consists of.

``done`` at a path supersedes every line below it and all others at it, a loop's turn what is inside of the loop, an
item what is inside of the item. Only the spending remains, as a sum, and what nobody knows whether it happened. So
what counts is as large as what is still going on. A snapshot is these lines, and reading it is reading a log.

>>> live = Live(lambda path, is_lost: False)
>>> for path in ("loop[0]/9f3c", "loop[1]/9f3c", "loop"):
...     _ = live.add(Line("done", path, f'["done",1.0,"{path}",["a"],null]'))
>>> list(live.lines())
['["done",1.0,"loop",["a"],null]']
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.journal.lines.delta import delta, patched
from orchestrator.runtime.journal.lines.stored import loads
from orchestrator.runtime.journal.lines.wire import (
    EARLIER,
    RESULTS,
    VERSION,
    Data,
    Line,
    line_of,
    spent_line,
    totals_line,
    without_spending,
)
from orchestrator.runtime.journal.replay import A_PERSON
from orchestrator.runtime.journal.stores.base import Row

Remembered = Callable[[str, bool], bool]
"""Whether what has become of the op at a path is remembered when what is around it is done; whether that is unknown is
given with it."""

_OP: Final = re.compile(r"[^.\[#]+")
_OWN: Final = {
    *RESULTS, "started", "failed", "caught", "unfit", "timer", "turn", "reserved", "unsettled", "settled", "decided",
    "asked", "answered",
}  # fmt: skip
_REPLACES: Final = {
    **dict.fromkeys(RESULTS, _OWN),
    "turn": {"turn"},
    "settled": {"settled"},
    "started": {"started", "reserved"},
    "failed": {"reserved", "asked", "answered"},
    "unsettled": {"reserved"},
    "reserved": {"reserved"},
    "spent": {"reserved"},
    "caught": {"caught"},
    "unfit": {"unfit"},
    "timer": {"timer"},
    "decided": {"decided"},
    "asked": {"asked"},
    "answered": {"asked", "answered"},
}
"""It has, by kind of line, which lines about the same op count no more."""
_FATES: Final = frozenset({*RESULTS, "started", "failed", "unsettled", "settled"})
"""What they say has become of an op."""


@dataclass(slots=True)
class _Frame:
    """An execution of a region."""

    lines: list[Line] = field(default_factory=list)
    ops: dict[str, _Op] = field(default_factory=dict)


@dataclass(slots=True)
class _Op:
    """An op of one such execution."""

    lines: list[Line] = field(default_factory=list)
    frames: dict[str, _Frame] = field(default_factory=dict)
    """What is inside of it, by the part of the path that leads there."""
    spent: dict[bool, tuple[Usage, float | None, float]] = field(default_factory=dict)
    """What was used here, in lines that count no more, by whether the price is known: what, for how
    much, and when last."""


class Live:
    """The lines of one run that count."""

    def __init__(self, remembered: Remembered) -> None:
        self._remembered = remembered
        self._body = _Frame()
        self._run: dict[str, Line] = {}
        self.at = 0.0
        """When something happened last while the run was executed."""
        self._since = (0.0, 0.0)
        """When the run was taken up last, and how long it had been executed before."""

    def add(self, line: Line) -> str:
        """Take a line; the text that is to be written, which says of a loop's state only what has changed."""
        if line.kind != "settled" or loads(line.text)[4] != A_PERSON:  # who does so while the run is not executed
            self.at = max(self.at, line.at)
        if not line.path:
            self._note_run(line)
            return line.text
        if line.kind in ("item", "cleanup"):
            self._note_frame(line)
            return line.text
        op = self._op(line.path)
        text = line.text
        if line.state is not None:
            before = _state(op)
            change = None if before is None else delta(before, line.state)
            text += f"\t{line.state}" if change is None else f"\t~{change}"
        if line.kind in RESULTS or line.kind == "turn":
            self._collapse(op, line.path)
        if line.kind in RESULTS:
            _keep_spent(op, (each for each in op.lines if each.kind != "reserved"))  # the result has what it was
        if op.lines:
            gone = _REPLACES[line.kind]
            op.lines = [each for each in op.lines if each.kind not in gone]
        if line.kind == "spent":
            _keep_spent(op, [line])
        else:
            op.lines.append(line)
        return text

    def read(self, text: str, version: int = VERSION) -> None:
        """Take a line that was written in a version."""
        text, tab, state = text.partition("\t")
        line = line_of(text, version)
        if tab:
            if state.startswith("~"):
                before = _state(self._op(line.path))
                if before is None:
                    raise ValueError(f"the state of {line.path} is a change of one that is not there")
                state = patched(before, state[1:])
            line = line._replace(state=state)
        self.add(line)

    def read_rows(self, rows: Sequence[Row]) -> None:
        """Take the events of rows."""
        version = VERSION
        for row in rows:
            for text in row.data.decode(errors="surrogatepass").split("\n"):
                if text[:1] == "[":
                    self.read(text, version)
                elif text and text[:1] not in ("m", "M"):
                    version = int(text)

    def data(self) -> Iterator[Data]:
        """What the lines say, as JSON gives it, a loop's state behind all else."""
        for line in self.lines():
            text, tab, state = line.partition("\t")
            yield [*loads(text), loads(state)] if tab else loads(text)

    def lines(self) -> Iterator[str]:
        """The text of every line that counts, in an order in which they can be read."""
        if "run" in self._run:
            yield self._run["run"].text
        for kind in ("resumed", "forked", "version"):
            if kind in self._run:
                yield self._run[kind].text
        if self._run:
            yield self.totals()
        yield from self._frame_lines(self._body, "")
        for kind in ("result", "failure"):
            if kind in self._run:
                yield self._run[kind].text

    def totals(self) -> str:
        """How long the run was executed."""
        began, before_s = self._since
        return totals_line(self.at, before_s + max(self.at - began, 0.0)).text

    def run_line(self, kind: str) -> Line | None:
        """The latest line of a kind that is about the whole run."""
        return self._run.get(kind)

    def ops(self) -> Iterator[tuple[str, list[Line]]]:
        """The path of every op, and the lines about it."""
        todo = [("", self._body)]
        while todo:
            path, frame = todo.pop()
            for key, op in frame.ops.items():
                yield path + key if key else path[:-1], op.lines
                todo += [(f"{path}{part}/", inner) for part, inner in op.frames.items()]

    def spent(self) -> Iterator[tuple[Usage, float | None]]:
        """What was used, calls of which that is not known at their worst."""
        todo = [self._body]
        while todo:
            frame = todo.pop()
            for op in frame.ops.values():
                yield from ((usage, cost_usd) for usage, cost_usd, _ in op.spent.values())
                yield from (line.spent for line in op.lines if line.spent is not None)
                todo += op.frames.values()

    def _frame_lines(self, frame: _Frame, path: str) -> Iterator[str]:
        yield from (line.text for line in frame.lines)
        for key, op in frame.ops.items():
            own = path + key if key else path[:-1]  # of a run that a tool has begun
            for usage, cost_usd, at in op.spent.values():
                yield spent_line(own, usage, cost_usd, at).text
            for line in op.lines:
                yield line.text if line.state is None else f"{line.text}\t{line.state}"
            for part, inner in op.frames.items():
                yield from self._frame_lines(inner, f"{path}{part}/")

    def _note_run(self, line: Line) -> None:
        if line.kind == "run":
            self._since = (line.at, 0.0)
        elif line.kind in ("resumed", "totals"):
            self._since = (line.at, json.loads(line.text)[-1])
            self.at = line.at  # which is earlier where a clock was set back meanwhile
            self._run.pop("failure", None)
            if line.kind == "totals" or json.loads(line.text)[3] is None:  # it changes no budget
                return
        elif line.kind == "result":
            everything = self._body.ops.setdefault(EARLIER, _Op())
            del self._body.ops[EARLIER]
            self._clear(self._body, everything, "")
            if everything.spent:
                self._body.ops[EARLIER] = everything
        self._run[line.kind] = line

    def _note_frame(self, line: Line) -> None:
        owner, frame = self._frame(line.path)
        if line.kind == "item":
            self._clear(frame, owner, line.path)
            frame.lines.clear()
        frame.lines.append(line)

    def _frame(self, path: str) -> tuple[_Op, _Frame]:
        """A frame, whose path ends with a slash, and the op that it is inside of."""
        frame, owner = self._body, _Op()
        for part in path.split("/")[:-1]:
            key = _key(part)
            found = frame.ops.get(key)
            if found is None:
                found = frame.ops[key] = _Op()
            owner, inner = found, found.frames.get(part)
            if inner is None:
                inner = owner.frames[part] = _Frame()
            frame = inner
        return owner, frame

    def _op(self, path: str) -> _Op:
        cut = path.rfind("/") + 1
        name = path[cut:]
        key = _key(name)
        frame = self._frame(path[:cut])[1] if cut else self._body
        op = frame.ops.get(key)
        if op is None:
            op = frame.ops[key] = _Op()
        if key == name:
            return op
        return op.frames.setdefault(name, _Frame()).ops.setdefault("", _Op())

    def _collapse(self, op: _Op, path: str) -> None:
        """Drop what is inside of an op, but for what is remembered; its spending becomes the op's."""
        cut = path.rfind("/") + 1
        for part, frame in list(op.frames.items()):
            self._clear(frame, op, f"{path[:cut]}{part}/")
            if not frame.ops:
                del op.frames[part]

    def _clear(self, frame: _Frame, owner: _Op, path: str) -> None:
        """Drop what is inside of a frame, but for what is remembered; its spending becomes the owner's."""
        frame.lines.clear()
        for key, op in list(frame.ops.items()):
            self._collapse(op, path + key)
            _keep_spent(owner, op.lines)
            for usage, cost_usd, at in op.spent.values():
                _add_spent(owner, usage, cost_usd, at)
            op.spent.clear()
            if not op.lines or not self._remembered(path + key, _is_lost(op)):
                op.lines.clear()
                if not op.frames:
                    del frame.ops[key]
            else:
                op.lines = [_unpaid(each) for each in op.lines if each.kind in _FATES]


def _key(part: str) -> str:
    if part.isalnum():
        return part
    found = _OP.match(part)
    return found[0] if found else part


def _state(op: _Op) -> str | None:
    return next((line.state for line in op.lines if line.kind == "turn"), None)


def _is_lost(op: _Op) -> bool:
    """Whether nobody knows what has become of it."""
    fates = [line.kind for line in op.lines if line.kind in _FATES]
    return bool(fates) and fates[-1] in ("started", "unsettled")


def _unpaid(line: Line) -> Line:
    """A line whose spending is counted elsewhere."""
    if line.spent is None:
        return line
    return line._replace(text=without_spending(line.text), spent=None)


def _keep_spent(op: _Op, lines: Iterable[Line]) -> None:
    for line in lines:
        if line.spent is not None:
            _add_spent(op, *line.spent, line.at)


def _add_spent(op: _Op, usage: Usage, cost_usd: float | None, at: float) -> None:
    is_priced = cost_usd is not None
    known = op.spent.get(is_priced)
    if known is not None:
        usage += known[0]
        cost_usd = None if cost_usd is None or known[1] is None else cost_usd + known[1]
    op.spent[is_priced] = usage, cost_usd, at
