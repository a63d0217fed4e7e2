"""A TCP proxy that breaks on demand: what lies between a client and its server in bad weather."""

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Self

_CHUNK = 64 * 1024
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close sends RST


class Proxy:
    """Forwards 127.0.0.1:``port`` to a server, until told otherwise. An async context manager.

    `cut`, `half_open` and `delay` last until `restore`; `reset` happens once.
    """

    def __init__(self, target_port: int, *, target_host: str = "127.0.0.1") -> None:
        self.port = 0
        self._target = (target_host, target_port)
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._delay = 0.0

    @property
    def connections(self) -> int:
        """How many connections are open through the proxy."""
        return len(self._links)

    async def cut(self) -> None:
        """Drop every connection and refuse new ones."""
        await self._close_listener()
        self._drop(reset=False)

    async def half_open(self) -> None:
        """Keep connections open, take new ones, carry not a byte more: what a vanished peer looks like."""
        self._flowing.clear()

    async def delay(self, seconds: float) -> None:
        """Let every chunk, in either direction, arrive ``seconds`` late."""
        self._delay = seconds

    async def reset(self) -> None:
        """End every open connection with a TCP reset; new ones are taken as before."""
        self._drop(reset=True)

    async def restore(self) -> None:
        """Listen on the same port and forward at once. What `half_open` held back flows on."""
        self._delay = 0.0
        self._flowing.set()
        if self._server is None:
            await self._listen()

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close_listener()
        links = list(self._links)
        self._drop(reset=False)
        await asyncio.gather(*(link.task for link in links), return_exceptions=True)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close_listener(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _drop(self, *, reset: bool) -> None:
        for link in list(self._links):
            link.drop(reset=reset)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        link = _Link(task, writer)
        self._links.add(link)
        try:
            await self._connect_and_carry(link, reader)
        except (OSError, asyncio.CancelledError):
            return  # this task belongs to the connection alone: nobody waits for how it ended
        finally:
            self._links.discard(link)
            link.close()

    async def _connect_and_carry(self, link: "_Link", reader: asyncio.StreamReader) -> None:
        await self._flowing.wait()
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        link.writers.append(server_writer)
        async with asyncio.TaskGroup() as directions:
            directions.create_task(self._carry(reader, server_writer))
            directions.create_task(self._carry(server_reader, link.writers[0]))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._flowing.wait()
                writer.write(chunk)
                await writer.drain()
        await self._flowing.wait()
        with contextlib.suppress(OSError):
            writer.write_eof()


class _Link:
    """One connection through the proxy: its task, and both sockets once the server is reached."""

    def __init__(self, task: "asyncio.Task[None]", writer: asyncio.StreamWriter) -> None:
        self.task = task
        self.writers = [writer]

    def drop(self, *, reset: bool) -> None:
        """End both sides at once, with a TCP reset if asked for."""
        for writer in self.writers:
            if reset:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        self.task.cancel()

    def close(self) -> None:
        for writer in self.writers:
            writer.close()
