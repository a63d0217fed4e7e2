"""The handshake of a publisher's connection, as a table: the broker's method, the reply, the next method.

Pure: frames in, frames out. Source: https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf, 2.2.4 and 4.2,
and https://www.rabbitmq.com/docs/confirms.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pamqp.base import Frame
from pamqp.commands import Basic, Channel, Confirm, Connection, Exchange

from processor.broker.address import Address
from processor.broker.amqp import CHANNEL, SMALLEST_FRAME_MAX, ProtocolError, method_bytes
from processor.broker.channels import MAX_CHANNELS
from processor.broker.options import RabbitOptions

_CAPABILITIES: Final = {
    "publisher_confirms": True,
    "basic.nack": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}
_LARGEST_FRAME_MAX: Final = 131_072
"""RabbitMQ's default, and the largest frame that is accepted of its offer."""
_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """The parameters that both sides agreed on."""

    frame_max: int
    heartbeat_seconds: int
    channels: int


class Handshake:
    """The client's half: `answer` each method of the broker until both sides agreed on a ``tuning``.

    The exchange is looked up during the handshake, so that a missing one shows here and not with the first publish.
    """

    def __init__(self, address: Address, options: RabbitOptions) -> None:
        self._address = address
        self._options = options
        self.tuning: Tuning | None = None
        """Set when publishing can begin."""
        self._agreed: Tuning | None = None
        self._expected: type[Frame] = Connection.Start
        look_up = Exchange.Declare(exchange=options.exchange, passive=True)
        self._steps: Final[dict[type[Frame], Callable[..., tuple[type[Frame], bytes]]]] = {
            Connection.Start: self._start,
            Connection.Tune: self._tune,
            Connection.OpenOk: lambda _: (Channel.OpenOk, method_bytes(Channel.Open(), CHANNEL)),
            Channel.OpenOk: lambda _: (Exchange.DeclareOk, method_bytes(look_up, CHANNEL)),
            Exchange.DeclareOk: lambda _: (Confirm.SelectOk, method_bytes(Confirm.Select(), CHANNEL)),
        }

    def answer(self, method: Frame) -> bytes:
        """What to send next; nothing once publishing can begin. Raises `ProtocolError`."""
        if not isinstance(method, self._expected):
            raise ProtocolError(f"{method.name} came where {self._expected.name} was due")
        if isinstance(method, Confirm.SelectOk):
            self.tuning = self._agreed
            return b""
        self._expected, reply = self._steps[self._expected](method)
        return reply

    def _start(self, start: Connection.Start) -> tuple[type[Frame], bytes]:
        if "PLAIN" not in str(start.mechanisms).split():
            raise ProtocolError("the broker does not offer the PLAIN mechanism")
        return Connection.Tune, method_bytes(
            Connection.StartOk(
                client_properties={
                    "product": "xumm-webhook-processor",
                    "connection_name": self._options.name,
                    "capabilities": dict(_CAPABILITIES),
                },
                mechanism="PLAIN",
                response=f"\0{self._address.user}\0{self._address.password}",
            ),
            0,
        )

    def _tune(self, offered: Connection.Tune) -> tuple[type[Frame], bytes]:
        frame_max = min(offered.frame_max or _LARGEST_FRAME_MAX, _LARGEST_FRAME_MAX)
        if frame_max < SMALLEST_FRAME_MAX:
            raise ProtocolError(f"the broker offers frames of {frame_max} bytes; {SMALLEST_FRAME_MAX} is the least")
        wanted = int(self._options.heartbeat.total_seconds())
        heartbeat = min(offered.heartbeat or wanted, wanted)
        channels = min(offered.channel_max or MAX_CHANNELS, MAX_CHANNELS)
        self._agreed = Tuning(frame_max=frame_max, heartbeat_seconds=heartbeat, channels=channels)
        tuned = Connection.TuneOk(channel_max=channels, frame_max=frame_max, heartbeat=heartbeat)
        opened = Connection.Open(virtual_host=self._address.vhost)
        return Connection.OpenOk, method_bytes(tuned, 0) + method_bytes(opened, 0)


def is_missing_exchange(closed: Channel.Close) -> bool:
    """Whether the broker closed the channel because the exchange is not there."""
    refused = (closed.class_id or 0) << 16 | (closed.method_id or 0)
    return closed.reply_code == _NOT_FOUND and refused in {Exchange.Declare.index, Basic.Publish.index}
