"""URLs and keys as people have them, and how they may be shown.

>>> checked_url(" http://gpu-7:8000/v1/chat/completions/ ")
'http://gpu-7:8000/v1'
>>> shown("https://me:hush@proxy.example/v1?key=abc")
'https://***@proxy.example/v1?key=***'
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from orchestrator.errors import EngineError
from orchestrator.runtime.engines import errors

LOCAL_KEY: Final = "none"
"""Sent where no key is set: servers on one's own machine ask for none, and the client insists on one."""
SHORTEST_SECRET: Final = 4
_PASTED: Final = re.compile(r"/(chat/completions|completions|models|responses)/*$")
_SCHEME: Final = re.compile(r"[a-zA-Z][\w+.-]*://")


def checked_url(text: str) -> str:
    """The base URL that ``text`` means: without blanks, a slash at its end, or the path of the one method we call.

    Raises ``ValueError``, which says what is wrong and shows no password.
    """
    url = text.strip().strip("\"'").strip()
    if not url:
        raise ValueError("it is empty; give the URL of the endpoint, such as http://localhost:8000/v1")
    if not _SCHEME.match(url):
        raise ValueError(f"`{url}` has no scheme; write http://{url.lstrip('/')} or https://{url.lstrip('/')}")
    if re.search(r"[\s\x00-\x1f]", url):
        raise ValueError(f"`{shown(url)}` has a blank or a control character in it")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"`{shown(url)}`: {error}") from None
    if parts.scheme.lower() not in ("http", "https"):
        raise ValueError(f"`{shown(url)}` is no http or https URL")
    if not parts.hostname:
        raise ValueError(f"`{shown(url)}` names no host")
    path = _PASTED.sub("", parts.path.rstrip("/")).rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def shown(url: str) -> str:
    """``url`` without the password and the values of its query."""
    head, at, tail = url.partition("://")
    if not at:
        return url
    authority, slash, path = tail.partition("/")
    if "@" in authority:
        authority = "***@" + authority.rpartition("@")[2]
    return head + at + re.sub(r"([?&][^=&#]*)=[^&#]*", r"\1=***", authority + slash + path)


def secrets_of(url: str) -> tuple[str, ...]:
    """What must not be shown of a URL."""
    parts = urlsplit(url)
    found = [unquote(parts.password or ""), *(value for _, value in parse_qsl(parts.query))]
    return tuple(each for text in found for each in {text, quote(text)})


def api_key(name: str, environment: Mapping[str, str]) -> str:
    """The key in the environment variable ``name``; an empty one counts as none.

    Raises ORCH-E027 for one that cannot be a key, without showing it.
    """
    key = environment.get(name, "").strip()
    if not key:
        return LOCAL_KEY
    quotes = "\"'\u201c\u201d\u2018\u2019\u00ab\u00bb`"
    if key[0] in quotes or key[-1] in quotes:
        raise errors.bad_key(name, "it begins or ends with a quotation mark")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise errors.bad_key(name, "it has a blank, a line break or a letter in it that no key has")
    return key


class Redaction:
    """Takes secrets out of whatever is going to be shown."""

    def __init__(self, url: str, key: str) -> None:
        self._secrets = [each for each in (key, *secrets_of(url)) if len(each) >= SHORTEST_SECRET and each != LOCAL_KEY]

    def __call__(self, text: str) -> str:
        """``text`` without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
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

    def coded(self, error: EngineError) -> EngineError:
        """``error`` without the secrets."""
        from dataclasses import replace

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
