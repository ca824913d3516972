"""What the URL of a store in PostgreSQL says.

It is libpq's own, ``postgresql://user@host:5432/database?sslmode=require``, with ``schema`` besides: where the tables
are, ``?schema=staging``. Without it they are where the session's ``search_path`` begins. So several stores share a
database, each in a schema of its own. A password stands in the URL, in ``PGPASSWORD`` or in ``~/.pgpass``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote, urlencode

import psycopg
from psycopg import conninfo

from orchestrator.errors import JournalError

_SCHEMES: Final = ("postgresql://", "postgres://")
_SECRETS: Final = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
_DEFAULTS: Final = {
    "application_name": "orchestrator",
    "connect_timeout": "5",
    # A network that swallows what is sent is noticed in about ten seconds, and not in the hours that TCP allows.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Which database, and where in it."""

    url: str
    """What opens it again, without passwords."""
    conninfo: str = field(repr=False)
    """What libpq is given; there may be a password in it."""
    schema: str | None
    """None for where ``search_path`` begins."""

    @classmethod
    def of(cls, url: str) -> Address:
        """Read a URL. Raises ``JournalError`` ORCH-R110, which shows nothing of it: any of it may be the password."""
        place, mark, query = url.partition("?")
        fields = query.split("&") if mark else []
        schemas = [unquote(each.partition("=")[2]) for each in fields if each.startswith("schema=")]
        given = _read("?".join([place, *filter(None, ["&".join(x for x in fields if not x.startswith("schema="))])]))
        if given is None or not url.startswith(_SCHEMES) or schemas[1:] or any(not x or "\0" in x for x in schemas):
            raise JournalError(
                "ORCH-R110",
                "the URL of the store cannot be read",
                why="it has to be one that libpq reads, and may name one schema",
                fix="write postgresql://USER@HOST:PORT/DATABASE?schema=NAME; in a name or password, @ is %40 and / %2F",
            )
        text = conninfo.make_conninfo(**{**_DEFAULTS, **given})
        return cls(_shown(given, schemas), text, schemas[0] if schemas else None)


def _read(url: str) -> dict[str, str] | None:
    """What libpq finds in a URL; None where it finds nothing, or half a password where something else should be."""
    try:
        given = {name: str(value) for name, value in conninfo.conninfo_to_dict(url).items()}
    except (psycopg.Error, UnicodeError):  # whose messages quote what they could not read
        return None
    ports = given.get("port", "").split(",")
    is_odd = any(port and not port.isdecimal() for port in ports) or "@" in given.get("host", "") + given.get(
        "dbname", ""
    )
    return None if is_odd or any("\0" in value for value in given.values()) else given


def _shown(given: dict[str, str], schemas: list[str]) -> str:
    rest = {name: value for name, value in given.items() if name not in _SECRETS}
    rest |= dict(zip(["schema"], schemas, strict=False))
    user, database = (quote(rest.pop(name, ""), safe="") for name in ("user", "dbname"))
    place = ""
    if not {"/", ",", ":"} & set(rest.get("host", "/")):
        place = rest.pop("host") + (f":{rest.pop('port')}" if "port" in rest else "")
    query = urlencode(rest, quote_via=quote)
    return f"postgresql://{user}{'@' if user else ''}{place}/{database}{'?' if query else ''}{query}"
