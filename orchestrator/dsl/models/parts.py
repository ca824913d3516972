"""Images and files in a message: parts of its content that are no text.

A part is a URL, bytes, or a path that is read when the model is called, by the runtime, wherever that runs::

    llm([user("What is wrong in this picture?", image("shots/error.png"))])

The content of a part is never shown: its ``repr`` has the size only, and so has the text that a prompt gets of it.
"""

from __future__ import annotations

import base64
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

from orchestrator.dsl.source.location import user_location
from orchestrator.dsl.tracing.constants import is_symbolic, shown
from orchestrator.dsl.tracing.lifting import lift
from orchestrator.dsl.tracing.tracer import Tracer, current_tracer
from orchestrator.dsl.types.typing import assignable, plain, type_string
from orchestrator.errors import TraceError

Kind = Literal["text", "image", "audio", "file"]
T = TypeVar("T")
MOST_CONSTANT_BYTES: Final = 256 << 10
"""So many bytes may stand in the workflow itself."""
MOST_PART_BYTES: Final = 20 << 20
"""One part may have so many bytes; the common endpoints take no larger ones."""
DETAILS: Final = ("auto", "low", "high")
_WEB: Final = ("http", "https")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_DATA_URL: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,([A-Za-z0-9+/=\s]*)", re.ASCII)
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
)
_AUDIO: Final = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
"""What endpoints take as audio, and what they call it."""


class PartError(ValueError):
    """Something that is no part of a message; ``fix`` says what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


@dataclass(frozen=True, slots=True, repr=False)
class Part:
    """A part of a message's content. Make one with :func:`image` or :func:`file`."""

    kind: Kind
    text: str = ""
    """What it says, if it is a text."""
    url: str = ""
    """Where the endpoint finds it."""
    path: str = ""
    """Where the runtime finds it."""
    data: str = ""
    """Its bytes, in base64."""
    media_type: str = ""
    name: str = ""
    """What it is called, if it is a file."""
    detail: str = ""
    """How closely to look at an image."""

    @property
    def data_bytes(self) -> int:
        """How many bytes are at hand."""
        return len(self.data) * 3 // 4 - self.data.count("=")

    def __repr__(self) -> str:
        """How it is shown: the content, which may be large, is left out."""
        return f"<{self}>"

    def __str__(self) -> str:
        """What it is, in a few words."""
        if self.kind == "text":
            return f"text of {len(self.text)} characters"
        where = self.name or (PurePath(self.path).name if self.path else "")
        size = f"{self.data_bytes:,} bytes" if self.data else ""
        return " ".join(filter(None, [self.kind, where, size, "at a URL" if self.url else ""]))


def image(source: Any = None, /, *, path: Any = None, detail: str | None = None, media_type: str | None = None) -> Part:
    """An image in a message: ``image("https://…")``, ``image("shot.png")``, ``image(data)``.

    A text that is known now is a URL or a path. A *value* of type ``str`` is a URL (also ``data:``), because it may
    come from anywhere; ``path=`` says that it is a path, and so does its type, ``Path``. ``detail`` is ``"low"``,
    ``"high"`` or ``"auto"``. A path is read when the model is called.
    """
    return _part("image", source, path, {"detail": detail, "media_type": media_type})


def file(source: Any = None, /, *, path: Any = None, name: str | None = None, media_type: str | None = None) -> Part:
    """A file in a message, such as a PDF or a recording: a path, or bytes with a ``name``.

    Recordings (WAV, MP3) go to the endpoint as audio, all others as files. There is no URL of a file: a tool downloads
    it.
    """
    return _part("file", source, path, {"name": name, "media_type": media_type})


def _part(kind: Literal["image", "file"], source: Any, path: Any, given: dict[str, str | None]) -> Part:

    options = {name: value for name, value in given.items() if value is not None}
    tracer = current_tracer()
    try:
        if (source is None) == (path is None):
            raise PartError(f"{kind}() takes one source", f"pass a {'URL, a ' if kind == 'image' else ''}path or bytes")
        for name, value in options.items():
            _check_option(kind, name, value)
        if tracer is not None and (is_symbolic(source) or is_symbolic(path)):
            return _symbolic(tracer, kind, source, path, options)
        made = part_of(kind, source=source, path=path, is_trusted=True, **options)
        if made.data_bytes > MOST_CONSTANT_BYTES:
            many = f"{made.data_bytes:,} bytes in the workflow itself"
            raise PartError(many, "pass the path of a file, which is read when the model is called")
    except PartError as error:
        if tracer is None:
            raise TraceError("ORCH-D041", f"{kind}: {error}", where=user_location(), fix=error.fix) from None
        return tracer.report("ORCH-D041", f"{kind}: {error}", fix=error.fix)  # type: ignore[return-value]
    return made


def _check_option(kind: str, name: str, value: object) -> None:
    if not isinstance(value, str) or is_symbolic(value) or not value.isprintable() or not value.strip():
        raise PartError(f"{name}={shown(value)}", f"{name} is a text that is known now")
    if name == "detail" and value not in DETAILS:
        raise PartError(f"detail={shown(value)}", f"detail is one of {', '.join(DETAILS)}")
    if name == "media_type" and not re.fullmatch(r"[\w.+-]+/[\w.+-]+", value, re.ASCII):
        raise PartError(f"media_type={shown(value)}", 'write it as "image/png"')
    if kind == "image" and name == "media_type" and not value.startswith("image/"):
        raise PartError(f"media_type={shown(value)}", "an image's begins with image/; use file() for others")


def _symbolic(tracer: Tracer, kind: str, source: Any, path: Any, options: dict[str, str]) -> Part:
    """The op that makes a part of a value; the value's type says what it is."""
    if path is not None:
        value = lift(tracer, path)
        if not any(assignable(value._type, each) for each in (str, Path)):
            raise PartError(f"path={type_string(value._type)}", "a path is a str or a Path")
        role = "path"
    else:
        value = lift(tracer, source)
        tp = plain(value._type)
        role = "path" if isinstance(tp, type) and issubclass(tp, PurePath) else "source"
        allowed = (bytes, str, Part) if kind == "image" else (bytes, Part)
        if role == "source" and not any(assignable(value._type, each) for each in allowed):
            what = "a Path or bytes" if kind == "file" else "a URL, a Path or bytes"
            raise PartError(f"a value of type {type_string(value._type)}", f"pass {what}; path= takes a text")
    args = {"kind": lift(tracer, kind), role: value, **{name: lift(tracer, each) for name, each in options.items()}}
    return tracer.builtin("part", args, Part)  # type: ignore[return-value]


def part_of(
    kind: Literal["image", "file"], *, source: Any = None, path: Any = None, is_trusted: bool = False, **options: str
) -> Part:
    """The part of a source that is there; raises :class:`PartError`. What is not trusted names no path by its text."""
    if isinstance(source, Part):
        return source
    if isinstance(source, PurePath) or (is_trusted and isinstance(source, str) and not _SCHEME.match(source)):
        source, path = None, source
    if path is not None:
        if not str(path) or "\0" in str(path):
            raise PartError("an empty path", "pass the path of a file")
        name = options.pop("name", "") or PurePath(path).name
        media_type = options.pop("media_type", "") or mimetypes.guess_type(name)[0] or ""
        return Part(_kind(kind, media_type), path=str(path), media_type=media_type, name=name, **options)
    if isinstance(source, (bytes, bytearray)):
        return with_data(Part(kind, **options), bytes(source))
    if isinstance(source, str):
        return _of_url(kind, source.strip(), options)
    raise PartError(shown(source), "pass a URL, a path or bytes")


def _of_url(kind: Literal["image", "file"], url: str, options: dict[str, str]) -> Part:
    found = _DATA_URL.fullmatch(url)
    if found is not None:
        return with_data(Part(kind, media_type=options.pop("media_type", found[1]), **options), _decoded(found[2]))
    try:
        parts = urlsplit(url)
        is_web = parts.scheme.lower() in _WEB and bool(parts.hostname)
    except ValueError:
        is_web = False
    if kind == "file":
        raise PartError("a URL", "download it in a tool, and pass the bytes")
    if not is_web or not url.isprintable() or " " in url:
        raise PartError(f"{shown(url)} is no URL", "pass an http(s) or data URL; image(path=…) takes a path")
    return Part("image", url=url, **options)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=False)
    except ValueError:
        raise PartError("a data URL whose content is no base64", "encode the bytes: base64.b64encode(data)") from None


def with_data(part: Part, data: bytes) -> Part:
    """The part with its content and what kind of content that is; raises :class:`PartError`."""
    if not data:
        raise PartError("no content", "pass bytes that are not empty")
    if len(data) > MOST_PART_BYTES:
        raise PartError(f"{len(data):,} bytes", f"at most {MOST_PART_BYTES >> 20} MiB can be sent: make it smaller")
    media_type = part.media_type or _sniffed(data)
    if part.kind == "image" and not media_type.startswith("image/"):
        raise PartError("bytes that are no PNG, JPEG, GIF or WebP", 'say what they are: media_type="image/…"')
    kind = part.kind if part.kind == "image" else _kind("file", media_type)
    name = part.name or ("" if kind == "image" else f"file{mimetypes.guess_extension(media_type) or ''}")
    content = base64.b64encode(data).decode()
    return Part(kind, data=content, media_type=media_type, name=name, detail=part.detail)


def _kind(kind: Literal["image", "file"], media_type: str) -> Kind:
    return "audio" if kind == "file" and media_type in _AUDIO else kind


def audio_format(media_type: str) -> str:
    """What endpoints call it."""
    return _AUDIO[media_type]


def _sniffed(data: bytes) -> str:
    if data[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(data[8:12], "application/octet-stream")
    return next((media for magic, media in _MAGIC if data.startswith(magic)), "application/octet-stream")
