"""What another version of a workflow has done in a run: results that are taken where they still fit.

Under the program that wrote it a result is found by its path. Under another one it is found by what the op does and
what it is given: by its key and the digest of its inputs, within the same frame, whatever stands before it. So a call
that was put in between, a moved line and a new name lose nothing, and a call whose prompt comes out differently is
made again. Where an item of a map finds nothing in its own frame, it takes what another item gave for the same inputs:
items have other numbers once one was put in front of them.

What wrote something, or was answered by a person, is not made again because the code has changed. Where such a result
does not fit any more, somebody has to say what is to be done.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.runtime.journal.lines.line import RESULTS, WROTE, Data
from orchestrator.runtime.journal.lines.paths import UnknownPathError, paths_of
from orchestrator.runtime.journal.versions.aligned import Alignment, own_key, shape_of_paths, shape_of_region
from orchestrator.runtime.program.program import Program, Region

_Kind = tuple[str, str, str]
"""A frame, a key and a digest."""
_ITEM: Final = re.compile(r"(?:(?<=/)|^)(map(?:~\d+)?(?:#\d+)?)\[\d+\]/")
"""An item of a map, in a frame by the keys of ops."""


@dataclass(frozen=True, slots=True)
class Result:
    """What an op of an earlier version gave."""

    path: str
    """Its path there."""
    key: str
    digest: str
    """That of what it was given."""
    values: Sequence[Any]
    """They are as JSON gives them."""
    has_written: bool
    """Something outside has changed, or a person has answered."""
    cost_usd: float | None
    tokens: int
    at: float
    """Unix time in seconds at which it was there."""

    @property
    def name(self) -> str:
        """The key, with which one of its region it is."""
        return self.path[self.path.rfind("/") + 1 :]


class Earlier:
    """The results of earlier versions of a program in one run."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._left: dict[_Kind, deque[Result]] = defaultdict(deque)
        self._by_frame: dict[str, dict[_Kind, None]] = defaultdict(dict)
        self._in_items: dict[_Kind, dict[_Kind, None]] = defaultdict(dict)
        """It has, for a frame without the numbers of items, the same in each item."""
        self._moved: dict[str, list[Result]] = defaultdict(list)
        """It has, by key, what has written something in a frame where no op has that key now."""

    def add(self, lines: Sequence[Data]) -> Alignment:
        """Take what one version has written, the latest version first; what its frames are now."""
        paths = [line[2] for line in lines if line[2]]
        alignment = Alignment(shape_of_paths(paths), shape_of_region(self._program.body))
        found: dict[_Kind, list[Result]] = defaultdict(list)
        for path, line in _results(lines):
            cut = path.rfind("/") + 1
            frame = _frame_now(path[:cut], alignment)
            key = own_key(path[cut:])
            found[frame, key, line[4] or ""].append(_result(path, key, line))
        for kind, results in found.items():
            known = self._left[kind]
            there = {each.name for each in known}  # those that a later version took over are there already
            fresh = [each for each in results if each.name not in there][: max(len(results) - len(known), 0)]
            fresh.sort(key=lambda each: (len(each.name), each.name))
            known.extend(fresh)
            self._by_frame[kind[0]][kind] = None
            self._in_items[_of_any_item(kind)][kind] = None
            if fresh and not self._has_op(*kind[:2]):
                self._moved[kind[1]] += (each for each in fresh if each.has_written)
        return alignment

    def add_failed(self, path: str, alignment: Alignment) -> None:
        """What must run at most once has failed at a path where no op has its key now: it may have happened."""
        cut = path.rfind("/") + 1
        frame, key = _frame_now(path[:cut], alignment), own_key(path[cut:])
        failed = Result(path, key, "", (), has_written=True, cost_usd=None, tokens=0, at=0.0)
        self._left[frame, key, ""].append(failed)
        self._by_frame[frame][frame, key, ""] = None
        self._moved[key].append(failed)

    def take(self, frame: str, key: str, digest: str) -> Result | None:
        """A result that fits: of an op with this key and these inputs in this frame, or in that of another item."""
        kind = frame, own_key(key), digest
        others = (self._left[each] for each in self._in_items.get(_of_any_item(kind), ()))
        left = self._left.get(kind) or next(filter(None, others), None)
        if not left:
            return None
        found = next(
            (each for each in left if each.name == key), left[0]
        )  # equal calls may have given different things
        left.remove(found)
        return found

    def in_doubt(self, frame: str, key: str, digest: str, region: Region) -> list[Result]:
        """What has written something and fits nothing: in this frame with this key, or with one that no op of the
        region has now; or elsewhere with this key, where no op has it now. One of them may be what the op with this key
        was before: first those with the same inputs."""
        own, now = own_key(key), {own_key(op.key) for op in region.ops()}
        here = [each for each in self._of(frame) if each.has_written and (each.key == own or each.key not in now)]
        moved = [each for each in self._moved.get(own, ()) if each not in here]
        return sorted([*here, *moved], key=lambda each: each.key != own or each.digest != digest)

    def take_over(self, result: Result) -> None:
        """A result that does not fit is kept all the same."""
        if result in self._moved.get(result.key, ()):
            self._moved[result.key].remove(result)
        for left in self._left.values():
            if result in left:
                left.remove(result)
                return

    def left(self) -> Iterator[Result]:
        """What was not taken."""
        for results in self._left.values():
            yield from results

    def _has_op(self, frame: str, key: str) -> bool:
        """Whether an op of a frame has this key now."""
        try:
            region = paths_of(self._program).frame(frame, by_key=True)[1]
        except UnknownPathError:
            return False
        return any(own_key(op.key) == key for op in region.ops())

    def _of(self, frame: str) -> Iterator[Result]:
        for kind in self._by_frame.get(frame, ()):
            yield from self._left[kind]


def _of_any_item(kind: _Kind) -> _Kind:
    return _ITEM.sub(r"\1[]/", kind[0]), *kind[1:]


def _frame_now(frame: str, alignment: Alignment) -> str:
    now = alignment.frame(frame)
    return f"{frame} of an earlier version/" if now is None else now


def _results(lines: Iterable[Data]) -> Iterator[tuple[str, Data]]:
    """Lines that say what an op gave, the latest of each path, without those of runs that tools have begun."""
    latest: dict[str, Data] = {}
    asked: dict[str, str] = {}
    for line in lines:
        kind, path = line[0], line[2]
        if kind in RESULTS:
            latest[path] = line
        elif kind == "settled" and line[3] == "happened":
            latest[path] = [WROTE, line[1], path, line[5], None]
        elif kind == "asked":
            asked[path] = line[-1]
        elif kind == "answered":  # and nobody had taken the answer yet
            latest[path] = [WROTE, line[1], path, line[3], asked.get(path)]
        elif kind == "failed":
            latest.pop(path, None)
    yield from latest.items()


def _result(path: str, key: str, line: Data) -> Result:
    usage, cost_usd = (line[5], line[6]) if len(line) > 6 else (None, None)
    tokens = 0 if usage is None else usage[0] + usage[2]
    return Result(path, key, line[4] or "", line[3], line[0] == WROTE, cost_usd, tokens, line[1])
