"""Which publishes are in flight, and what the broker's answers mean for their futures. No I/O."""

from asyncio import Future
from collections import Counter

from processor.publisher.amqp import Confirmed, ProtocolError, Returned
from processor.publisher.port import Disconnected, Refused, Unroutable


class Confirms:
    """The futures of one confirming channel, by delivery tag."""

    def __init__(self) -> None:
        self._last_tag = 0
        self._oldest_tag = 1
        self._in_flight: dict[int, tuple[Future[None], str]] = {}
        self._reasons: dict[str, str] = {}
        self._returns: Counter[str] = Counter()

    @property
    def oldest(self) -> int | None:
        """The tag that has waited longest; None if nothing is in flight."""
        return next(iter(self._in_flight), None)

    def expect(self, future: "Future[None]", message_id: str) -> None:
        """Count one more publish, in the order of the wire."""
        self._last_tag += 1
        self._in_flight[self._last_tag] = (future, message_id)

    def confirmed(self, event: Confirmed) -> None:
        """Settle what the broker answered for. Raises `ProtocolError` for a tag that was never used."""
        tag, multiple, stored = event
        if tag > self._last_tag or not (tag or multiple):
            raise ProtocolError(f"confirm of {tag} where {self._last_tag} is the last publish")
        if not multiple:
            self._settle(tag, stored=stored)
            return
        last = tag or self._last_tag
        for each in range(self._oldest_tag, last + 1):
            self._settle(each, stored=stored)
        self._oldest_tag = max(self._oldest_tag, last + 1)

    def returned(self, event: Returned) -> None:
        """Remember a message that came back: its confirm follows, and means nothing good."""
        if event.message_id is None:
            raise ProtocolError("a message came back without its id")
        self._reasons[event.message_id] = event.reason
        self._returns[event.message_id] += 1

    def fail(self, reason: str) -> None:
        """Fail everything in flight with `Disconnected`."""
        publishes, self._in_flight = self._in_flight, {}
        for future, _ in publishes.values():
            if not future.done():
                future.set_exception(Disconnected(reason))

    def _settle(self, tag: int, *, stored: bool) -> None:
        publish = self._in_flight.pop(tag, None)
        if publish is None:
            return
        future, message_id = publish
        reason = self._take_return(message_id) if self._reasons else None
        if future.done():
            return
        if not stored:
            future.set_exception(Refused("the broker refused the message"))
        elif reason is not None:
            future.set_exception(Unroutable(reason))
        else:
            future.set_result(None)

    def _take_return(self, message_id: str) -> str | None:
        reason = self._reasons.get(message_id)
        if reason is None:
            return None
        self._returns[message_id] -= 1
        if not self._returns[message_id]:
            del self._returns[message_id], self._reasons[message_id]
        return reason
