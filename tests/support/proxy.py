"""A proxy on the loopback, by HTTP or by SOCKS 5: whatever host it is asked for is found on this machine.

So a server of a test can stand elsewhere, under a name that nobody knows, and `asked` says what came this way.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class FakeProxy:
    """`answer` is what it says in place of what it was asked for; "" says nothing and waits."""

    def __init__(self, answer: str | None = None) -> None:
        self.asked: list[str] = []
        """host:port, as often as it was asked for it."""
        self.seen = b""
        """Everything that passed through it, or was said to it."""
        self.address = ""
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator["FakeProxy"]:
        """Listen on a port, or a free one."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        host, port = server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            first = await reader.readexactly(1)
            await (self._socks(reader, writer) if first == b"\x05" else self._http(first, reader, writer))
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def _http(self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = first + await reader.readuntil(b"\r\n\r\n")
        self.seen += head
        method, target, version = head.split(b"\r\n", 1)[0].decode().split(" ")
        place = target if method == "CONNECT" else target.split("/")[2] if target[0] != "/" else target
        self.asked.append(place)
        if self._answer is not None:
            writer.write(self._answer.encode())
            await (writer.drain() if self._answer else asyncio.Event().wait())
            return
        port = int(place.rpartition(":")[2])
        there, back = await asyncio.open_connection("127.0.0.1", port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:  # the rest of the connection goes to the same place, which is enough for a test
            path = "/" + target.split("/", 3)[3]
            head = head.replace(target.encode(), path.encode(), 1).replace(version.encode(), b"HTTP/1.0", 1)
            back.write(head.replace(place.encode(), f"127.0.0.1:{port}".encode(), 1))
        await self._pass_on(reader, writer, there, back)

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly((await reader.readexactly(1))[0])
        if self._answer is not None:
            self.asked.append("?")
            writer.write(self._answer[:2].encode("latin-1"))
            await (reader.readexactly(4) if self._answer else asyncio.Event().wait())
            writer.write(self._answer[2:].encode("latin-1"))
            return
        writer.write(b"\x05\x00")
        *_, kind = await reader.readexactly(4)
        length = (await reader.readexactly(1))[0] if kind == 3 else 4
        host = await reader.readexactly(length)
        port = int.from_bytes(await reader.readexactly(2))
        self.asked.append(f"{host.decode() if kind == 3 else '.'.join(map(str, host))}:{port}")
        there, back = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        await self._pass_on(reader, writer, there, back)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
        there: asyncio.StreamReader, back: asyncio.StreamWriter,
    ) -> None:  # fmt: skip
        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            try:
                with suppress(OSError):
                    while data := await source.read(65536):
                        self.seen += data
                        sink.write(data)
                        await sink.drain()
            finally:
                sink.close()

        await asyncio.gather(pump(reader, back), pump(there, writer))
