"""A broker that does as a test says: the server's half of AMQP, in the test's own event loop."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from pamqp import commands
from pamqp import frame as codec
from pamqp.base import Frame
from pamqp.header import ProtocolHeader

AnyFrame = TypeVar("AnyFrame", bound=Frame)
Script = Callable[["Peer"], Awaitable[None]]
"""What happens on a connection that is open."""


class Peer:
    """One client's connection, seen from the broker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.start_ok: commands.Connection.StartOk | None = None
        self.tune_ok: commands.Connection.TuneOk | None = None
        self.channel = 0
        """The channel of the frame that was read last."""

    async def frame(self) -> tuple[int, object]:
        """The next frame's length and the frame. Answers a goodbye. Raises `EOFError` at the end."""
        head = await self.reader.readexactly(7)
        rest = await self.reader.readexactly(int.from_bytes(head[3:]) + 1)
        size, self.channel, frame = codec.unmarshal(head + rest)
        if isinstance(frame, commands.Connection.Close):
            self.send(commands.Connection.CloseOk(), 0)
            raise EOFError  # noqa: TRY004 - the end of the stream, not a wrong type
        return size, frame

    async def publishes(self, count: int) -> list[commands.Basic.Publish]:
        """The next publishes' methods; contents are skipped."""
        found: list[commands.Basic.Publish] = []
        while len(found) < count:
            _, frame = await self.frame()
            if isinstance(frame, commands.Basic.Publish):
                found.append(frame)
        return found

    def send(self, method: Frame, channel: int = 1) -> None:
        self.writer.write(codec.marshal(method, channel))

    async def publish(self) -> commands.Basic.Publish:
        """The next publish's method. Meanwhile channels are opened and closed as RabbitMQ does it, and it reads on."""
        while True:
            _, frame = await self.frame()
            match frame:
                case commands.Basic.Publish():
                    return frame
                case commands.Channel.Open():
                    self.send(commands.Channel.OpenOk(), self.channel)
                case commands.Channel.Close():
                    self.send(commands.Channel.CloseOk(), self.channel)
                case commands.Confirm.Select():
                    self.send(commands.Confirm.SelectOk(), self.channel)
                case commands.Basic.Qos():
                    self.send(commands.Basic.QosOk(), self.channel)
                case _:
                    pass

    async def welcome(self, *, frame_max: int, heartbeat: int, channel_max: int) -> None:
        """Go through the handshake."""
        assert isinstance(codec.unmarshal(await self.reader.readexactly(8))[2], ProtocolHeader)
        self.send(commands.Connection.Start(server_properties={}), 0)
        self.start_ok = await self._expect(commands.Connection.StartOk)
        self.send(commands.Connection.Tune(channel_max, frame_max, heartbeat), 0)
        self.tune_ok = await self._expect(commands.Connection.TuneOk)
        await self._expect(commands.Connection.Open)
        self.send(commands.Connection.OpenOk(), 0)
        await self._expect(commands.Channel.Open)
        self.send(commands.Channel.OpenOk())
        await self._expect(commands.Exchange.Declare)
        self.send(commands.Exchange.DeclareOk())
        await self._expect(commands.Confirm.Select)
        self.send(commands.Confirm.SelectOk())

    async def _expect(self, kind: type[AnyFrame]) -> AnyFrame:
        _, frame = await self.frame()
        assert isinstance(frame, kind)
        return frame


async def silence(peer: Peer) -> None:
    """Read and say nothing, until the client goes."""
    while True:
        await peer.frame()


async def confirm_everything(peer: Peer) -> None:
    """Confirm each publish by itself."""
    tag = 0
    while True:
        await peer.publishes(1)
        tag += 1
        peer.send(commands.Basic.Ack(tag))


@asynccontextmanager
async def scripted(
    script: Script,
    *,
    frame_max: int = 131_072,
    heartbeat: int = 60,
    channel_max: int = 2047,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """A broker's URL; each connection is welcomed and goes through ``script``."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        try:
            await peer.welcome(frame_max=frame_max, heartbeat=heartbeat, channel_max=channel_max)
            await script(peer)
        except (EOFError, ConnectionError):
            return
        finally:
            writer.close()

    async with await _listen(converse, tls) as server:
        yield _url(server, "amqps" if tls else "amqp")


@asynccontextmanager
async def speaking(first_bytes: bytes) -> AsyncIterator[str]:
    """The URL of a server that says ``first_bytes`` to everybody, whatever it is told."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first_bytes)
        try:
            await reader.read()
        except ConnectionError:
            return
        finally:
            writer.close()

    async with await _listen(converse) as server:
        yield _url(server)


async def _listen(converse: Callable[..., Awaitable[None]], tls: ssl.SSLContext | None = None) -> asyncio.Server:
    return await asyncio.start_server(converse, "127.0.0.1", 0, ssl=tls)


def _url(server: asyncio.Server, scheme: str = "amqp") -> str:
    return f"{scheme}://somebody:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}/"
