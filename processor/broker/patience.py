"""Time-outs of confirms: how a connection tells a silent queue from a broker that hangs."""

from typing import Final

from pamqp.commands import Basic
from pamqp.commands import Channel as ChannelMethods

from processor.broker.amqp import method_bytes
from processor.broker.channels import Channels


class Patience:
    """Gives up publishes that wait too long while the broker reads on, and a broker that does not read on.

    To find out, it sends a method that the broker answers by itself, on a channel without publishes, where no queue can
    delay the answer.
    """

    def __init__(self, seconds: float, *, hung_after_seconds: float) -> None:
        self._seconds: Final = seconds
        self._hung_after_seconds: Final = hung_after_seconds
        self._channel: int | None = None
        self._asked_at: float | None = None
        self._answered_at = float("-inf")

    @property
    def asks(self) -> bool:
        """Whether the broker was asked and has not answered yet."""
        return self._asked_at is not None

    def note_answer(self, now: float) -> None:
        """Note that the broker has read everything sent before the question."""
        self._asked_at, self._answered_at = None, now

    def examine(self, channels: Channels, now: float, *, blocked: bool) -> bool:
        """Give up publishes that waited too long; ask the broker when one may have. False: the broker hangs.

        Time does not count while the broker is ``blocked``: it has announced that confirms are delayed.
        """
        if blocked:
            self._asked_at = now if self.asks else None
            for channel in channels:
                channel.unmark()
            return True
        horizon = now - self._seconds
        for channel in channels:
            if channel.confirms.waits(channel.published_until(now - self._seconds / 2)) and not self.asks:
                self._ask(channels, now)
            if self._answered_at > horizon:
                channel.confirms.give_up(channel.published_until(horizon), f"no confirm for {self._seconds} seconds")
            channel.mark(now, horizon)
        return self._asked_at is None or now - self._asked_at < self._hung_after_seconds

    def _ask(self, channels: Channels, now: float) -> None:
        if self._channel is None:
            self._channel = channels.reserve()
            if self._channel is None:
                return
            channels.send(method_bytes(ChannelMethods.Open(), self._channel))
        self._asked_at = now
        channels.send(method_bytes(Basic.Qos(), self._channel))
