"""Options of ops: values that are known before the workflow runs, each with what it may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, TypedDict

from orchestrator.dsl.declared.policy import (
    BudgetLike,
    Opts,
    PolicyError,
    RetryLike,
    TimeoutLike,
    is_count,
    is_number,
    policy_opts,
)
from orchestrator.dsl.sampling import MEANT, PASSED
from orchestrator.dsl.source.location import user_location
from orchestrator.dsl.tracing.constants import is_symbolic, named, shown
from orchestrator.dsl.tracing.lifting import waited_for
from orchestrator.dsl.tracing.tracer import Tracer
from orchestrator.errors import Diagnostic, SourceLoc, TraceError

LONGEST_NAME: Final = 200
_RESERVED: Final = ("/", "[", "]", "`", '"')
_OF_PATHS: Final = (".", "#")
"""What follows the name of an op in the path of what is inside of it."""


class Accepted(NamedTuple):
    """What an option may be, for people and as a test."""

    expected: str
    test: Callable[[Any], bool]


def is_text(value: object) -> bool:
    """Whether ``value`` is a string that says something and is Unicode."""
    return isinstance(value, str) and bool(value.strip()) and is_unicode(value)


def is_unicode(text: str) -> bool:
    """Whether ``text`` consists of characters: half a surrogate pair is none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_name(value: object) -> bool:
    """Whether ``value`` can name an op, a tool or a workflow: in paths, tables and files, and to a model."""
    if not is_text(value) or not isinstance(value, str) or len(value) > LONGEST_NAME or not value.isprintable():
        return False
    return not any(sign in value for sign in _RESERVED) and value == value.strip()


def _is_name_of_op(value: object) -> bool:
    return is_name(value) and not any(sign in str(value) for sign in _OF_PATHS)


def _is_stop(value: object) -> bool:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)):
        return False
    return all(isinstance(text, str) and text != "" and is_unicode(text) for text in texts)


def _is_choices(value: object) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(map(is_text, value)) and len({*value}) == len(value)


_COUNT: Final = Accepted("a Python int of 1 or more", is_count)
NAME: Final = Accepted(f"printable text of at most {LONGEST_NAME} characters without {' '.join(_RESERVED)}", is_name)

ACCEPTED: Final[Mapping[str, Accepted]] = {
    "model": Accepted("the name of a model", is_text),
    "temperature": Accepted("a number of 0 or more", lambda value: is_number(value) and value >= 0),
    "top_p": Accepted("a number in (0, 1]", lambda value: is_number(value) and 0 < value <= 1),
    "max_tokens": _COUNT,
    "stop": Accepted("a string or a list of strings", _is_stop),
    "seed": Accepted(
        "an int of 64 bits",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63,
    ),
    "cache": Accepted("True or False", lambda value: isinstance(value, bool)),
    "at_least": _COUNT,
    "concurrency": _COUNT,
    "choices": Accepted("a list of different texts", _is_choices),
    "choice": Accepted("a list of different texts", _is_choices),
    **{name: Accepted(*each) for name, each in {**PASSED, **MEANT}.items()},
    "name": Accepted(f"{NAME.expected} {' '.join(_OF_PATHS)}", _is_name_of_op),
}
"""It has what each option may be, by its name; the policies are checked by :mod:`orchestrator.dsl.declared.policy`."""
_RENAMED: Final = {
    "timeout_s": "timeout", "sla": "slo", "max_completion_tokens": "max_tokens", "guided_choice": "choice",
    "guided_regex": "regex", "guided_grammar": "grammar", "top_logprobs": "logprobs", "extra_args": "extra_body",
}  # fmt: skip
_ELSEWHERE: Final = {
    "n": "write samples=n: it gives a list of n replies",
    "response_format": "write returns= and a type, such as a pydantic model",
    "guided_json": "write returns= and a type, such as a pydantic model",
}
"""Options of other libraries, and what says the same here."""
_VALUES: Final = frozenset({"after"})
"""Options that are values of the workflow."""


def unknown_option(name: str, known: type, callee: str, where: SourceLoc) -> Diagnostic:
    """What is said of an option that the ``TypedDict`` class ``known`` does not have."""
    names = list(known.__annotations__)
    close = get_close_matches(name, names, n=1)
    if _RENAMED.get(name) in names:
        close = [_RENAMED[name]]
    if name in _ELSEWHERE and "temperature" in names:
        return Diagnostic("ORCH-D041", f"{callee} has no option `{name}`", where, None, _ELSEWHERE[name])
    fix = f"did you mean `{close[0]}`?" if close else f"its options are {', '.join(names)}"
    return Diagnostic("ORCH-D041", f"{callee} has no option `{name}`", where, None, fix)


def refuse_unknown(options: Mapping[str, object], known: type, callee: str) -> None:
    """Raise :class:`TraceError` for options of a declaration that it does not have."""
    where = user_location()
    problems = [unknown_option(name, known, callee, where) for name in options if name not in known.__annotations__]
    if problems:
        raise TraceError.collect(problems)


def known_options(tracer: Tracer, given: Mapping[str, object], known: type, callee: str) -> Opts:
    """The options in ``given`` that can be used; reports those that the ``TypedDict`` ``known`` does not have."""
    names = known.__annotations__
    tracer.diagnostics += [unknown_option(name, known, callee, tracer.here()) for name in given if name not in names]
    return {name: value for name, value in given.items() if name in names and option(tracer, name, value) is not None}


def option(tracer: Tracer, name: str, value: Any, default: Any = None) -> Any:
    """``value``, or ``default`` where it is None, or after reporting that it is nothing that the option may be."""
    if value is None:
        return default
    if name in _VALUES:
        return value
    accepted = ACCEPTED.get(name)
    if is_symbolic(value):
        expected = accepted.expected if accepted else "known"
        fix = f"{name} is {expected}, known before the workflow runs"
        tracer.report("ORCH-D041", f"{name}={named(value)}, which is only known when the workflow runs", fix=fix)
        return default
    if accepted is None or accepted.test(value):
        return value
    tracer.report("ORCH-D041", f"{name}={shown(value)}", fix=f"{name} is {accepted.expected}")
    return default


def take_policies(tracer: Tracer, given: Opts) -> tuple[str | None, Opts]:
    """Take ``name``, ``after`` and the policies out of an op's options, and return the name and opts of the others."""
    name, after = given.pop("name", None), given.pop("after", None)
    opts = policies(tracer, given.pop("retry", None), given.pop("timeout", None), given.pop("budget", None))  # type: ignore[arg-type]
    if after is not None:
        opts["after"] = waited_for(tracer, after)
    return name, opts  # type: ignore[return-value]


def policies(tracer: Tracer, retry: RetryLike, timeout: TimeoutLike, budget: BudgetLike) -> Opts:
    """The opts of these policies; each invalid one is reported and left out."""
    given: dict[str, object] = {"retry": retry, "timeout": timeout, "budget": budget}
    opts: Opts = {}
    for name, policy in given.items():
        if option(tracer, name, policy) is not None:
            opts |= checked(tracer, policy_opts, **{name: policy})
    return opts


def checked(tracer: Tracer, parse: Callable[..., Opts], *args: object, **kwargs: object) -> Opts:
    """``parse(...)``, or nothing after reporting why it raised :class:`PolicyError`."""
    try:
        return parse(*args, **kwargs)
    except PolicyError as error:
        tracer.report("ORCH-D040", str(error), fix=error.fix)
        return {}


class Policy(TypedDict, total=False):
    """Name and policies of a structured op, and what it waits for besides the values that it takes."""

    name: str | None
    retry: RetryLike
    timeout: TimeoutLike
    budget: BudgetLike
    after: Any


def policy_of(tracer: Tracer, callee: str, given: Policy) -> tuple[str | None, Opts]:
    """The name and the policies' opts of a structured op, out of its options."""
    return take_policies(tracer, known_options(tracer, given, Policy, callee))
