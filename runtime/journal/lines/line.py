"""Lines of a log as text: what can be said of them without the program.

A line is ``[kind, at, path, …]``. Lines have a version, which every row of a log begins with. Whoever changes what a
line means raises it by one and adds to ``UPGRADES`` how to read the lines of the version before;
``tests/runtime/journal/golden/`` keeps a log of each.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from pydantic_core import to_json

from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.journal.lines.stored import loads

VERSION: Final = 6
Data = list[Any]
"""A line as JSON gives it."""
UPGRADES: Final[dict[int, Callable[[Data], Data]]] = {
    4: lambda data: data,
    5: lambda data: data,  # a result says which of several engines has given it
}
"""It has, by version, what makes a line of the next version of one."""

_WITH_SECONDS: Final = 3
"""A result without usage has so many parts at most: values, digest of the inputs, seconds since its attempt began."""
WROTE: Final = "wrote"
"""A result of an op that has changed something outside, or that a person has given."""
RESULTS: Final = frozenset({"done", WROTE})
EARLIER: Final = "earlier"
"""The path of what earlier versions of the program have spent."""

dumps: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""The JSON of plain data."""
quoted: Final = json.encoder.encode_basestring
"""The JSON of a text."""


class Line(NamedTuple):
    """A line, and what the log has to know of it."""

    kind: str
    path: str
    text: str
    state: str | None = None
    """What a loop's turn hands on, which ``text`` is without."""
    spent: tuple[Usage, float | None] | None = None
    """What it says was used, and what that costs where it is known."""
    at: float = 0.0


def upgraded(data: Data, version: int) -> Data:
    """A line of any version as one of this. Raises ``ValueError`` for a version that is newer."""
    if version > VERSION:
        raise ValueError(f"it was written by a newer version: {version}, and this reads {VERSION}")
    while version < VERSION:
        if version not in UPGRADES:
            raise ValueError(f"version {version} is none that was ever written")
        data = UPGRADES[version](data)
        version += 1
    return data


def made(kind: str, at: float, path: str, *parts: str) -> Line:
    """A line whose parts are JSON."""
    return Line(kind, path, f'["{kind}",{",".join((repr(at), quoted(path), *parts))}]', None, None, at)


def spent_line(path: str, usage: Usage, cost_usd: float | None, at: float) -> Line:
    """What was used inside of an op whose own lines are gone."""
    return made("spent", at, path, used(usage), dumps(cost_usd))


def totals_line(at: float, active_s: float, began: float) -> Line:
    """How long a run was executed, and since when now, in front of what a snapshot keeps."""
    return made("totals", at, "", repr(active_s), repr(began))


def line_of(text: str, version: int = VERSION) -> Line:
    """A line that was written in a version, as one of this."""
    data = loads(text)
    if version != VERSION:
        data = upgraded(data, version)
        text = text_of(data)
    kind, at, path, *rest = data
    spent = None
    if kind in ("spent", "reserved"):
        spent = Usage(*rest[0]), rest[1]
    elif kind in RESULTS and len(rest) > _WITH_SECONDS:
        spent = Usage(*rest[2]), rest[3]
    return Line(kind, path, text, spent=spent, at=at)


def version_line(before: str, rows: int, at: float) -> str:
    """From here on another version executes the run than that with this fingerprint, which wrote so many rows."""
    return made("version", at, "", dumps(before), repr(rows)).text


def with_version(text: str, version: str) -> str:
    """The first line of a run as one of another version."""
    kind, at, path, about, *rest = loads(text)
    return text_of([kind, at, path, about | {"version": version}, *rest])


def text_of(data: Data) -> str:
    """The text of a line that was read."""
    try:
        return to_json(data).decode()  # whatever ints there are in it
    except ValueError:  # half a surrogate pair
        return dumps(data)


def with_path(text: str, path: str) -> str:
    """A line about the op with another path."""
    kind, at, _, *rest = loads(text)
    return text_of([kind, at, path, *rest])


def without_spending(text: str) -> str:
    """A ``done`` line whose spending is counted elsewhere."""
    return text_of(loads(text)[:5])


def used(usage: Usage | None) -> str:
    """The JSON of what was used."""
    if usage is None:
        return "null"
    return dumps([usage.input_tokens, usage.cached_tokens, usage.output_tokens, *([True] if usage.estimated else [])])
