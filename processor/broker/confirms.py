"""The publishes in flight on one channel, and what the broker's confirms mean for their futures. No I/O."""

from asyncio import Future, get_running_loop
from collections import Counter

from processor.broker.amqp import Confirmed, ProtocolError, Returned
from processor.broker.port import Nacked, PublishError, Unanswered, Unroutable


class Confirms:
    """The futures of one confirming channel, by delivery tag."""

    def __init__(self) -> None:
        self.last_tag = 0
        """The tag of the latest publish."""
        self._oldest_tag = 1
        self._in_flight: dict[int, tuple[Future[None], str]] = {}
        self._given_up = 0
        self._first_refused: int | None = None
        self._reasons: dict[str, str] = {}
        self._returns: Counter[str] = Counter()

    @property
    def oldest(self) -> int | None:
        """The oldest tag in flight; None if nothing is."""
        return next(iter(self._in_flight), None)

    @property
    def refused(self) -> bool:
        """Whether the broker ever refused a publish: another queue of it may have given no answer then."""
        return self._first_refused is not None

    @property
    def span(self) -> int:
        """How many publishes were made since the first one that is in flight or was refused, itself included."""
        first = min(self._first_refused or self.last_tag + 1, self.oldest or self.last_tag + 1)
        return self.last_tag + 1 - first

    def expect(self, future: "Future[None]", message_id: str) -> None:
        """Count one more publish, in the order of the wire."""
        self.last_tag += 1
        self._in_flight[self.last_tag] = (future, message_id)

    def waits(self, tag: int) -> bool:
        """Whether any publish up to ``tag`` is in flight and was not given up."""
        return any(self._given_up < each <= tag for each in self._in_flight)

    def confirm(self, event: Confirmed) -> None:
        """Settle the confirmed publishes. Raises `ProtocolError` for a tag that was never used."""
        tag, multiple, stored, _ = event
        if tag > self.last_tag or not (tag or multiple):
            raise ProtocolError(f"confirm of {tag} where {self.last_tag} is the last publish")
        last = tag or self.last_tag
        first = self._oldest_tag if multiple else tag
        if not stored and self._first_refused is None:
            self._first_refused = first
        for each in range(first, last + 1):
            self._settle(each, stored=stored)
        if multiple:
            self._oldest_tag = max(self._oldest_tag, last + 1)

    def note_return(self, event: Returned) -> None:
        """Remember a returned message: its publish fails with the confirm that follows."""
        if event.message_id is None:
            raise ProtocolError("a message came back without its id")
        self._reasons[event.message_id] = event.reason
        self._returns[event.message_id] += 1

    def give_up(self, tag: int, reason: str) -> None:
        """Fail every publish up to ``tag`` with `Unanswered`; a late confirm still settles it."""
        for each, (future, message_id) in self._in_flight.items():
            if self._given_up < each <= tag:
                late: Future[None] = get_running_loop().create_future()
                self._in_flight[each] = (late, message_id)
                _fail(future, Unanswered(reason, late))
        self._given_up = max(self._given_up, tag)

    def fail(self, error: PublishError) -> None:
        """Fail every publish in flight."""
        publishes, self._in_flight = self._in_flight, {}
        for tag, (future, _) in publishes.items():
            if tag <= self._given_up:
                future.cancel()
            else:
                _fail(future, error)

    def _settle(self, tag: int, *, stored: bool) -> None:
        publish = self._in_flight.pop(tag, None)
        if publish is None:
            return
        future, message_id = publish
        reason = self._take_return(message_id) if self._reasons else None
        if stored and reason is None:
            if not future.done():
                future.set_result(None)
        elif tag <= self._given_up:
            future.cancel()
        elif not stored:
            _fail(future, Nacked("the broker refused the message"))
        else:
            _fail(future, Unroutable(reason))

    def _take_return(self, message_id: str) -> str | None:
        reason = self._reasons.get(message_id)
        if reason is None:
            return None
        self._returns[message_id] -= 1
        if not self._returns[message_id]:
            del self._returns[message_id], self._reasons[message_id]
        return reason


def _fail(future: "Future[None]", error: PublishError) -> None:
    if not future.done():
        future.set_exception(error)
