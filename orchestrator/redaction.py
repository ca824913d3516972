"""Credentials as they may be shown: in errors, plans, traces and logs there are none.

>>> shown("https://me:hush@proxy.example/v1?key=abc")
'https://***@proxy.example/v1?key=***'
>>> redacted({"base_url": "http://me:hush@gpu-7/v1", "extra_body": {"api_key": "sk-1", "top_k": 20}})
{'base_url': 'http://***@gpu-7/v1', 'extra_body': {'api_key': '***', 'top_k': 20}}
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar
from urllib.parse import quote, unquote

from orchestrator.errors import OrchError

HIDDEN: Final = "***"
WITH_CREDENTIALS: Final = "with credentials"
"""Context of a serialization that is neither printed nor saved."""
SHORTEST: Final = 4
"""Characters of a secret that is looked for in texts; a shorter one would be found everywhere."""
_URL: Final = re.compile(r"[\s\"']*[a-zA-Z][\w+.-]*://")
_SCHEME: Final = re.compile(r"(?:[a-zA-Z][\w+.-]*:)?/+")
_URLS: Final = ("base_url", "endpoints")
_SECRET: Final = re.compile(
    r"(?i)(key|token|secret|password|passwd|pwd|passphrase|auth|authorization|bearer|credentials?|cookie)$"
)
"""How the name of a field ends that holds a credential, itself or in its parts; ``key_env`` holds the name of a
variable."""
OrchErrorT = TypeVar("OrchErrorT", bound=OrchError)


def shown(url: str) -> str:
    """``url`` without its user and password and the values of its query."""
    scheme, userinfo, rest = _parts(url)
    place, mark, query = _cut(rest)
    fields = (f"{name}={HIDDEN}" if equals else HIDDEN for name, equals, _ in _fields(query))
    return f"{scheme}{f'{HIDDEN}@' if userinfo else ''}{place}{mark}{'&'.join(fields) if query else ''}"


def secrets_of(url: str) -> Iterator[str]:
    """What must not be shown of a URL, as it is written there and as it is meant."""
    _, userinfo, rest = _parts(url)
    user, colon, password = userinfo.partition(":")
    values = [value if equals else name for name, equals, value in _fields(_cut(rest)[2])]
    for text in (password if colon else user, f"{userinfo}@" if userinfo else "", *values):
        yield from (text, unquote(text), quote(unquote(text)), unquote(text.replace("+", " ")))


def redacted(value: Any, name: str = "") -> Any:
    """Data such as the options of an engine, ``name`` being the field that holds it, without credentials."""
    if isinstance(value, Mapping):
        return {key: redacted(each, _deciding(name, key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(each, name) for each in value]
    if not isinstance(value, str) or not value:
        return value
    if _SECRET.search(name):
        return HIDDEN
    return shown(value) if name in _URLS or _URL.match(value) else value


def secrets_in(value: Any, name: str = "") -> Iterator[str]:
    """What :func:`redacted` hides."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from secrets_in(each, _deciding(name, key))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from secrets_in(each, name)
    elif isinstance(value, str) and redacted(value, name) != value:
        yield from [value] if _SECRET.search(name) else secrets_of(value)


def _deciding(outer: str, key: object) -> str:
    """What decides whether a part is secret: its own name, or that of what it is a part of."""
    return outer if _SECRET.search(outer) else str(key)


def secrets_of_proxies() -> Iterator[str]:
    """What must not be shown of the proxies in the environment."""
    from urllib.request import getproxies

    for url in getproxies().values():
        yield from secrets_of(url)


class Redaction:
    """Takes secrets out of whatever is going to be shown."""

    def __init__(self, secrets: Iterable[str]) -> None:
        found = {each for each in secrets if len(each) >= SHORTEST}
        self._secrets = sorted(found, key=len, reverse=True)  # one may be a part of another

    def __call__(self, text: str) -> str:
        """``text`` without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, f"{HIDDEN}@" if secret.endswith("@") else HIDDEN)
        return text

    def cause(self, error: BaseException) -> BaseException | None:
        """``error`` as the cause of another one; None if a traceback of it would show a secret."""
        each: BaseException | None = error
        while each is not None:
            text = f"{each} {each!r}"
            if self(text) != text:
                return None
            each = each.__cause__ or each.__context__
        return error

    def coded(self, error: OrchErrorT) -> OrchErrorT:
        """``error`` without the secrets."""
        error.diagnostics = [
            replace(
                each,
                message=self(each.message),
                why=None if each.why is None else self(each.why),
                fix=None if each.fix is None else self(each.fix),
            )
            for each in error.diagnostics
        ]
        error.args = (error.code, error.message)
        return error

    def record(self, record: logging.LogRecord) -> bool:
        """As a filter of a logger: the message without the secrets."""
        text = record.getMessage()
        if (clean := self(text)) != text:
            record.msg, record.args = clean, None
        return True


def _parts(url: str) -> tuple[str, str, str]:
    """Scheme, user with password, and the rest; also of what is no URL, so that nothing slips through."""
    found = _SCHEME.match(url)
    scheme = found[0] if found else ""
    rest = url[len(scheme) :]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    userinfo, at, _ = authority.rpartition("@")
    if not at and ":" in authority and not re.fullmatch(r"\d*", authority.rpartition(":")[2]):
        userinfo, at, _ = rest.rpartition("@")  # a password with a slash in it that nobody has quoted
    return (scheme, userinfo, rest[len(userinfo) + 1 :]) if at else (scheme, "", rest)


def _cut(rest: str) -> tuple[str, str, str]:
    found = re.search(r"[?#]", rest)
    return (rest[: found.start()], found[0], rest[found.end() :]) if found else (rest, "", "")


def _fields(query: str) -> list[tuple[str, str, str]]:
    return [each.partition("=") for each in re.split(r"[&;#]", query) if each]
