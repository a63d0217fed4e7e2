import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.broker.amqp import Confirmed, ProtocolError, Returned
from processor.broker.confirms import Confirms
from processor.broker.port import Disconnected, Nacked, Unroutable

_answers = st.lists(
    st.tuples(st.integers(1, 12), st.booleans(), st.booleans()).map(lambda fields: Confirmed(*fields)), max_size=10
)


def _plain(answers: list[Confirmed], publishes: int) -> list[type | str | None]:
    """What the answers mean, the slow and obvious way: the first one that covers a tag counts."""
    outcomes: list[type | str | None] = ["waiting"] * publishes
    for tag, multiple, stored, _ in answers:
        for each in range(1 if multiple else tag, tag + 1):
            if outcomes[each - 1] == "waiting":
                outcomes[each - 1] = None if stored else Nacked
    return outcomes


@given(answers=_answers)
def test_answers_settle_what_they_cover(answers: list[Confirmed]) -> None:
    """Whatever mixture of single and multiple answers comes, the first that covers a publish decides it."""
    loop = asyncio.new_event_loop()
    futures: list[asyncio.Future[None]] = [loop.create_future() for _ in range(12)]
    confirms = Confirms()
    for number, future in enumerate(futures):
        confirms.expect(future, str(number))

    for answer in answers:
        confirms.confirm(answer)
    outcomes = [_outcome(future) for future in futures]
    loop.close()

    assert outcomes == _plain(answers, 12)
    assert confirms.oldest == next((tag for tag, found in enumerate(outcomes, 1) if found == "waiting"), None)


def _outcome(future: "asyncio.Future[None]") -> type | str | None:
    if not future.done():
        return "waiting"
    return type(future.exception()) if future.exception() else None


async def test_failing_leaves_nothing_in_flight() -> None:
    """Everything unanswered fails with the reason given; what was answered keeps its answer."""
    confirms = Confirms()
    futures: list[asyncio.Future[None]] = [asyncio.get_running_loop().create_future() for _ in range(3)]
    for future in futures:
        confirms.expect(future, "id")
    confirms.note_return(Returned("id", "312 NO_ROUTE"))
    confirms.confirm(Confirmed(1, False, True))

    confirms.fail(Disconnected("the cable was cut"))

    assert [_outcome(future) for future in futures] == [Unroutable, Disconnected, Disconnected]
    assert str(futures[1].exception()) == "the cable was cut"
    assert confirms.oldest is None


@pytest.mark.parametrize(("tag", "multiple"), [(1, False), (2**63, True), (0, False)])
def test_an_answer_to_nothing_is_a_protocol_error(tag: int, multiple: bool) -> None:  # noqa: FBT001
    """A tag that no publish had is refused at once, however large."""
    with pytest.raises(ProtocolError):
        Confirms().confirm(Confirmed(tag, multiple, True))
