"""From what the user typed to a workflow's typed inputs; everything wrong with them is said at once.

``--input name=value`` takes text for a ``str`` parameter and JSON for any other; ``name=@FILE`` reads the value from a
file. A workflow also takes plain words, for the one ``str`` parameter that it has, or that has no default. ``--inputs
FILE.jsonl`` gives one JSON object per run.

An input that is a secret need not stand on a command line, which others can read: where it is not given, ``key`` is the
environment's ``ORCH_SECRET_KEY``. No error says what was given for one.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from pydantic import ValidationError

from orchestrator.dsl.types.secret import holds_secret, is_secret
from orchestrator.dsl.types.typing import UNIONS, type_string
from orchestrator.errors import Diagnostic, TraceError, UsageError
from orchestrator.runtime.journal.lines.secrets import variable_of

if TYPE_CHECKING:
    from orchestrator.dsl.workflow import Workflow

Inputs = dict[str, object]

MOST_PROBLEMS: Final = 20
"""So many lines of a file are named in one error."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a workflow: its name, Python type, and whether it may be left out."""

    name: str
    type: Any
    required: bool = True
    static: bool = False
    """Whether the workflow is compiled for its value."""

    @property
    def is_secret(self) -> bool:
        """Whether it may come from the environment."""
        members = get_args(self.type) if get_origin(self.type) in UNIONS else (self.type,)
        return any(map(is_secret, members))

    @property
    def type_name(self) -> str:
        """The type as the user wrote it, near enough."""
        return type_string(self.type)


def parameters_of(workflow: Workflow[..., Any]) -> list[Parameter]:
    """The parameters of a workflow. Raises :class:`TraceError` where they are not typed."""
    boundary = workflow.boundary
    if boundary.problems:
        raise TraceError.collect(boundary.problems)
    static = workflow.static_parameters
    params = {**boundary.params, **static}
    return [Parameter(name, tp, name in boundary.required, name in static) for name, tp in params.items()]


def from_command_line(parameters: Sequence[Parameter], pairs: Sequence[str], words: Sequence[str]) -> Inputs:
    """Inputs of a single run. Raises :class:`UsageError` ORCH-U010 with one diagnostic per problem."""
    problems: list[Diagnostic] = []
    given: dict[str, object] = {}
    if words:
        taker = _taker_of_words(parameters)
        if taker is not None:
            given[taker.name] = " ".join(words)
        else:
            takes = f"the workflow takes {_listed(parameters)}"
            message = f"`{' '.join(words)}` is for the only text that a workflow needs, and {takes}"
            problems.append(Diagnostic("ORCH-U010", message, fix=_example(parameters)))
    types = {parameter.name: parameter for parameter in parameters}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            problems.append(Diagnostic("ORCH-U010", f"`--input {pair}` has no `=`", fix="write --input name=value"))
            continue
        if name.strip() in given:
            fix = "give each input once; plain words are one as well"
            problems.append(Diagnostic("ORCH-U010", f"the input `{name.strip()}` is given twice", fix=fix))
            continue
        given[name.strip()] = _parse(text, types.get(name.strip()))
    return _validated(parameters, given, problems)


def some_of(parameters: Sequence[Parameter], pairs: Sequence[str]) -> Inputs:
    """Those inputs of a run that ``--set`` gives as NAME=VALUE. Raises :class:`UsageError` ORCH-U010."""
    for pair in pairs:
        if "=" not in pair:
            raise UsageError("ORCH-U010", f"`--set {pair}` has no `=`", fix="write --set name=value")
    names = {pair.partition("=")[0].strip() for pair in pairs}
    known = [each for each in parameters if each.name in names]
    return from_command_line(known if len(known) == len(names) else parameters, pairs, ())


def _taker_of_words(parameters: Sequence[Parameter]) -> Parameter | None:
    """The text that plain words are for: the only one that must be given, or else the only one there is."""
    parameters = [parameter for parameter in parameters if not parameter.static]
    required = [parameter for parameter in parameters if parameter.required and not parameter.is_secret]
    texts = [parameter for parameter in required or parameters if parameter.type is str]
    return texts[0] if len(texts) == 1 and len(required) <= 1 else None


def as_given(argument: str) -> str:
    """A word of the command line as it was typed, also where Python takes the locale for one without Unicode.

    Raises ORCH-U010 for bytes that are no UTF-8: nobody knows what they mean, and a model would read something else.
    """
    try:
        argument.encode()
    except UnicodeEncodeError:  # what Python cannot decode comes as halves of characters
        try:
            return os.fsencode(argument).decode()
        except UnicodeError as wrong:
            shown = argument.encode("ascii", "backslashreplace").decode()
            fix = "write it in UTF-8, or put it into a file: --input NAME=@FILE"
            raise UsageError("ORCH-U010", f"`{shown}` is no UTF-8", fix=fix) from wrong
    return argument


def from_file(parameters: Sequence[Parameter], path: Path) -> dict[int, Inputs]:
    """Inputs of many runs by their line, one JSON object each.

    Raises ORCH-U011 for the file and for lines that are none, ORCH-U010 for a line's values; the first
    :data:`MOST_PROBLEMS` together.
    """
    found: dict[int, Inputs] = {}
    problems: list[Diagnostic] = []
    for number, line in enumerate(_text(path, "the inputs").split("\n"), 1):  # no other character ends a line of JSON
        if not line.strip():
            continue
        try:
            found[number] = _of_line(parameters, line, f"{path}:{number}")
        except UsageError as wrong:
            problems += wrong.diagnostics
            if len(problems) >= MOST_PROBLEMS:
                break
    if problems:
        raise UsageError.collect(problems[:MOST_PROBLEMS])
    if not found:
        raise UsageError(
            "ORCH-U011", f"{path} holds no inputs", fix=f"one line per run, such as {_example_object(parameters)}"
        )
    return found


def _of_line(parameters: Sequence[Parameter], line: str, place: str) -> Inputs:
    from orchestrator.runtime.values.at_run_time import adapter
    from orchestrator.runtime.values.decimals import takes_decimals, with_digits

    try:
        values = json.loads(line, object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as wrong:  # no JSON, a number of thousands of digits, or nested too deep
        raise UsageError("ORCH-U011", f"{place} is not JSON: {wrong}", fix="one JSON object a line") from wrong
    if not isinstance(values, dict):
        fix = f"write an object, such as {_example_object(parameters)}"
        raise UsageError("ORCH-U011", f"{place} is not a JSON object", fix=fix)
    exact = {parameter.name for parameter in parameters if takes_decimals(adapter(parameter.type))} & values.keys()
    if exact:
        values |= {name: each for name, each in with_digits(line).items() if name in exact}
    return _validated(parameters, values, [], f"{place}: ")


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object; raises ``ValueError`` for a key that would hide another one of its name."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key `{twice}` stands there twice")
    return found


def _validated(
    parameters: Sequence[Parameter], given: Mapping[str, object], problems: list[Diagnostic], place: str = ""
) -> Inputs:
    from orchestrator.runtime.values.at_run_time import adapter
    from orchestrator.runtime.values.by_value import by_value

    names = [parameter.name for parameter in parameters]
    given = {**_of_environment(parameters), **given}
    values: Inputs = {}
    for name in given:
        if name not in names:
            near = get_close_matches(name, names, n=1, cutoff=0.5)
            fix = f"did you mean `{near[0]}`?" if near else f"the workflow takes {_listed(parameters)}"
            problems.append(Diagnostic("ORCH-U010", f"{place}the workflow has no input `{name}`", fix=fix))
    blamed = any("has no input" in problem.message or "could be any" in problem.message for problem in problems)
    for parameter in parameters:
        if parameter.name not in given:
            if parameter.required and not blamed:
                message = f"{place}the input `{parameter.name}: {parameter.type_name}` is missing"
                fix = _example(parameters)
                fix = f"set {variable_of(parameter.name)}, or {fix}" if parameter.is_secret else fix
                problems.append(Diagnostic("ORCH-U010", message, fix=fix))
            continue
        value = given[parameter.name]
        try:
            values[parameter.name] = by_value(adapter(parameter.type).validate_python(value))
        except ValidationError as wrong:
            problems += _mismatches(parameter, value, wrong, place)
    if problems:
        raise UsageError.collect(problems)
    return values


def _mismatches(parameter: Parameter, value: object, wrong: ValidationError, place: str) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    for error in wrong.errors(include_url=False):
        path = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in error["loc"])
        reason = error["msg"][:1].lower() + error["msg"][1:]
        shown = json.dumps(value, default=str)
        shown = shown if len(shown) <= 60 else shown[:57] + "…"
        message = f"{place}the input `{parameter.name}{path}` does not fit `{parameter.type_name}`: {reason}"
        why = None if holds_secret(parameter.type) else f"it was given {shown}"
        found.append(Diagnostic("ORCH-U010", message, why=why))
    return found


def _of_environment(parameters: Sequence[Parameter]) -> dict[str, object]:
    """The secrets that stand there."""
    variables = {each.name: variable_of(each.name) for each in parameters if each.is_secret}
    return {name: os.environ[variable] for name, variable in variables.items() if variable in os.environ}


def _parse(text: str, parameter: Parameter | None) -> object:
    is_hidden = parameter is not None and parameter.is_secret
    if text.startswith("@") and len(text) > 1:
        text = _text(Path(text[1:]), "the input")
        text = text.rstrip("\r\n") if is_hidden else text  # editors end a file with one
    if parameter is None or parameter.type is str or is_hidden:
        return text
    type_ = parameter.type
    from orchestrator.runtime.values.at_run_time import adapter
    from orchestrator.runtime.values.decimals import takes_decimals, with_digits

    try:
        return with_digits(text) if takes_decimals(adapter(type_)) else json.loads(text)
    except (ValueError, RecursionError):
        return text


def _text(path: Path, what: str) -> str:
    """A file's characters as they are, carriage returns included; its byte order mark is left out."""
    try:
        data = path.read_bytes()
        wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        return data.decode("utf-16" if wide else "utf-8-sig")
    except (OSError, ValueError) as unreadable:  # a ValueError: no UTF-8, or a path with a NUL in it
        fix = "save it in UTF-8" if isinstance(unreadable, UnicodeDecodeError) else None
        if isinstance(unreadable, FileNotFoundError) and what == "the input":
            fix = "`@` reads a file: give text that begins with it as a plain word, or with --inputs"
        raise UsageError("ORCH-U011", f"cannot read {what} {path}: {unreadable}", fix=fix) from unreadable


def _listed(parameters: Sequence[Parameter]) -> str:
    return ", ".join(f"`{each.name}: {each.type_name}`" for each in parameters) or "no input"


def _example(parameters: Sequence[Parameter]) -> str:
    needed = [each for each in parameters if each.required] or parameters
    return "write " + " ".join(f"--input {each.name}=…" for each in needed) if needed else "leave the words out"


def _example_object(parameters: Sequence[Parameter]) -> str:
    return json.dumps({each.name: "…" for each in parameters}, ensure_ascii=False)
