"""One AMQP connection with one confirming channel, from its first byte to its loss."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, assert_never, cast

from pamqp import commands
from pamqp.base import Frame

from processor.publisher.amqp import (
    CHANNEL,
    HEARTBEAT,
    PROTOCOL_HEADER,
    Confirmed,
    Method,
    Parser,
    ProtocolError,
    Returned,
    method_bytes,
)
from processor.publisher.encoding import PublishEncoder
from processor.publisher.handshake import Handshake, is_missing_exchange
from processor.publisher.port import Disconnected, Message, Refused, Unroutable

_WRITE_BUFFER: Final = 1024 * 1024
"""Bytes that the transport takes before it asks to pause."""
_CHECKS_PER_TIMEOUT: Final = 4
_PRODUCT_CLOSES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a connection counts as dead, and how much waits in it."""

    confirm_timeout_seconds: float
    """Longest silence about the oldest publish in flight."""
    unsent_bytes: int
    """Most bytes that wait for a broker that reads slowly or has blocked its publishers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Why a connection ended."""

    kind: Literal["closed", "exchange_missing", "failed"]
    reason: str


class Connection(asyncio.Protocol):
    """The shell round `Parser`, `Handshake` and `PublishEncoder`.

    Frames of one tick of the loop leave in one write, in the order of the calls. ``opened`` tells whether the
    handshake succeeded. ``lost`` resolves when the connection is gone: every future handed to `publish` is
    done then, and the object of no more use.
    """

    def __init__(self, *, handshake: Handshake, limits: Limits, on_blocked: Callable[[str | None], None]) -> None:
        """``on_blocked`` hears why the broker stops taking publishes, and None when it takes them again."""
        self._loop = asyncio.get_running_loop()
        self.opened: Final[asyncio.Future[bool]] = self._loop.create_future()
        self.lost: Final[asyncio.Future[Loss]] = self._loop.create_future()
        self._handshake = handshake
        self._limits = limits
        self._on_blocked = on_blocked
        self._parser = Parser()
        self._encoder = PublishEncoder(exchange=handshake.exchange, frame_max=self._parser.frame_max)
        self._transport: asyncio.Transport | None = None
        self._loss: Loss | None = None

        self._last_tag = 0
        self._oldest_tag = 1
        self._in_flight: dict[int, tuple[asyncio.Future[None], str]] = {}
        self._returned: dict[str, str] = {}
        self._returns: Counter[str] = Counter()

        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._flush_due = False
        self._paused = False
        self._blocked = False

        self._opened_at: float | None = None
        self._lost_at: float | None = None
        self._wrote = True
        self._heard_at = self._loop.time()
        self._watched_tag: int | None = None
        self._watched_at = self._heard_at
        self._timer: asyncio.TimerHandle | None = None

    @property
    def blocked(self) -> bool:
        """Whether the broker takes no publishes at the moment."""
        return self._blocked

    @property
    def age(self) -> timedelta:
        """For how long it has been, or was, open."""
        if self._opened_at is None:
            return timedelta()
        return timedelta(seconds=(self._lost_at or self._loop.time()) - self._opened_at)

    def publish(self, message: Message, future: asyncio.Future[None]) -> None:
        """Put ``message`` in flight; ``future`` hears the broker's answer."""
        if self._loss is not None:
            future.set_exception(Disconnected(self._loss.reason))
            return
        if self._unsent_bytes > self._limits.unsent_bytes:
            future.set_exception(Refused(f"{self._unsent_bytes} bytes wait already for the broker to read on"))
            return
        try:
            frames = self._encoder.encode(message)
        except Refused as exc:
            future.set_exception(exc)
            return
        self._last_tag += 1
        self._in_flight[self._last_tag] = (future, message.id)
        self._unsent.append(frames)
        self._unsent_bytes += len(frames)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Fail what is in flight, and say goodbye; ``lost`` resolves when the broker has answered."""
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
        """Act on what the broker says."""
        self._heard_at = self._loop.time()
        try:
            for event in self._parser.feed(data):
                match event:
                    case Confirmed():
                        self._confirmed(event)
                    case Returned():
                        self._was_returned(event)
                    case Method():
                        self._method(event.frame)
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
        """Keep frames here until the broker reads on."""
        self._paused = True

    def resume_writing(self) -> None:
        """Send what was kept."""
        self._paused = False
        self._flush()

    def _flush(self) -> None:
        self._flush_due = False
        if self._paused or self._blocked or not self._unsent or self._transport is None:
            return
        frames = b"".join(self._unsent)
        self._unsent.clear()
        self._unsent_bytes = 0
        self._wrote = True
        self._transport.write(frames)

    def _confirmed(self, event: Confirmed) -> None:
        tag, multiple, stored = event
        if tag > self._last_tag or not (tag or multiple):
            raise ProtocolError(f"confirm of {tag} where {self._last_tag} is the last publish")
        if not multiple:
            self._settle(self._in_flight.pop(tag, None), stored=stored)
            return
        last = tag or self._last_tag
        for confirmed in range(self._oldest_tag, last + 1):
            self._settle(self._in_flight.pop(confirmed, None), stored=stored)
        self._oldest_tag = max(self._oldest_tag, last + 1)

    def _settle(self, publish: tuple[asyncio.Future[None], str] | None, *, stored: bool) -> None:
        if publish is None:
            return
        future, message_id = publish
        returned = self._take_return(message_id) if self._returned else None
        if future.done():
            return
        if not stored:
            future.set_exception(Refused("the broker refused the message"))
        elif returned is not None:
            future.set_exception(Unroutable(returned))
        else:
            future.set_result(None)

    def _was_returned(self, event: Returned) -> None:
        if event.message_id is None:
            raise ProtocolError("a message came back without its id")
        self._returned[event.message_id] = event.reason
        self._returns[event.message_id] += 1

    def _take_return(self, message_id: str) -> str | None:
        reason = self._returned.get(message_id)
        if reason is None:
            return None
        self._returns[message_id] -= 1
        if not self._returns[message_id]:
            del self._returns[message_id], self._returned[message_id]
        return reason

    def _method(self, method: Frame) -> None:
        match method:
            case commands.Connection.Blocked():
                self._set_blocked(str(method.reason))
            case commands.Connection.Unblocked():
                self._set_blocked(None)
            case commands.Connection.Close():
                self._reply_and_drop(commands.Connection.CloseOk(), 0, method)
            case commands.Channel.Close():
                self._reply_and_drop(commands.Channel.CloseOk(), CHANNEL, method)
            case commands.Connection.CloseOk():
                self.drop("the broker said goodbye")
            case _ if self._handshake.done:
                raise ProtocolError(f"{method.name} came unasked")
            case _:
                self._shake_hands(method)

    def _shake_hands(self, method: Frame) -> None:
        reply = self._handshake.answer(method)
        if self._transport is not None and reply:
            self._transport.write(reply)
        if self._handshake.tuning is None:
            return
        self._parser.frame_max = self._handshake.tuning.frame_max
        self._encoder = PublishEncoder(exchange=self._handshake.exchange, frame_max=self._handshake.tuning.frame_max)
        self._watch(self._handshake.tuning.heartbeat_seconds)
        self._opened_at = self._loop.time()
        self.opened.set_result(True)

    def _set_blocked(self, reason: str | None) -> None:
        self._blocked = reason is not None
        self._on_blocked(reason)
        self._flush()

    def _reply_and_drop(
        self, reply: Frame, channel: int, method: commands.Connection.Close | commands.Channel.Close
    ) -> None:
        if self._transport is not None:
            self._transport.write(method_bytes(reply, channel))
        missing = isinstance(method, commands.Channel.Close) and is_missing_exchange(method)
        self.drop(f"{method.reply_code} {method.reply_text}", "exchange_missing" if missing else "failed")

    def _watch(self, heartbeat_seconds: int) -> None:
        now = self._loop.time()
        if now - self._heard_at > 2 * heartbeat_seconds:
            self.drop(f"nothing heard for {2 * heartbeat_seconds} seconds")
            return
        if self._stalled(now):
            self.drop(f"no confirm for {self._limits.confirm_timeout_seconds} seconds")
            return
        if not self._wrote and not self._paused and self._transport is not None:
            self._transport.write(HEARTBEAT)
        self._wrote = False
        every = min(heartbeat_seconds, self._limits.confirm_timeout_seconds) / _CHECKS_PER_TIMEOUT
        self._timer = self._loop.call_later(every, self._watch, heartbeat_seconds)

    def _stalled(self, now: float) -> bool:
        """A blocked connection does not stall: the broker has said that confirms will wait."""
        oldest = next(iter(self._in_flight), None)
        if oldest is None or self._blocked or oldest != self._watched_tag:
            self._watched_tag, self._watched_at = oldest, now
            return False
        return now - self._watched_at >= self._limits.confirm_timeout_seconds

    def _fail_in_flight(self, reason: str) -> None:
        publishes, self._in_flight = self._in_flight, {}
        self._unsent.clear()
        self._unsent_bytes = 0
        for future, _ in publishes.values():
            if not future.done():
                future.set_exception(Disconnected(reason))
