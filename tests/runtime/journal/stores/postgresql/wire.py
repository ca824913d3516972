"""Between a store and its server: a wire on which answers may be lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PARSED = b"1"
"""How the answer begins that a statement is prepared; it is executed after that."""


class Wire:
    """Passes on what it is given, until answers are lost: then the next one ends its connection. Where it is cut, what
    it is given arrives when it is whole again, and no connection ends by that."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self.port = 0
        self.loses_answers = False
        self._whole = asyncio.Event()
        self._whole.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[Wire]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self._whole.set()
            for each in self._open:
                each.close()
            await asyncio.gather(*self._passing)

    @asynccontextmanager
    async def losing_answers(self) -> AsyncIterator[None]:
        self.loses_answers = True
        try:
            yield
        finally:
            self.loses_answers = False

    @asynccontextmanager
    async def cut(self) -> AsyncIterator[None]:
        self._whole.clear()
        try:
            yield
        finally:
            self._whole.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        self._open |= {writer, to_server}
        self._passing.add(asyncio.create_task(self._pass(reader, to_server, writer)))
        self._passing.add(asyncio.create_task(self._pass(from_server, writer, to_server, is_answer=True)))

    async def _pass(
        self,
        source: asyncio.StreamReader,
        to: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
        is_answer: bool = False,
    ) -> None:
        try:
            while data := await source.read(1 << 16):
                if is_answer and self.loses_answers and not data.startswith(PARSED):
                    break
                await self._whole.wait()
                to.write(data)
                await to.drain()
        except OSError:
            pass
        to.close()
        back.close()
