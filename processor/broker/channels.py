"""The channels of one connection: which one a message takes, so that a silent queue delays no other queue's messages.

A queue without a leader affects its publishers in two ways (RabbitMQ 3.10 and 4). On a channel that has published to
it before, messages are accepted and never confirmed, and after 32 of them the channel gives the connection's reader no
more credit. The reader starts with credit for 400 contents on each channel, renewed by 200 at a time; without credit it
**reads nothing more from the whole connection**. On a channel that has not published to it before, the first message to
the queue stops the channel for 65 seconds, with every other queue of that message and every message after it. The
broker reports none of this.

So these are the rules. A channel takes at most `IN_ORDER` publishes after the first unconfirmed one, for which the
reader always has credit; then another channel is used, so the reader never stops. A publish without a confirm for some
time, on a connection that is alive, fails with `Unanswered`. A message can be published to one queue past the exchange,
on a channel that only messages to this queue use.

A connection for each queue would do as well, but costs 5 to 10 ms and a line in the broker's log to open; a channel
costs one round trip that delays nothing.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from pamqp.commands import Channel as ChannelMethods
from pamqp.commands import Confirm

from processor.broker.amqp import CHANNEL, method_bytes
from processor.broker.confirms import Confirms
from processor.broker.encoding import PublishEncoder
from processor.broker.port import IN_ORDER

MAX_CHANNELS: Final = 64
"""Most channels of a connection: each costs the broker some 20 KB."""
_CLOSED: Final = 200


class Channel:
    """One confirming channel: its encoder, its publishes in flight, and how many more it takes."""

    def __init__(self, number: int, queue: str | None, encoder: PublishEncoder) -> None:
        self.number: Final = number
        self.queue: Final = queue
        self.encode: Final = encoder.encode
        self.confirms: Final = Confirms()
        self.left = IN_ORDER
        """Publishes that may follow before `widen` must be called."""
        self._marks: deque[tuple[float, int]] = deque()

    def widen(self) -> bool:
        """Whether more publishes may follow, now that the broker has answered for some."""
        self.left = IN_ORDER - self.confirms.span
        return self.left > 0

    def mark(self, now: float, horizon: float) -> None:
        """Remember the last tag published until ``now``; forget marks that are older than ``horizon``."""
        while len(self._marks) > 1 and self._marks[1][0] <= horizon:
            self._marks.popleft()
        self._marks.append((now, self.confirms.last_tag))

    def unmark(self) -> None:
        """Forget all marks: waiting counts from now on."""
        self._marks.clear()

    def published_until(self, instant: float) -> int:
        """The last tag that was certainly published at ``instant``."""
        return max((tag for at, tag in self._marks if at <= instant), default=0)


class Channels:
    """The channels of one open connection. ``send`` sends the frames that open and close them."""

    def __init__(self, exchange: str, *, frame_max: int, most: int, send: Callable[[bytes], None]) -> None:
        self._exchange = exchange
        self._frame_max = frame_max
        self.send: Final = send
        self._free = deque(range(CHANNEL + 1, most + 1))
        self._open: dict[int, Channel] = {}
        self._current: dict[str | None, Channel] = {None: self._new(CHANNEL, None)}

    def __iter__(self) -> Iterator[Channel]:
        """The channels that may have publishes in flight."""
        return iter(self._open.values())

    def pick(self, queue: str | None) -> Channel | None:
        """The channel for the next message to ``queue``, or to the exchange; None if no channel is left."""
        channel = self._current.get(queue)
        if channel is None or (channel.left <= 0 and not channel.widen()):
            channel = self._change(queue)
        if channel is not None:
            channel.left -= 1
        return channel

    def get(self, number: int) -> Channel | None:
        """The open channel of that number."""
        return self._open.get(number)

    def reserve(self) -> int | None:
        """The number of a channel that is not used for publishing; None if no channel is left."""
        return self._free.popleft() if self._free else None

    def remove(self, number: int) -> Channel | None:
        """Forget a channel that is closed."""
        channel = self._open.pop(number, None)
        if channel is not None and self._current.get(channel.queue) is channel:
            del self._current[channel.queue]
        self._free.append(number)
        return channel

    def _change(self, queue: str | None) -> Channel | None:
        for channel in self._unused():
            if channel.queue == queue and not channel.confirms.refused and channel.widen():
                self._current[queue] = channel
                return channel
            self._close(channel)
        number = self.reserve()
        if number is None:
            return None
        self.send(method_bytes(ChannelMethods.Open(), number) + method_bytes(Confirm.Select(), number))
        self._current[queue] = self._new(number, queue)
        return self._current[queue]

    def _unused(self) -> list[Channel]:
        """Channels that have no publish in flight and take no more."""
        return [each for each in self._open.values() if each.confirms.oldest is None and each.left <= 0]

    def _close(self, channel: Channel) -> None:
        del self._open[channel.number]
        if self._current.get(channel.queue) is channel:
            del self._current[channel.queue]
        self.send(method_bytes(ChannelMethods.Close(_CLOSED, "done", 0, 0), channel.number))

    def _new(self, number: int, queue: str | None) -> Channel:
        encoder = PublishEncoder(exchange=self._exchange, frame_max=self._frame_max, channel=number, queue=queue)
        self._open[number] = Channel(number, queue, encoder)
        return self._open[number]
