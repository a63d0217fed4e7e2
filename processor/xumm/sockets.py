"""Xumm's status sockets, one for each payload: opened without credentials, read, and closed.

Nothing is retried here, and no library timer runs for an open socket: the reader decides when a socket is dead.

Source: https://docs.xumm.dev/concepts/payloads-sign-requests/status-updates/websocket
"""

import ssl
from http import HTTPStatus
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import CloseCode
from yarl import URL

from processor.core.errors import Unavailable
from processor.web.client import USER_AGENT

MAX_MESSAGE: Final = 64 * 1024
OPEN_SECONDS: Final = 20.0
CLOSE_SECONDS: Final = 2.0
_SCHEMES: Final = {"http": "ws", "https": "wss"}
_MAX_FRAMES: Final = 16


class SocketClosed(Exception):
    """The socket is closed. The message says why, as far as is known."""

    def __init__(self, reason: str, *, abused: bool = False) -> None:
        """``abused``: the server sent what violates the protocol or the limits."""
        super().__init__(reason)
        self.abused = abused


class StatusSocket:
    """One open socket."""

    __slots__ = ("_connection",)

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def receive(self) -> str | bytes:
        """The next message. Raises `SocketClosed`."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            raise _describe_close(closed) from None

    def abort(self) -> None:
        """Drop the connection without a closing handshake: `receive` raises at once."""
        self._connection.transport.abort()

    async def close(self) -> None:
        """Close the connection, and wait at most `CLOSE_SECONDS` for the answer."""
        await self._connection.close()


class StatusSockets:
    """Opens the sockets of payloads, below one address."""

    def __init__(self, base_url: URL) -> None:
        """``base_url`` is Xumm's: ``https://xumm.app``."""
        self._base = base_url.with_scheme(_SCHEMES[base_url.scheme]) / "sign"
        # One TLS context for all sockets: making one costs more than the rest of a socket.
        self._tls = ssl.create_default_context() if self._base.scheme == "wss" else None

    async def open(self, payload: str) -> StatusSocket:
        """The open socket of a payload. Raises `Unavailable`, a 429 included."""
        try:
            connection = await _WithoutRedirects(
                str(self._base / payload),
                ssl=self._tls,
                compression=None,
                max_size=MAX_MESSAGE,
                max_queue=_MAX_FRAMES,
                proxy=None,
                ping_interval=None,
                open_timeout=OPEN_SECONDS,
                close_timeout=CLOSE_SECONDS,
                user_agent_header=USER_AGENT,
            )
        except TimeoutError:
            problem = "did not answer in time"
        except InvalidStatus as refused:
            status = refused.response.status_code
            problem = f"answered {status}" + (", too many" if status == HTTPStatus.TOO_MANY_REQUESTS else "")
        except (OSError, ValueError, WebSocketException) as error:
            problem = f"could not be reached ({type(error).__name__})"
        else:
            return StatusSocket(connection)
        raise Unavailable(f"{self._base.host} {problem}")


class _WithoutRedirects(connect):
    """Follows no redirect: it could lead to any host."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Take the redirect as the answer."""
        return exc


def _describe_close(closed: ConnectionClosed) -> SocketClosed:
    sent, received = closed.sent, closed.rcvd
    if sent is not None and not closed.rcvd_then_sent and sent.code in _ABUSES:
        return SocketClosed(_ABUSES[sent.code], abused=True)
    return SocketClosed(f"closed with {received.code}" if received is not None else "the connection broke")


_ABUSES: Final[dict[int, str]] = {
    CloseCode.MESSAGE_TOO_BIG: f"a message has more than {MAX_MESSAGE} bytes",
    CloseCode.INVALID_DATA: "a message is no UTF-8",
    CloseCode.PROTOCOL_ERROR: "the server sent an invalid WebSocket frame",
}
