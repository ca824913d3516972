"""What another version of a workflow has done in a run: results that are taken where they still fit.

Under the program that wrote it a result is found by its path. Under another one it is found by what the op does and
what it is given: by its key and the digest of its inputs, within the same frame, whatever stands before it. So a call
that was put in between, a moved line and a new name lose nothing, and a call whose prompt comes out differently is
made again. Where an item of a map finds nothing in its own frame, it takes what another item gave for the same inputs:
items have other numbers once one was put in front of them.

What wrote something, or was answered by a person, is not made again because the code has changed. Where such a result
does not fit any more, somebody has to say what is to be done.

A run may have had millions of results, and which of them fit shows only when it comes to them. So they are in a file of
the process's own, and no more of them in memory than are looked at.
"""

from __future__ import annotations

import re
import sqlite3
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from orchestrator.runtime.journal.lines.line import RESULTS, WROTE, Data, text_of
from orchestrator.runtime.journal.lines.paths import UnknownPathError, paths_of
from orchestrator.runtime.journal.lines.stored import loads
from orchestrator.runtime.journal.versions.aligned import (
    Alignment,
    own_key,
    shape_of_paths,
    shape_of_region,
    static_path,
)
from orchestrator.runtime.program.program import Program, Region

_ITEM: Final = re.compile(r"(?:(?<=/)|^)(map(?:~\d+)?(?:#\d+)?)\[\d+\]/")
"""An item of a map, in a frame by the keys of ops."""
_CACHE_KIB: Final = 32 << 10
_AT_ONCE: Final = 1000
_TABLES: Final = f"""
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -{_CACHE_KIB};
CREATE TABLE lines(  -- the latest result at each path
  id INTEGER PRIMARY KEY,
  version INTEGER NOT NULL,  -- they count from the first one
  path BLOB NOT NULL,
  digest BLOB NOT NULL,
  has_written INTEGER NOT NULL,
  is_result INTEGER NOT NULL,
  line BLOB,                 -- NULL where it has failed since, or was taken
  UNIQUE(version, path)
);
CREATE TABLE places(  -- of those, as they are now
  frame BLOB NOT NULL,
  key BLOB NOT NULL,
  digest BLOB NOT NULL,
  version INTEGER NOT NULL,
  name BLOB NOT NULL,
  line INTEGER NOT NULL,
  has_written INTEGER NOT NULL,
  of_any_item BLOB,           -- the frame without the numbers of items; NULL where it is in none
  is_moved INTEGER NOT NULL,  -- it has written something in a frame where no op has that key now
  PRIMARY KEY(frame, key, digest, version, name, line)
) WITHOUT ROWID;
CREATE INDEX places_in_items ON places(of_any_item, key, digest) WHERE of_any_item IS NOT NULL;
CREATE INDEX places_moved ON places(key) WHERE is_moved;
BEGIN;
"""
_RESULT: Final = (
    "SELECT lines.id, frame, places.version, name, places.key, lines.path, lines.line"
    " FROM places CROSS JOIN lines ON lines.id = places.line AND lines.line IS NOT NULL"
)
_KIND: Final = "frame = ? AND key = ? AND places.digest = ?"


@dataclass(frozen=True, slots=True)
class Result:
    """What an op of an earlier version gave."""

    number: int
    """No other result of the run has it."""
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


class Earlier:
    """The results of earlier versions of a program in one run.

    What they have written is added line by line, and closed by :meth:`align`.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._statics: list[dict[str, None]] = [{}]
        """For each version the paths in it, without the numbers of turns and items."""
        self._asked: dict[str, str] = {}
        """Digests of the inputs of the questions of the latest one."""
        self._fresh: list[tuple[Any, ...]] = []
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)  # a file that nobody can name
        self._db.executescript(_TABLES)
        weakref.finalize(self, self._db.close)

    @property
    def _latest(self) -> int:
        return len(self._statics) - 1

    def begin_version(self) -> None:
        """What is added from here on was written by a later version."""
        self._statics.append({})
        self._asked = {}

    def add(self, line: Data, text: str) -> None:
        """Take a line, given as JSON gives it and as it is written."""
        kind, path = line[0], line[2]
        if not path:
            return
        self._statics[-1][static_path(path)] = None
        if kind in RESULTS:
            self._note(path, line[4], text, has_written=kind == WROTE, is_result=True)
        elif kind == "settled" and line[3] == "happened":
            self._note(path, None, text_of([WROTE, line[1], path, line[5], None]))
        elif kind == "asked":
            self._asked[path] = line[-1]
        elif kind == "answered":  # and nobody had taken the answer yet
            digest = self._asked.get(path)
            self._note(path, digest, text_of([WROTE, line[1], path, line[3], digest]))
        elif kind == "failed":
            self._flush()
            of = (self._latest, _bytes(path))
            self._db.execute("UPDATE lines SET line = NULL WHERE version = ? AND path = ?", of)

    def has_result(self, path: str) -> bool:
        """Whether the latest version had a result at a path."""
        self._flush()
        of = (self._latest, _bytes(path))
        found = self._db.execute("SELECT 1 FROM lines WHERE version = ? AND path = ? AND is_result", of)
        return found.fetchone() is not None

    def align(self) -> Alignment:
        """Everything was added: what the frames of the latest version are now."""
        self._flush()
        shape = shape_of_region(self._program.body)
        alignments = [Alignment(shape_of_paths(statics), shape) for statics in self._statics]
        for version in range(self._latest, -1, -1):
            self._place(version, alignments[version])
            if version != self._latest:
                self._drop_what_was_taken_over(version)
        return alignments[-1]

    def add_failed(self, path: str, alignment: Alignment) -> None:
        """What must run at most once has failed at a path where no op has its key now: it may have happened."""
        self._note(path, None, text_of([WROTE, 0.0, path, [], None]))
        self._flush()
        cut = path.rfind("/") + 1
        frame, key = _bytes(_frame_now(path[:cut], alignment)), _bytes(own_key(path[cut:]))
        self._db.execute(
            "INSERT INTO places SELECT ?, ?, x'', version, ?, id, true, NULL, true FROM lines"
            " WHERE version = ? AND path = ?",
            (frame, key, _bytes(path[cut:]), self._latest, _bytes(path)),
        )

    def take(self, frame: str, key: str, digest: str) -> Result | None:
        """A result that fits: of an op with this key and these inputs in this frame, or in that of another item. Of
        several it is that of the same op, as equal calls may have given different things."""
        of, own, given = _bytes(frame), _bytes(own_key(key)), _bytes(digest)
        found = self._db.execute(f"{_RESULT} WHERE {_KIND}", (of, own, given)).fetchall()
        if not found and (of_any_item := _of_any_item(frame)) is not None:
            of_items = f"{_RESULT} WHERE of_any_item = ? AND key = ? AND places.digest = ?"
            found = self._db.execute(of_items, (of_any_item, own, given)).fetchall()
            first = min(found, key=lambda each: (-each[2], each[0]), default=None)
            found = [each for each in found if first is not None and each[1] == first[1]]
        if not found:
            return None
        name = _bytes(key)
        result = _result(min(found, key=lambda each: (each[3] != name, -each[2], len(each[3]), each[3])))
        self.take_over(result)
        return result

    def in_doubt(self, frame: str, key: str, digest: str, region: Region) -> list[Result]:
        """What has written something and fits nothing: in this frame with this key, or with one that no op of the
        region has now; or elsewhere with this key, where no op has it now. One of them may be what the op with this key
        was before: first those with the same inputs."""
        own, now = own_key(key), {own_key(op.key) for op in region.ops()}
        of = (_bytes(frame),)
        of_frame = self._db.execute(f"{_RESULT} WHERE frame = ? AND places.has_written ORDER BY id", of)
        here = [each for each in map(_result, of_frame) if each.key == own or each.key not in now]
        elsewhere = self._db.execute(f"{_RESULT} WHERE key = ? AND is_moved ORDER BY id", (_bytes(own),))
        moved = [each for each in map(_result, elsewhere) if each not in here]
        return sorted([*here, *moved], key=lambda each: each.key != own or each.digest != digest)

    def take_over(self, result: Result) -> None:
        """A result that does not fit is kept all the same."""
        self._db.execute("UPDATE lines SET line = NULL WHERE id = ?", (result.number,))

    def left(self) -> Iterator[Result]:
        """What was not taken."""
        yield from map(_result, self._db.execute(f"{_RESULT} ORDER BY id"))

    def _note(
        self, path: str, digest: str | None, line: str, *, has_written: bool = True, is_result: bool = False
    ) -> None:
        noted = (self._latest, _bytes(path), _bytes(digest or ""), has_written, is_result, _bytes(line))
        self._fresh.append(noted)
        if len(self._fresh) >= _AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        fresh, self._fresh = self._fresh, []
        self._db.executemany(
            "INSERT INTO lines(version, path, digest, has_written, is_result, line) VALUES(?, ?, ?, ?, ?, ?)"
            " ON CONFLICT(version, path) DO UPDATE SET digest = excluded.digest, has_written = excluded.has_written,"
            " is_result = is_result OR excluded.is_result, line = excluded.line",
            fresh,
        )

    def _place(self, version: int, alignment: Alignment) -> None:
        """Note where the results of one version are now."""
        frame_now = lru_cache(maxsize=_AT_ONCE)(lambda frame: _frame_now(frame, alignment))
        has_op = lru_cache(maxsize=None)(self._has_op)  # as many as the programs have

        def places() -> Iterator[tuple[Any, ...]]:
            for number, path, digest, has_written in self._db.execute(
                "SELECT id, path, digest, has_written FROM lines WHERE version = ? AND line IS NOT NULL ORDER BY id",
                (version,),
            ):
                of = _text(path)
                cut = of.rfind("/") + 1
                frame, key = frame_now(of[:cut]), own_key(of[cut:])
                is_moved = has_written and not has_op(static_path(frame), key)
                place = (_bytes(frame), _bytes(key), digest, version, _bytes(of[cut:]), number)
                yield *place, has_written, _of_any_item(frame), is_moved

        self._db.executemany("INSERT INTO places VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)", places())

    def _drop_what_was_taken_over(self, version: int) -> None:
        """Of each kind keep no more of this version than it had beyond the later ones, which have taken the others."""
        self._db.execute(
            "DELETE FROM places WHERE version = ?1 AND (SELECT sum(other.version = ?1) <= sum(other.version > ?1)"
            " FROM places AS other WHERE other.frame = places.frame AND other.key = places.key"
            " AND other.digest = places.digest)",
            (version,),
        )
        both = self._db.execute(
            "SELECT frame, key, digest, sum(version = ?1), sum(version > ?1) FROM places GROUP BY frame, key, digest"
            " HAVING sum(version = ?1) > 0 AND sum(version > ?1) > 0",
            (version,),
        ).fetchall()
        for *kind, own, later in both:
            names = f"SELECT name, line FROM places WHERE {_KIND} AND version"
            there = {name for name, _ in self._db.execute(f"{names} > ?", (*kind, version))}
            here = self._db.execute(f"{names} = ? ORDER BY line", (*kind, version)).fetchall()
            kept = [number for name, number in here if name not in there][: own - later]
            gone = [(*kind, number) for _, number in here if number not in kept]
            self._db.executemany(f"DELETE FROM places WHERE {_KIND} AND line = ?", gone)

    def _has_op(self, frame: str, key: str) -> bool:
        """Whether an op of a frame has this key now."""
        try:
            region = paths_of(self._program).frame(frame, by_key=True)[1]
        except UnknownPathError:
            return False
        return any(own_key(op.key) == key for op in region.ops())


def _frame_now(frame: str, alignment: Alignment) -> str:
    now = alignment.frame(frame)
    return f"{frame} of an earlier version/" if now is None else now


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _text(data: bytes) -> str:
    return data.decode(errors="surrogatepass")


def _of_any_item(frame: str) -> bytes | None:
    """The frame without the numbers of items; None where it is in none."""
    found, count = _ITEM.subn(r"\1[]/", frame)
    return _bytes(found) if count else None


def _result(row: tuple[int, bytes, int, bytes, bytes, bytes, bytes]) -> Result:
    number, _, _, _, key, path, text = row
    line = loads(_text(text))
    usage, cost_usd = (line[5], line[6]) if len(line) > 6 else (None, None)
    tokens = 0 if usage is None else usage[0] + usage[2]
    written = line[0] == WROTE
    return Result(number, _text(path), _text(key), line[4] or "", line[3], written, cost_usd, tokens, line[1])
