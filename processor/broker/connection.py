"""One AMQP connection that publishes, from its first byte to its loss."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, assert_never, cast

from pamqp import commands
from pamqp.base import Frame

from processor.broker.address import Address
from processor.broker.amqp import (
    HEARTBEAT,
    PROTOCOL_HEADER,
    Confirmed,
    Method,
    Parser,
    ProtocolError,
    Returned,
    method_bytes,
)
from processor.broker.channels import Channels
from processor.broker.confirms import Confirms
from processor.broker.handshake import Handshake, is_missing_exchange
from processor.broker.options import RabbitOptions
from processor.broker.patience import Patience
from processor.broker.port import Disconnected, Nacked, Unpermitted, Unsendable
from processor.core.publishing.message import Message

_WRITE_BUFFER: Final = 1024 * 1024
"""Bytes that the transport takes before it asks to pause."""
_CHECKS_PER_TIMEOUT: Final = 4
_PRODUCT_CLOSES: Final = 200
_ACCESS_REFUSED: Final = 403


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Why a connection ended."""

    kind: Literal["closed", "exchange_missing", "failed"]
    reason: str


class Connection(asyncio.Protocol):
    """The shell round `Parser`, `Handshake` and `Channels`.

    Frames of one tick of the loop leave in one write, in the order of the calls. ``opened`` tells whether the
    handshake succeeded. ``lost`` resolves when the connection is gone: every future handed to `publish` is
    done then, and the object of no more use.
    """

    def __init__(self, address: Address, options: RabbitOptions, *, on_blocked: Callable[[str | None], None]) -> None:
        """``on_blocked`` is called with the reason when the broker blocks publishers, and with None when it unblocks
        them.
        """
        self._loop = asyncio.get_running_loop()
        self.opened: Final[asyncio.Future[bool]] = self._loop.create_future()
        self.lost: Final[asyncio.Future[Loss]] = self._loop.create_future()
        self._handshake = Handshake(address, options)
        self._options = options
        self._confirm_timeout_seconds = options.confirm_timeout.total_seconds()
        self._patience_seconds = options.patience.total_seconds()
        self._on_blocked = on_blocked
        self._parser = Parser()
        self._channels: Channels | None = None
        self._transport: asyncio.Transport | None = None
        self._loss: Loss | None = None

        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._flush_due = False
        self._paused = False
        self.blocked = False
        """Whether the broker takes no publishes at the moment."""

        self._opened_at: float | None = None
        self._lost_at: float | None = None
        self._wrote = True
        self._heard_at = self._loop.time()
        self._patience = Patience(self._patience_seconds, hung_after_seconds=self._confirm_timeout_seconds)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def age(self) -> timedelta:
        """For how long it has been, or was, open."""
        if self._opened_at is None:
            return timedelta()
        return timedelta(seconds=(self._lost_at or self._loop.time()) - self._opened_at)

    def publish(self, message: Message, future: asyncio.Future[None], queue: str | None = None) -> None:
        """Publish ``message``; ``future`` gets the broker's answer."""
        if self._loss is not None or self._channels is None:
            future.set_exception(Disconnected(self._loss.reason if self._loss else "the connection is not open"))
            return
        if self._unsent_bytes > self._options.unsent_bytes:
            future.set_exception(Disconnected(f"{self._unsent_bytes} bytes wait already for the broker to read on"))
            return
        channel = self._channels.pick(queue)
        if channel is None:
            self.drop("every channel waits for a queue that gives no answer")
            future.set_exception(Disconnected("every channel waits for a queue that gives no answer"))
            return
        try:
            frames = channel.encode(message)
        except Unsendable as exc:
            future.set_exception(exc)
            return
        channel.confirms.expect(future, message.id)
        self._send(frames)

    def close(self) -> None:
        """Fail what is in flight and close the connection; ``lost`` resolves when the broker has answered."""
        self._fail_in_flight("the publisher was closed")
        if self._loss is not None or self._transport is None:
            return
        self._loss = Loss(kind="closed", reason="the publisher was closed")
        close = commands.Connection.Close(_PRODUCT_CLOSES, "bye", 0, 0)
        self._transport.write(method_bytes(close, 0))

    def drop(self, reason: str, kind: Literal["closed", "exchange_missing", "failed"] = "failed") -> None:
        """End the connection at once."""
        if self._loss is None:
            self._loss = Loss(kind=kind, reason=reason)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the broker."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has the methods, not the class
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        self._transport.write(PROTOCOL_HEADER)

    def data_received(self, data: bytes) -> None:
        """Handle the broker's frames."""
        self._heard_at = self._loop.time()
        try:
            for event in self._parser.feed(data):
                match event:
                    case Confirmed():
                        self._confirms(event.channel).confirm(event)
                    case Returned():
                        self._confirms(event.channel).note_return(event)
                    case Method():
                        self._method(event)
                    case _:
                        assert_never(event)
        except ProtocolError as exc:
            self.drop(f"protocol error: {exc}")

    def eof_received(self) -> None:
        """Let the transport close."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is in flight and tell the owner."""
        self._lost_at = self._loop.time()
        if self._timer is not None:
            self._timer.cancel()
        if self._loss is None:
            self._loss = Loss(kind="failed", reason=f"connection lost: {exc or 'closed by the broker'}")
        self._fail_in_flight(self._loss.reason)
        if not self.opened.done():
            self.opened.set_result(False)
        if not self.lost.done():
            self.lost.set_result(self._loss)

    def pause_writing(self) -> None:
        """Buffer frames until the broker reads on."""
        self._paused = True

    def resume_writing(self) -> None:
        """Send the buffered frames."""
        self._paused = False
        self._flush()

    def _confirms(self, number: int) -> Confirms:
        channel = self._channels.get(number) if self._channels else None
        if channel is None:
            raise ProtocolError(f"confirm on channel {number}, which is not open")
        return channel.confirms

    def _send(self, frames: bytes) -> None:
        self._unsent.append(frames)
        self._unsent_bytes += len(frames)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self._paused or self.blocked or not self._unsent or self._transport is None:
            return
        frames = b"".join(self._unsent)
        self._unsent.clear()
        self._unsent_bytes = 0
        self._wrote = True
        self._transport.write(frames)

    def _method(self, event: Method) -> None:
        method = event.frame
        match method:
            case commands.Connection.Blocked():
                self._set_blocked(str(method.reason))
            case commands.Connection.Unblocked():
                self._set_blocked(None)
            case commands.Connection.Close():
                self._reply_and_drop(commands.Connection.CloseOk(), 0, method)
            case commands.Channel.Close():
                self._channel_closed(event.channel, method)
            case commands.Connection.CloseOk():
                self.drop("the broker said goodbye")
            case _ if self._channels is None:
                self._shake_hands(method)
            case commands.Channel.OpenOk() | commands.Confirm.SelectOk():
                pass
            case commands.Channel.CloseOk():
                self._channels.remove(event.channel)
            case commands.Basic.QosOk() if self._patience.asks:
                self._patience.note_answer(self._loop.time())
            case _:
                raise ProtocolError(f"{method.name} came unasked")

    def _shake_hands(self, method: Frame) -> None:
        reply = self._handshake.answer(method)
        if self._transport is not None and reply:
            self._transport.write(reply)
        if self._handshake.tuning is None:
            return
        self._parser.frame_max = self._handshake.tuning.frame_max
        self._channels = Channels(
            self._options.exchange,
            frame_max=self._handshake.tuning.frame_max,
            most=self._handshake.tuning.channels,
            send=self._send,
        )
        self._watch(self._handshake.tuning.heartbeat_seconds)
        self._opened_at = self._loop.time()
        self.opened.set_result(True)

    def _set_blocked(self, reason: str | None) -> None:
        self.blocked = reason is not None
        self._on_blocked(reason)
        self._flush()

    def _reply_and_drop(
        self, reply: Frame, channel: int, method: commands.Connection.Close | commands.Channel.Close
    ) -> None:
        if self._transport is not None:
            self._transport.write(method_bytes(reply, channel))
        missing = isinstance(method, commands.Channel.Close) and is_missing_exchange(method)
        self.drop(f"{method.reply_code} {method.reply_text}", "exchange_missing" if missing else "failed")

    def _channel_closed(self, number: int, method: commands.Channel.Close) -> None:
        """Fail the publishes of a channel of one queue; any other closed channel ends the connection."""
        channel = self._channels.get(number) if self._channels else None
        if self._channels is None or channel is None or channel.queue is None:
            self._reply_and_drop(commands.Channel.CloseOk(), number, method)
            return
        self._channels.remove(number)
        self._send(method_bytes(commands.Channel.CloseOk(), number))
        reason = f"{method.reply_code} {method.reply_text}"
        denied = method.reply_code == _ACCESS_REFUSED
        channel.confirms.fail(Unpermitted(reason) if denied else Nacked(reason))

    def _watch(self, heartbeat_seconds: int) -> None:
        now = self._loop.time()
        if now - self._heard_at > 2 * heartbeat_seconds:
            self.drop(f"nothing heard for {2 * heartbeat_seconds} seconds")
            return
        if self._channels is not None and not self._patience.examine(self._channels, now, blocked=self.blocked):
            self.drop(f"no confirm for {self._confirm_timeout_seconds} seconds")
            return
        if not self._wrote and not self._paused and self._transport is not None:
            self._transport.write(HEARTBEAT)
        self._wrote = False
        shortest = min(heartbeat_seconds, self._confirm_timeout_seconds, self._patience_seconds)
        every = shortest / _CHECKS_PER_TIMEOUT
        self._timer = self._loop.call_later(every, self._watch, heartbeat_seconds)

    def _fail_in_flight(self, reason: str) -> None:
        self._unsent.clear()
        self._unsent_bytes = 0
        for channel in self._channels or ():
            channel.confirms.fail(Disconnected(reason))
