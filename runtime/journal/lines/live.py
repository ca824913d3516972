"""The lines of a log that still count: what a snapshot consists of.

``done`` at a path supersedes every line below it and all others at it, a loop's turn what is inside of the loop, an
item what is inside of the item. Only the spending remains, as a sum, and what nobody knows whether it happened. So
what counts is as large as what is still going on. A snapshot is these lines, and reading it is reading a log.

>>> live = Live()
>>> for path in ("loop[0]/9f3c", "loop[1]/9f3c", "loop"):
...     _ = live.add(Line("done", path, f'["done",1.0,"{path}",["a"],null]'))
>>> list(live.lines())
['["done",1.0,"loop",["a"],null]']
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.journal.artifacts.apart import Apart, text_of
from orchestrator.runtime.journal.lines.delta import delta, patched
from orchestrator.runtime.journal.lines.line import (
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
from orchestrator.runtime.journal.lines.stored import loads
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
_OF_FRAMES: Final = frozenset({"item", "cleanup"})
_FATES: Final = frozenset({*RESULTS, "started", "failed", "unsettled", "settled"})
"""What they say has become of an op."""


class _Frame:
    """An execution of a region."""

    __slots__ = ("lines", "ops", "owner")

    def __init__(self, owner: _Op) -> None:
        self.owner = owner
        """The op that it is inside of."""
        self.lines: tuple[Line, ...] = ()
        self.ops: dict[str, _Op] = {}


class _Op:
    """An op of one such execution: most have one line, and nothing else."""

    __slots__ = ("frames", "lines", "spent")

    def __init__(self) -> None:
        self.lines: tuple[Line, ...] = ()
        self.frames: dict[str, _Frame] | None = None
        """What is inside of it, by the part of the path that leads there."""
        self.spent: dict[bool, tuple[Usage, float | None, float]] | None = None
        """What was used here, in lines that count no more, by whether the price is known: what, for how
        much, and when last."""


class Live:
    """The lines of one run that count."""

    def __init__(self, remembered: Remembered | None = None, apart: Apart | None = None) -> None:
        self._remembered = remembered
        self._apart = apart
        self._body = _Frame(_Op())
        self._frames: dict[str, _Frame] = {"": self._body}
        """Every frame by its path."""
        self._run: dict[str, Line] = {}
        self.at = 0.0
        """When something happened last while the run was executed."""
        self._since = (0.0, 0.0)
        """A time from which on the run was executed, and how long it had been before."""
        self._began = 0.0
        """When it was taken up last."""

    def add(self, line: Line) -> str:
        """Take a line; the text that is to be written, which says of a loop's state only what has changed."""
        text = line.text
        if line.state is not None:
            before = _state(self._op(line.path))
            change = None if before is None else delta(before, line.state)
            text += f"\t{self._written(line.state)}" if change is None else f"\t~{self._written(change)}"
        self._take(line)
        return text

    def _take(self, line: Line) -> None:
        kind, path, text, _, _, at = line
        if at > self.at and (kind != "settled" or loads(text)[4] != A_PERSON):  # who does so while nobody executes it
            self.at = at
        if not path:
            self._note_run(line)
            return
        if kind in _OF_FRAMES:
            self._note_frame(line)
            return
        op = self._op(path)
        is_result = kind in RESULTS
        if is_result and not op.lines and op.frames is None:  # as most are
            op.lines = (line,)
            return
        if op.frames is not None and (is_result or kind == "turn"):
            self._collapse(op, path)
        lines = op.lines
        if lines:
            if is_result:
                _keep_spent(op, (each for each in lines if each.kind != "reserved"))  # the result has what it was
            gone = _REPLACES[kind]
            lines = tuple([each for each in lines if each.kind not in gone])
        if kind == "spent":
            _keep_spent(op, (line,))
            op.lines = lines
        else:
            op.lines = (*lines, line)

    def read(self, text: str, version: int = VERSION) -> None:
        """Take a line that was written in a version."""
        text, tab, state = text.partition("\t")
        line = line_of(text, version)
        if tab:
            line = line._replace(state=self._whole(line.path, state))
        self._take(line)

    def _written(self, text: str) -> str:
        """What a loop hands on, or what has changed of it, as the log has it."""
        name = None if self._apart is None else self._apart.name(text)
        return text if name is None else f"@{name}"

    def _whole(self, path: str, written: str) -> str:
        """What a loop hands on, from what the log has."""
        is_change, of = written.startswith("~"), f"what a turn of `{path}` has handed on"
        text = written[is_change:]
        text = text_of(text[1:], of, self._apart) if text.startswith("@") else text
        if not is_change:
            return text
        before = _state(self._op(path))
        if before is None:
            raise ValueError(f"the state of {path} is a change of one that is not there")
        return patched(before, text)

    def read_rows(self, rows: Sequence[Row]) -> None:
        """Take the events of rows, without what loops hand on."""
        version = VERSION
        for row in rows:
            for text in row.data.decode(errors="surrogatepass").split("\n"):
                if text[:1] == "[":
                    self.read(text.partition("\t")[0], version)
                elif text and text[:1] not in ("m", "M"):
                    version = int(text)

    def data(self) -> Iterator[Data]:
        """What the lines say, as JSON gives it, a loop's state behind all else."""
        for text, state in self.texts():
            yield loads(text) if state is None else [*loads(text), loads(state)]

    def lines(self) -> list[str]:
        """Every line that counts, as it is to be written, in an order in which they can be read."""
        return [text if state is None else f"{text}\t{self._written(state)}" for text, state in self.texts()]

    def texts(self) -> list[tuple[str, str | None]]:
        """The text of every line that counts, and what it says that a loop hands on, whole."""
        run = self._run
        texts: list[tuple[str, str | None]]
        texts = [(run[kind].text, None) for kind in ("run", "resumed", "forked", "version") if kind in run]
        if run:
            texts.append((self.totals(), None))
        _add_texts(texts, self._body, "")
        texts += [(run[kind].text, None) for kind in ("result", "failure") if kind in run]
        return texts

    def totals(self) -> str:
        """How long the run was executed."""
        began, before_s = self._since
        return totals_line(self.at, before_s + max(self.at - began, 0.0), self._began).text

    def run_line(self, kind: str) -> Line | None:
        """The latest line of a kind that is about the whole run."""
        return self._run.get(kind)

    def ops(self) -> Iterator[tuple[str, tuple[Line, ...]]]:
        """The path of every op, and the lines about it."""
        todo = [("", self._body)]
        while todo:
            path, frame = todo.pop()
            for key, op in frame.ops.items():
                yield path + key if key else path[:-1], op.lines
                todo += [(f"{path}{part}/", inner) for part, inner in _frames(op)]

    def spent(self) -> Iterator[tuple[Usage, float | None]]:
        """What was used, calls of which that is not known at their worst."""
        todo = [self._body]
        while todo:
            frame = todo.pop()
            for op in frame.ops.values():
                yield from ((usage, cost_usd) for usage, cost_usd, _ in _spent(op))
                yield from (line.spent for line in op.lines if line.spent is not None)
                todo += (inner for _, inner in _frames(op))

    def _note_run(self, line: Line) -> None:
        if line.kind == "run":
            self._since, self._began = (line.at, 0.0), line.at
        elif line.kind in ("resumed", "totals"):
            _, _, _, first, *more = json.loads(line.text)
            is_totals = line.kind == "totals"
            self._since = (line.at, first if is_totals else more[0])
            self._began = line.at if not is_totals else more[0] if more else self._began
            self.at = line.at  # which is earlier where a clock was set back meanwhile
            self._run.pop("failure", None)
            if is_totals or first is None:  # it changes no budget
                return
        elif line.kind == "result":
            everything = self._body.ops.pop(EARLIER, None) or _Op()
            self._clear(self._body, everything, "")
            if everything.spent is not None:
                self._body.ops[EARLIER] = everything
        self._run[line.kind] = line

    def _note_frame(self, line: Line) -> None:
        frame = self._frame(line.path)
        if line.kind == "item":
            self._clear(frame, frame.owner, line.path)
        frame.lines += (line,)

    def _frame(self, path: str) -> _Frame:
        """A frame, whose path ends with a slash or is empty."""
        known = self._frames.get(path)
        if known is not None:
            return known
        cut = path.rfind("/", 0, -1) + 1
        around, part = self._frame(path[:cut]), path[cut:-1]
        owner = _op_in(around, _key(part))
        if owner.frames is None:
            owner.frames = {}
        frame = owner.frames[part] = self._frames[path] = _Frame(owner)
        return frame

    def _op(self, path: str) -> _Op:
        cut = path.rfind("/") + 1
        name, around = path[cut:], path[:cut]
        frame = self._frames.get(around) or self._frame(around)
        op = frame.ops.get(name)
        if op is not None:
            return op
        if name.isalnum() or _key(name) == name:
            op = frame.ops[name] = _Op()
            return op
        return _op_in(self._frame(f"{path}/"), "")

    def _collapse(self, op: _Op, path: str) -> None:
        """Drop what is inside of an op, but for what is remembered; its spending becomes the op's."""
        cut = path.rfind("/") + 1
        frames = op.frames or {}
        for part, frame in list(frames.items()):
            inner = f"{path[:cut]}{part}/"
            self._clear(frame, op, inner)
            if not frame.ops:
                del frames[part], self._frames[inner]
        op.frames = frames or None

    def _clear(self, frame: _Frame, owner: _Op, path: str) -> None:
        """Drop what is inside of a frame, but for what is remembered; its spending becomes the owner's."""
        frame.lines = ()
        remembered = self._remembered
        for key, op in list(frame.ops.items()):
            if op.frames is not None:
                self._collapse(op, path + key)
            _keep_spent(owner, op.lines)
            if op.spent is not None:
                for usage, cost_usd, at in op.spent.values():
                    _add_spent(owner, usage, cost_usd, at)
                op.spent = None
            if remembered is None or not op.lines or not remembered(path + key, _is_lost(op)):
                op.lines = ()
                if op.frames is None:
                    del frame.ops[key]
            else:
                op.lines = tuple([_unpaid(each) for each in op.lines if each.kind in _FATES])


def _add_texts(texts: list[tuple[str, str | None]], frame: _Frame, path: str) -> None:
    """Add what is in a frame."""
    texts += [(line.text, None) for line in frame.lines]
    for key, op in frame.ops.items():
        if op.spent is not None:
            own = path + key if key else path[:-1]  # of a run that a tool has begun
            texts += [(spent_line(own, *each).text, None) for each in _spent(op)]
        texts += [(line.text, line.state) for line in op.lines]
        if op.frames is not None:
            for part, inner in op.frames.items():
                _add_texts(texts, inner, f"{path}{part}/")


def _op_in(frame: _Frame, key: str) -> _Op:
    op = frame.ops.get(key)
    if op is None:
        op = frame.ops[key] = _Op()
    return op


def _frames(op: _Op) -> Iterable[tuple[str, _Frame]]:
    return () if op.frames is None else op.frames.items()


def _spent(op: _Op) -> Iterable[tuple[Usage, float | None, float]]:
    return () if op.spent is None else op.spent.values()


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
    if op.spent is None:
        op.spent = {}
    known = op.spent.get(is_priced)
    if known is not None:
        usage += known[0]
        cost_usd = None if cost_usd is None or known[1] is None else cost_usd + known[1]
    op.spent[is_priced] = usage, cost_usd, at
