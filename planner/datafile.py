"""Reading the planner's data files with errors that name file, line and field.

Plans, clusters, devices and model configs share these codes:

===========  ==========================================
ORCH-P001    the file cannot be read
ORCH-P002    the text is not TOML or JSON
ORCH-P004    a field is missing
ORCH-P005    a field has an impossible value
ORCH-P006    a field is not known (often a typing error)
===========  ==========================================

All problems of one file are reported together.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from orchestrator.errors import Diagnostic, PlanError, SourceLoc

MOST_FILES: Final = 1000
"""So many files of a folder are looked at for the one that was meant."""

ModelT = TypeVar("ModelT", bound=BaseModel)

MOST_BYTES: Final = 256 * 2**20
"""A data file may have so many bytes; traces are the largest."""
_CODES = {"missing": ("ORCH-P004", "is missing"), "extra_forbidden": ("ORCH-P006", "is not a known field")}


def read_text(path: Path) -> str:
    """The text of a file, a byte order mark left out; raises :class:`PlanError` ORCH-P001."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise PlanError("ORCH-P001", f"cannot read {path}: it has more than {MOST_BYTES // 2**20} MiB")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as missing:
        raise PlanError("ORCH-P001", f"cannot read {path}: there is no such file", fix=_file_meant(path)) from missing
    except UnicodeDecodeError as unreadable:
        raise PlanError("ORCH-P001", f"cannot read {path}: it is not UTF-8 text ({unreadable.reason})") from unreadable
    except OSError as unreadable:
        reason = (unreadable.strerror or str(unreadable)).lower()
        raise PlanError("ORCH-P001", f"cannot read {path}: {reason}") from unreadable


def _file_meant(path: Path) -> str | None:
    """The file of a similar name beside a path that leads nowhere."""
    if not path.parent.is_dir():
        return f"there is no folder {path.parent} either"
    beside = [each.name for each in islice(path.parent.iterdir(), MOST_FILES) if each.suffix == path.suffix]
    near = get_close_matches(path.name, beside, n=1, cutoff=0.5)
    return f"did you mean `{path.parent / near[0]}`?" if near else None


def parse_toml(text: str, file: str) -> dict[str, object]:
    """The top-level table; raises :class:`PlanError` ORCH-P002 with the line of the mistake."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as broken:
        at = re.search(r"line (\d+)", str(broken))
        where = SourceLoc(file, int(at[1]) if at else 1)
        raise PlanError("ORCH-P002", f"not valid TOML: {broken}", where=where) from broken
    except (RecursionError, ValueError) as broken:  # nested too deep, or a number of thousands of digits
        raise PlanError("ORCH-P002", f"not TOML of this world: {broken}", where=SourceLoc(file, 1)) from broken


def parse_json(model: type[ModelT], text: str, file: str) -> ModelT:
    """``text`` as a ``model``; raises :class:`PlanError` ORCH-P002 for broken JSON, else as :func:`validate`."""
    return validate(model, _json(text, file), text, file)


def parse_object(text: str, file: str) -> dict[str, Any]:
    """A JSON object of any fields; raises :class:`PlanError` ORCH-P002."""
    data = _json(text, file)
    if not isinstance(data, dict):
        raise PlanError("ORCH-P002", f"not a JSON object but {type(data).__name__}", where=SourceLoc(file, 1))
    return data


def _json(text: str, file: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as broken:
        where = SourceLoc(file, broken.lineno)
        raise PlanError("ORCH-P002", f"not valid JSON: {broken}", where=where) from broken
    except (RecursionError, ValueError) as broken:  # nested too deep, or a number of thousands of digits
        raise PlanError("ORCH-P002", f"not JSON of this world: {broken}", where=SourceLoc(file, 1)) from broken


def validate(model: type[ModelT], data: object, text: str, file: str, prefix: tuple[int | str, ...] = ()) -> ModelT:
    """``data`` as a ``model``; raises one :class:`PlanError` with every field that is missing, wrong or unknown.

    ``text`` is what ``data`` was read from, and ``prefix`` where in it, to find line numbers.
    """
    try:
        return model.model_validate(data)
    except ValidationError as invalid:
        found = [
            _diagnostic((*prefix, *each["loc"]), each["type"], each["msg"], text, file, _known(model, each["loc"]))
            for each in invalid.errors()
        ]
        raise PlanError.collect(found) from invalid


def line_of(text: str, *path: int | str) -> int:
    """The line that sets the field at ``path`` in TOML or JSON, or the nearest line above it that can be told.

    >>> line_of('[[engine]]\\nname = "a"\\n[[engine]]\\nname = "b"', "engine", 1, "name")
    4
    """
    lines = text.split("\n")
    at, end = 0, len(lines)
    for part, following in pairwise((*path, "")):
        if isinstance(part, int):
            continue
        hits = [n for n in range(at, end) if _sets(lines[n], part)]
        if isinstance(following, int):
            tables = [n for n in hits if lines[n].lstrip().startswith("[[")]
            if following and not tables:
                return (hits[0] if hits else at) + 1
            hits = tables[following:] or hits
        if not hits:
            continue
        at = hits[0]
        if lines[at].startswith("["):
            end = next((n for n in range(at + 1, len(lines)) if lines[n].startswith("[")), len(lines))
    return at + 1


def _sets(line: str, field: str) -> bool:
    return re.match(rf'\s*(\[+\s*)?([\w.]+\.)?"?{re.escape(field)}"?\s*[\]=:]', line) is not None


def _diagnostic(  # noqa: PLR0917 - what pydantic says of a mistake, and where it is
    loc: tuple[int | str, ...], kind: str, message: str, text: str, file: str, known: Sequence[str]
) -> Diagnostic:
    field = ".".join(str(part) for part in loc) or "the file"
    code, what = _CODES.get(kind, ("ORCH-P005", ""))
    if kind == "model_type":
        what = f"has to be {'a table' if file.endswith('.toml') else 'an object'}"
    said = f"`{field}` {what}" if what else f"`{field}`: {message.removeprefix('Value error, ')}"
    fix = closest(str(loc[-1]), known) if kind == "extra_forbidden" and known else None
    if kind == "tuple_type" and file.endswith(".toml"):
        fix = f"write [[{field}]], with two brackets: there may be several"
    return Diagnostic(code, said, SourceLoc(file, line_of(text, *loc)), fix=fix)


def closest(name: str, known: Sequence[str]) -> str:
    """What to write instead of a name that is not known."""
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else f"what is known here: {', '.join(known)}"


def _known(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """The fields beside the one at ``loc``; empty where they cannot be told."""
    for part in loc[:-1]:
        if isinstance(part, str):
            field = model.model_fields.get(part)
            inside = _model_in(field.annotation) if field is not None else None
            if inside is None:
                return []
            model = inside
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, in a list or not."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each)) is not None), None)
