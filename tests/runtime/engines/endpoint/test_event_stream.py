"""Events, however the network cuts them and servers write them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtime.engines.endpoint import event_stream
from orchestrator.runtime.engines.endpoint.event_stream import Done, NoEventsError, UnreadableError, values


async def read(*pieces: bytes) -> list[Any]:
    async def arriving() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return ["DONE" if isinstance(value, Done) else value async for value in values(arriving())]


@pytest.mark.parametrize(
    "sent",
    [
        b'data: {"a": 1}\n\ndata: {"b": "\xc3\xa4"}\n\ndata: [DONE]\n\n',
        b'data:{"a":1}\r\n\r\ndata:{"b":"\xc3\xa4"}\r\n\r\ndata:[DONE]',
        b'data: {"a": 1}\r\rdata: {"b": "\xc3\xa4"}\r\rdata: [DONE]\r\r',
        b'\xef\xbb\xbf: hi\n\nevent: e\nid: 7\ndata: {"a": 1}\n\n: ping\n\ndata: {"b": "\xc3\xa4"}\ndata: [DONE]\n',
        b'retry: 3\n\ndata: {\ndata: "a": 1\ndata: }\n\ndata: {"b": "\xc3\xa4"}\n\ndata:  [DONE] \n\n',
    ],
)
@given(data=st.data())
async def test_all_ways_to_write_the_same(sent: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    pieces = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    assert await read(*pieces) == [{"a": 1}, {"b": "ä"}, "DONE"]


async def test_bytes_that_are_no_text_become_a_character_that_says_so() -> None:
    assert await read(b'data: {"a": "\xff\xfe"}\n\n') == [{"a": "\ufffd\ufffd"}]


async def test_null_is_a_value() -> None:
    assert await read(b"data: null\n\n") == [None]


async def test_a_document_is_one_value() -> None:
    assert await read(b' {"a":', b" 1}\n") == [{"a": 1}, "DONE"]


@pytest.mark.parametrize(
    "sent", [b'{"id": "7", "choi', b'{"id": "7', b'\n{ "a": [1, 2', b'{"a": 1,}', b'{"a": ' + b"[" * 100_000]
)
async def test_a_document_that_breaks_off_is_told_from_none(sent: bytes) -> None:
    with pytest.raises(UnreadableError, match="no whole JSON") as caught:
        await read(sent)
    assert sent[-8:].decode() in str(caught.value)


async def test_nothing_is_no_value() -> None:
    assert await read(b"", b"\n\n") == []


@pytest.mark.parametrize("sent", [b"<html>", b"data center", b"{half", b'{"a": 1}\n{"a": 2}\n', b"[" * 100_000])
async def test_what_is_neither_is_shown(sent: bytes) -> None:
    with pytest.raises(NoEventsError) as caught:
        await read(sent)
    assert str(caught.value) == sent.decode()


@pytest.mark.parametrize("sent", [b"data: {half\n\n", b"data: hello\n\ndata: 1\n\n", b'data: {"a": \n\n'])
async def test_an_event_that_is_no_json(sent: bytes) -> None:
    with pytest.raises(UnreadableError, match="no JSON"):
        await read(sent)


@pytest.mark.parametrize("sent", [b"data: [\n", b'data: {"a": "b\n', b"\n  \n", b": wait\n", b"{"])
async def test_however_much_comes_no_byte_is_read_twice(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at grows as what is sent, for one event without an end and for what is none."""
    looked_at = {1_000: 0, 4_000: 0}
    for count in looked_at:

        def loads(text: str, count: int = count) -> Any:
            looked_at[count] += len(text)
            return json.loads(text)

        monkeypatch.setattr(event_stream, "json", SimpleNamespace(loads=loads))
        with suppress(UnreadableError, NoEventsError):
            await read(*[sent] * count)
    assert looked_at[4_000] <= 8 * max(looked_at[1_000], 1_000)


async def test_an_event_is_of_bounded_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MOST_BYTES", 1_000)
    for sent in (b"data: [\n", b"data: [", b"x"):
        with pytest.raises(UnreadableError, match="longer than"):
            await read(b"data: [", *[sent] * 2_000)


async def test_what_came_before_it_is_passed_on() -> None:
    async def arriving() -> AsyncIterator[bytes]:
        yield b"data: 1\n\ndata: {half\n\n"

    seen: list[Any] = []
    with pytest.raises(UnreadableError):
        async for value in values(arriving()):
            seen.append(value)  # noqa: PERF401 - what was seen before the error counts
    assert seen == [json.loads("1")]


async def test_a_long_event_in_many_pieces_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once more with each piece: the event loop would stand still."""
    looked_at, ends = 0, event_stream._ENDS

    class Ends:
        def split(self, text: bytes) -> list[bytes]:
            nonlocal looked_at
            looked_at += len(text)
            return ends.split(text)

    sent = b'data: {"a": "' + b"x" * 100_000 + b'"}\n\n'
    monkeypatch.setattr(event_stream, "_ENDS", Ends())
    (found,) = await read(*(sent[at : at + 100] for at in range(0, len(sent), 100)))
    assert found == {"a": "x" * 100_000}
    assert looked_at < 2 * len(sent)
