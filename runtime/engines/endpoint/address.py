"""URLs and keys as people have them.

>>> checked_url(" http://gpu-7:8000/v1/chat/completions/ ")
'http://gpu-7:8000/v1'
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from orchestrator.redaction import HIDDEN, shown
from orchestrator.runtime.engines import errors

LOCAL_KEY: Final = "none"
"""Sent where no key is set: servers on one's own machine ask for none, and the client insists on one."""
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
        place = shown(url).lstrip("/")
        raise ValueError(f"`{shown(url)}` has no scheme; write http://{place} or https://{place}")
    if re.search(r"[\s\x00-\x1f]", url):
        raise ValueError(f"`{shown(url)}` has a blank or a control character in it")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        reason = "what stands between `@` and `/` is no port" if "@" in url else error  # which quotes a password
        raise ValueError(f"`{shown(url)}`: {reason}") from None
    if HIDDEN in url and shown(url) == url:
        raise ValueError(f"`{url}` has no password: none is saved with a plan; write the URL out")
    if parts.scheme.lower() not in ("http", "https"):
        raise ValueError(f"`{shown(url)}` is no http or https URL")
    if not parts.hostname:
        raise ValueError(f"`{shown(url)}` names no host")
    path = _PASTED.sub("", parts.path.rstrip("/")).rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


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
